// Copies, also from one float type to the other. The speed is that of memory.
#include "vector.cuh"

template <class To, class From, unsigned N>
__device__ __forceinline__ void copy_range(To* to, const From* from, unsigned long long first, unsigned long long last) {
    over<N>(first, last, [=](unsigned long long i) {
        float x[N];
        load(x, from + i);
        store(to + i, x);
    });
}

// to [n] = from [n], rounded to nearest.
template <class To, class From>
__device__ void copy(To* to, const From* from, unsigned long long n) {
    constexpr unsigned N = VECTOR<bf16>;
    const unsigned long long whole = aligned_16(to, from) ? n - n % N : 0;
    copy_range<To, From, N>(to, from, 0, whole);
    copy_range<To, From, 1>(to, from, whole, n);
}

EXPORT_AS(copy_f32_f32, (copy<float, float>), 256, (float* to, const float* from, unsigned long long n), (to, from, n))
EXPORT_AS(copy_f32_bf16, (copy<bf16, float>), 256, (bf16* to, const float* from, unsigned long long n), (to, from, n))
EXPORT_AS(copy_bf16_f32, (copy<float, bf16>), 256, (float* to, const bf16* from, unsigned long long n), (to, from, n))
EXPORT_AS(copy_bf16_bf16, (copy<bf16, bf16>), 256, (bf16* to, const bf16* from, unsigned long long n), (to, from, n))
