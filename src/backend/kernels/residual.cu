// Sums of tensors of one shape.
#include "port.cuh"

// sum [n] = a [n] + b [n]; sum may be a.
template <class T>
__device__ void add(T* sum, const T* a, const T* b, unsigned long long n) {
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        sum[i] = from_float<T>(to_float(a[i]) + to_float(b[i]));
}

EXPORT_FLOATS(add, 256, (T* sum, const T* a, const T* b, unsigned long long n), (sum, a, b, n))
