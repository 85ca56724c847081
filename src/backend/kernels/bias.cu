// A bias on every row. Each value is read and written once: the speed is that of memory.
#include "vector.cuh"

template <class T, unsigned N>
__device__ __forceinline__ void add_to_rows(T* y, const T* bias, unsigned rows, unsigned width) {
    over_rows<N>(rows, width, [=](unsigned row, unsigned column) {
        T* const at = y + (unsigned long long)row * width + column;
        float value[N], more[N];
        load(value, at);
        load(more, bias + column);
        for (unsigned i = 0; i < N; i++) value[i] += more[i];
        store(at, value);
    });
}

// y [rows, width] += bias [width].
template <class T>
__device__ void add_bias(T* y, const T* bias, unsigned rows, unsigned width) {
    constexpr unsigned N = VECTOR<T>;
    if (width % N == 0 && aligned_16(y, bias)) add_to_rows<T, N>(y, bias, rows, width);
    else add_to_rows<T, 1>(y, bias, rows, width);
}

EXPORT_FLOATS(add_bias, 256, (T* y, const T* bias, unsigned rows, unsigned width), (y, bias, rows, width))
