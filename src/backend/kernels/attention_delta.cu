// delta [rows, heads] = rowsum(dO ∘ O) of each head, for attention backward. Bound by memory: both are read
// once. d_out, out [rows, heads · head_dim].
#include "port.cuh"

// `lanes`: lanes of a head, each with 16 bytes of it; 0: a warp takes a head, element by element, whatever
// its width and alignment.
template <class T>
__device__ void attention_delta(float* delta, const T* d_out, const T* out, unsigned d_out_stride, unsigned out_stride,
                                unsigned rows, unsigned heads, unsigned head_dim, unsigned lanes) {
    constexpr unsigned PIECE = 16 / sizeof(T);
    struct alignas(16) Piece {
        T values[PIECE];
    };
    const unsigned lane = threadIdx.x % WARP, together = lanes == 0 ? 1 : WARP / lanes;
    const unsigned long long n = (unsigned long long)rows * heads;
    const unsigned long long warps = (unsigned long long)gridDim.x * (blockDim.x / WARP);
    const unsigned long long warp = (unsigned long long)blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    for (unsigned long long first = warp * together; first < n; first += warps * together) {
        const unsigned long long i = first + (lanes == 0 ? 0 : lane / lanes);
        const size_t row = i / heads, column = i % heads * head_dim;
        const T* a = d_out + row * d_out_stride + column;
        const T* b = out + row * out_stride + column;
        float sum = 0.0f;
        if (lanes == 0) {
            for (unsigned c = lane; c < head_dim; c += WARP) sum += to_float(a[c]) * to_float(b[c]);
            sum = warp_sum(sum);
        } else {
            if (i < n) {
                const unsigned c = lane % lanes * PIECE;
                const Piece x = *reinterpret_cast<const Piece*>(a + c), y = *reinterpret_cast<const Piece*>(b + c);
#pragma unroll
                for (unsigned j = 0; j < PIECE; j++) sum += to_float(x.values[j]) * to_float(y.values[j]);
            }
            for (unsigned step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
        }
        if (i < n && (lanes == 0 ? lane : lane % lanes) == 0) delta[i] = sum;
    }
}

EXPORT_FLOATS(attention_delta, 256,
              (float* delta, const T* d_out, const T* out, unsigned d_out_stride, unsigned out_stride, unsigned rows,
               unsigned heads, unsigned head_dim, unsigned lanes),
              (delta, d_out, out, d_out_stride, out_stride, rows, heads, head_dim, lanes))
