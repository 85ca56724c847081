// Attention forward on CUDA cores, any head_dim up to 256: out = softmax(scale · Q Kᵀ) V over packed
// segments, softmax kept up to date tile by tile (FlashAttention, 2205.14135), and the log-sum-exp of
// each row's scores. q, out [rows, heads · head_dim]; k, v [key rows, kv_heads · head_dim]; lse [rows,
// heads]. A block takes one tile of rows and one key head. Bound by shared memory reads: 9 of 16
// bytes for 32 multiplications; tensors that are worth more go to attention_forward_mma.cu.
//
// Dynamic shared memory in floats, at most 83 KiB: queries [rows, d], keys [32, d + 4], values [32, d + 4],
// weights [rows, 32], d = head_dim rounded up to 4.
#include "attention_lanes.cuh"

template <class T, unsigned COLUMNS>
__device__ void forward(T* out, float* lse, const T* q, const T* k, const T* v, const unsigned* tiles,
                        unsigned q_stride, unsigned k_stride, unsigned v_stride, unsigned heads, unsigned kv_heads,
                        unsigned head_dim, unsigned window, float scale) {
    constexpr unsigned OWNED = owned_rows(COLUMNS), ROWS = LANE_WARPS * OWNED;
    DYNAMIC_SHARED(shared);
    float* queries = reinterpret_cast<float*>(shared);
    float* keys = queries + ROWS * owned_stride(head_dim);
    float* values = keys + WARP * streamed_stride(head_dim);
    const unsigned lane = threadIdx.x % WARP, own = threadIdx.x / WARP * OWNED;
    float* weights = values + WARP * streamed_stride(head_dim) + own * WARP;

    const unsigned kv_head = head_of_block(kv_heads);
    const Group group(heads / kv_heads);
    const RowTile tile(tiles, entry_of_block(kv_heads), group);
    const auto column = [&](unsigned i) { return (size_t)(kv_head * group.heads + tile.head(i)) * head_dim; };
    fill_rows<T>(queries, owned_stride(head_dim), ROWS, head_dim, [&](unsigned i) {
        return i < tile.rows ? q + (size_t)tile.query_row(i) * q_stride + column(i) : nullptr;
    });

    float sums[OWNED][COLUMNS] = {};
    // of the scores times log2(e): the largest so far; this lane's part of the sum of 2^(score - largest)
    float top[OWNED], total[OWNED];
    unsigned position[OWNED];
    for (unsigned r = 0; r < OWNED; r++) {
        top[r] = -INFINITY;
        total[r] = 0.0f;
        position[r] = tile.position_of(own + r);
    }
    const unsigned end = tile.keys_end();
    for (unsigned start = tile.keys_begin(window); start < end; start += WARP) {
        __syncthreads();
        const auto rows_of = [&](const T* from, unsigned stride) {
            return [=, &tile](unsigned i) -> const T* {
                if (start + i >= end) return nullptr;
                return from + (size_t)tile.key_row(start + i) * stride + (size_t)kv_head * head_dim;
            };
        };
        fill_rows<T>(keys, streamed_stride(head_dim), WARP, head_dim, rows_of(k, k_stride));
        fill_rows<T>(values, streamed_stride(head_dim), WARP, head_dim, rows_of(v, v_stride));
        __syncthreads();
        float scores[OWNED];
        products(scores, queries + own * owned_stride(head_dim), keys + lane * streamed_stride(head_dim), head_dim);
#pragma unroll
        for (unsigned r = 0; r < OWNED; r++) {
            const float score =
                sees(position[r], start + lane, window) ? scores[r] * (scale * LOG2_E) : -INFINITY;
            const float next = fmaxf(top[r], warp_max(score));
            // nothing seen yet: any finite number will do
            const float from = next == -INFINITY ? 0.0f : next;
            const float fade = fast_exp2(top[r] - from);
            top[r] = next;
            scores[r] = fast_exp2(score - from);
            total[r] = total[r] * fade + scores[r];
#pragma unroll
            for (unsigned c = 0; c < COLUMNS; c++) sums[r][c] *= fade;
        }
        weighted_sums(sums, weights, scores, values, head_dim);
    }
#pragma unroll
    for (unsigned r = 0; r < OWNED; r++) {
        const unsigned i = own + r;
        const float sum = warp_sum(total[r]);
        if (i >= tile.rows) continue;
        const size_t row = tile.query_row(i);
        store_row(out + row * heads * head_dim + column(i), sums[r], 1.0f / sum, head_dim);
        if (lane == 0) lse[row * heads + kv_head * group.heads + tile.head(i)] = top[r] * LN_2 + logf(sum);
    }
}

#define PARAMETERS                                                                                        \
    (T * out, float* lse, const T* q, const T* k, const T* v, const unsigned* tiles, unsigned q_stride,   \
     unsigned k_stride, unsigned v_stride, unsigned heads, unsigned kv_heads, unsigned head_dim,          \
     unsigned window, float scale)
#define ARGUMENTS \
    (out, lse, q, k, v, tiles, q_stride, k_stride, v_stride, heads, kv_heads, head_dim, window, scale)
#define FORWARD(widest, columns)                                                                                \
    template <class T> __device__ void attention_forward_##widest PARAMETERS { forward<T, columns> ARGUMENTS; } \
    EXPORT_FLOATS(attention_forward_##widest, LANE_THREADS, PARAMETERS, ARGUMENTS)

// head_dim at most
FORWARD(64, 2)
FORWARD(128, 4)
FORWARD(256, 8)
