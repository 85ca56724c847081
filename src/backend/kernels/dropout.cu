// Dropout by the counter-based stream of backend/random.rs: element j of row i is 0 if the upper 53 bits of
// the stream of keys[i] at j are below the threshold, and else x · scale. The bits are those of the CPU. Each
// value is read or written once; about as bound by the 64-bit products as by memory.
#include "vector.cuh"

constexpr unsigned long long GOLDEN = 0x9e3779b97f4a7c15ull;

// splitmix64
__device__ __forceinline__ unsigned long long mix(unsigned long long z) {
    z += GOLDEN;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

template <class T, unsigned N>
__device__ __forceinline__ void drop(T* out, const T* x, const unsigned long long* keys, unsigned long long state,
                                     unsigned long long threshold, float scale, unsigned rows, unsigned width) {
    over_rows<N>(rows, width, [=](unsigned row, unsigned column) {
        const unsigned long long stream = mix(state ^ mix(keys[row]));
        const unsigned long long at = (unsigned long long)row * width + column;
        float value[N];
        load(value, x + at);
        for (unsigned i = 0; i < N; i++) {
            const bool dropped = mix(stream + (column + i) * GOLDEN) >> 11 < threshold;
            value[i] = dropped ? 0.0f : value[i] * scale;
        }
        store(out + at, value);
    });
}

// out and x [rows, width], keys [rows].
template <class T>
__device__ void dropout(T* out, const T* x, const unsigned long long* keys, unsigned long long state,
                        unsigned long long threshold, float scale, unsigned rows, unsigned width) {
    constexpr unsigned N = VECTOR<T>;
    if (width % N == 0 && aligned_16(out, x)) drop<T, N>(out, x, keys, state, threshold, scale, rows, width);
    else drop<T, 1>(out, x, keys, state, threshold, scale, rows, width);
}

EXPORT_FLOATS(dropout, 256,
              (T* out, const T* x, const unsigned long long* keys, unsigned long long state,
               unsigned long long threshold, float scale, unsigned rows, unsigned width),
              (out, x, keys, state, threshold, scale, rows, width))
