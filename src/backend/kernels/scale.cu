// Rows times factors, in place. Each value is read and written once: the speed is that of memory.
#include "vector.cuh"

template <class T, unsigned N>
__device__ __forceinline__ void scale_rows(T* x, const float* factors, float factor, unsigned rows, unsigned width) {
    over_rows<N>(rows, width, [=](unsigned row, unsigned column) {
        T* const at = x + (unsigned long long)row * width + column;
        const float by = factors ? factors[row] : factor;
        float value[N];
        load(value, at);
        for (unsigned i = 0; i < N; i++) value[i] *= by;
        store(at, value);
    });
}

// x [rows, width] *= factors [rows], or the one factor if there are none.
template <class T>
__device__ void scale(T* x, const float* factors, float factor, unsigned rows, unsigned width) {
    constexpr unsigned N = VECTOR<T>;
    if (width % N == 0 && aligned_16(x)) scale_rows<T, N>(x, factors, factor, rows, width);
    else scale_rows<T, 1>(x, factors, factor, rows, width);
}

EXPORT_FLOATS(scale, 256, (T* x, const float* factors, float factor, unsigned rows, unsigned width),
              (x, factors, factor, rows, width))
