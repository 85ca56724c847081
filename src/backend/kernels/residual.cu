// Sums of tensors of one shape. Three times 16 bytes a thread and turn: the speed is that of memory.
#include "vector.cuh"

template <class T, unsigned N>
__device__ __forceinline__ void add_range(T* sum, const T* a, const T* b, unsigned long long first,
                                          unsigned long long last) {
    over<N>(first, last, [=](unsigned long long i) {
        float x[N], y[N];
        load(x, a + i);
        load(y, b + i);
        for (unsigned k = 0; k < N; k++) x[k] += y[k];
        store(sum + i, x);
    });
}

// sum [n] = a [n] + b [n]; sum may be a.
template <class T>
__device__ void add(T* sum, const T* a, const T* b, unsigned long long n) {
    constexpr unsigned N = VECTOR<T>;
    const unsigned long long whole = aligned_16(sum, a, b) ? n - n % N : 0;
    add_range<T, N>(sum, a, b, 0, whole);
    add_range<T, 1>(sum, a, b, whole, n);
}

EXPORT_FLOATS(add, 256, (T* sum, const T* a, const T* b, unsigned long long n), (sum, a, b, n))
