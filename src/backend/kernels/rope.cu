// Rotary position embedding in place: of each head, the pair (a, b) of values j and j + half becomes
//   a · c − b · s,   b · c + a · s   with c = cos[row, j], s = sign · sin[row, j].
// A head is read and written once, the tables once a row from memory and then from the cache: the speed
// is that of memory.
#include "vector.cuh"

template <class T, unsigned N>
__device__ __forceinline__ void rotate_heads(T* x, const float* cos, const float* sin, float sign, unsigned rows,
                                             unsigned heads, unsigned stride, unsigned half) {
    over_rows<N>(rows, heads * half, [=](unsigned row, unsigned column) {
        const unsigned head = column / half, j = column % half;
        T* const at = x + (unsigned long long)row * stride + head * 2 * half + j;
        const unsigned long long angle = (unsigned long long)row * half + j;
        float a[N], b[N], c[N], s[N], turned_a[N], turned_b[N];
        load(a, at);
        load(b, at + half);
        load(c, cos + angle);
        load(s, sin + angle);
        for (unsigned i = 0; i < N; i++) {
            const float by = sign * s[i];
            turned_a[i] = a[i] * c[i] - b[i] * by;
            turned_b[i] = b[i] * c[i] + a[i] * by;
        }
        store(at, turned_a);
        store(at + half, turned_b);
    });
}

// x: rows `stride` apart, each of `heads` heads of 2·half values. cos and sin [rows, half].
template <class T>
__device__ void rotate(T* x, const float* cos, const float* sin, float sign, unsigned rows, unsigned heads,
                       unsigned stride, unsigned half) {
    constexpr unsigned N = VECTOR<T>;
    if (half % N == 0 && stride % N == 0 && aligned_16(x, cos, sin))
        rotate_heads<T, N>(x, cos, sin, sign, rows, heads, stride, half);
    else
        rotate_heads<T, 1>(x, cos, sin, sign, rows, heads, stride, half);
}

EXPORT_FLOATS(rotate, 256,
              (T* x, const float* cos, const float* sin, float sign, unsigned rows, unsigned heads, unsigned stride,
               unsigned half),
              (x, cos, sin, sign, rows, heads, stride, half))
