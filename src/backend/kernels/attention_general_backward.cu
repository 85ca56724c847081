// Attention backward on CUDA cores, any head_dim up to 256. With P = exp(scale · Q Kᵀ - lse), dP = dO Vᵀ and
// dS = P ∘ (dP - delta), delta = rowsum(dO ∘ O) [rows, heads]:
//   dQ = scale · dS K         a block takes a tile of rows and walks the keys they see
//   dK = scale · dSᵀ Q, dV = Pᵀ dO   a block takes a tile of keys and walks the rows that see them
// so that each gradient is summed by one block in a fixed order. q, out, d_out, d_q [rows, heads · head_dim];
// k, v [key rows, kv_heads · head_dim]; d_kv [key rows, 2 · kv_heads · head_dim]. Bound by shared memory
// reads, as forward is.
//
// Dynamic shared memory in floats, at most 99 KiB: owned rows [2, rows, d], streamed rows [2, 32, d + 4],
// weights [rows, 32], d = head_dim rounded up to 4.
#include "attention_lanes.cuh"

// The two sides in shared memory.
struct Sides {
    float *owned[2], *streamed[2], *weights;

    __device__ __forceinline__ Sides(unsigned char* shared, unsigned rows, unsigned head_dim) {
        owned[0] = reinterpret_cast<float*>(shared);
        owned[1] = owned[0] + rows * owned_stride(head_dim);
        streamed[0] = owned[1] + rows * owned_stride(head_dim);
        streamed[1] = streamed[0] + WARP * streamed_stride(head_dim);
        weights = streamed[1] + WARP * streamed_stride(head_dim);
    }
};

template <class T, unsigned COLUMNS>
__device__ void backward_queries(T* d_q, const T* d_out, const float* lse, const float* delta, const T* q, const T* k,
                                 const T* v, const unsigned* tiles, unsigned d_out_stride, unsigned q_stride,
                                 unsigned k_stride, unsigned v_stride, unsigned heads, unsigned kv_heads,
                                 unsigned head_dim, unsigned window, float scale) {
    constexpr unsigned OWNED = owned_rows(COLUMNS), ROWS = LANE_WARPS * OWNED;
    DYNAMIC_SHARED(shared);
    const Sides sides(shared, ROWS, head_dim);
    const unsigned lane = threadIdx.x % WARP, own = threadIdx.x / WARP * OWNED;

    const unsigned kv_head = head_of_block(kv_heads);
    const Group group(heads / kv_heads);
    const RowTile tile(tiles, entry_of_block(kv_heads), group);
    const auto column = [&](unsigned i) { return (size_t)(kv_head * group.heads + tile.head(i)) * head_dim; };
    const auto rows_of = [&](const T* from, unsigned stride) {
        return [=, &tile](unsigned i) -> const T* {
            return i < tile.rows ? from + (size_t)tile.query_row(i) * stride + column(i) : nullptr;
        };
    };
    fill_rows<T>(sides.owned[0], owned_stride(head_dim), ROWS, head_dim, rows_of(q, q_stride));
    fill_rows<T>(sides.owned[1], owned_stride(head_dim), ROWS, head_dim, rows_of(d_out, d_out_stride));

    float sums[OWNED][COLUMNS] = {};
    float row_lse[OWNED], row_delta[OWNED];
    unsigned position[OWNED];
#pragma unroll
    for (unsigned r = 0; r < OWNED; r++) {
        const unsigned i = own + r;
        const size_t at = i < tile.rows ? (size_t)tile.query_row(i) * heads + kv_head * group.heads + tile.head(i) : 0;
        row_lse[r] = lse[at] * LOG2_E;
        row_delta[r] = delta[at];
        position[r] = tile.position_of(i);
    }
    const unsigned end = tile.keys_end();
    for (unsigned start = tile.keys_begin(window); start < end; start += WARP) {
        __syncthreads();
        const auto keys_of = [&](const T* from, unsigned stride) {
            return [=, &tile](unsigned i) -> const T* {
                if (start + i >= end) return nullptr;
                return from + (size_t)tile.key_row(start + i) * stride + (size_t)kv_head * head_dim;
            };
        };
        fill_rows<T>(sides.streamed[0], streamed_stride(head_dim), WARP, head_dim, keys_of(k, k_stride));
        fill_rows<T>(sides.streamed[1], streamed_stride(head_dim), WARP, head_dim, keys_of(v, v_stride));
        __syncthreads();
        const unsigned mine = own * owned_stride(head_dim), theirs = lane * streamed_stride(head_dim);
        float scores[OWNED], d_p[OWNED];
        products(scores, sides.owned[0] + mine, sides.streamed[0] + theirs, head_dim);
        products(d_p, sides.owned[1] + mine, sides.streamed[1] + theirs, head_dim);
#pragma unroll
        for (unsigned r = 0; r < OWNED; r++) {
            const bool seen = own + r < tile.rows && sees(position[r], start + lane, window);
            const float p = seen ? fast_exp2(scores[r] * (scale * LOG2_E) - row_lse[r]) : 0.0f;
            scores[r] = p * (d_p[r] - row_delta[r]);
        }
        weighted_sums(sums, sides.weights + own * WARP, scores, sides.streamed[0], head_dim);
    }
#pragma unroll
    for (unsigned r = 0; r < OWNED; r++) {
        const unsigned i = own + r;
        if (i >= tile.rows) continue;
        store_row(d_q + (size_t)tile.query_row(i) * heads * head_dim + column(i), sums[r], scale, head_dim);
    }
}

template <class T, unsigned COLUMNS>
__device__ void backward_keys(T* d_kv, const T* d_out, const float* lse, const float* delta, const T* q, const T* k,
                              const T* v, const unsigned* tiles, const unsigned* visits, unsigned d_out_stride,
                              unsigned q_stride, unsigned k_stride, unsigned v_stride, unsigned heads,
                              unsigned kv_heads, unsigned head_dim, unsigned window, float scale) {
    constexpr unsigned OWNED = owned_rows(COLUMNS), ROWS = LANE_WARPS * OWNED;
    DYNAMIC_SHARED(shared);
    const Sides sides(shared, ROWS, head_dim);
    const unsigned lane = threadIdx.x % WARP, own = threadIdx.x / WARP * OWNED;

    const unsigned kv_head = head_of_block(kv_heads);
    const Group group(heads / kv_heads);
    const KeyTile tile(tiles, entry_of_block(kv_heads));
    const auto keys_of = [&](const T* from, unsigned stride) {
        return [=, &tile](unsigned i) -> const T* {
            return i < tile.keys ? from + (size_t)(tile.row + i) * stride + (size_t)kv_head * head_dim : nullptr;
        };
    };
    fill_rows<T>(sides.owned[0], owned_stride(head_dim), ROWS, head_dim, keys_of(k, k_stride));
    fill_rows<T>(sides.owned[1], owned_stride(head_dim), ROWS, head_dim, keys_of(v, v_stride));

    float d_keys[OWNED][COLUMNS] = {}, d_values[OWNED][COLUMNS] = {};
    for (unsigned index = tile.visit; index < tile.visit + tile.visits; index++) {
        const Visit visit(visits, index);
        const unsigned rows = visit.queries * group.heads;
        for (unsigned first = 0; first < rows; first += WARP) {
            __syncthreads();
            const auto rows_of = [&](const T* from, unsigned stride) {
                return [=, &visit](unsigned i) -> const T* {
                    const unsigned row = first + i;
                    if (row >= rows) return nullptr;
                    return from + (size_t)(visit.query + group.query(row)) * stride +
                           (size_t)(kv_head * group.heads + group.head(row)) * head_dim;
                };
            };
            fill_rows<T>(sides.streamed[0], streamed_stride(head_dim), WARP, head_dim, rows_of(q, q_stride));
            fill_rows<T>(sides.streamed[1], streamed_stride(head_dim), WARP, head_dim, rows_of(d_out, d_out_stride));
            __syncthreads();
            const unsigned row = first + lane, position = visit.position + group.query(row);
            const bool real = row < rows;
            const size_t at =
                real ? (size_t)(visit.query + group.query(row)) * heads + kv_head * group.heads + group.head(row) : 0;
            const float row_lse = lse[at] * LOG2_E, row_delta = delta[at];
            const unsigned mine = own * owned_stride(head_dim), theirs = lane * streamed_stride(head_dim);
            float p[OWNED], d_s[OWNED];
            products(p, sides.owned[0] + mine, sides.streamed[0] + theirs, head_dim);
#pragma unroll
            for (unsigned r = 0; r < OWNED; r++) {
                const bool seen = real && visit.visible(position, own + r, window);
                p[r] = seen ? fast_exp2(p[r] * (scale * LOG2_E) - row_lse) : 0.0f;
            }
            weighted_sums(d_values, sides.weights + own * WARP, p, sides.streamed[1], head_dim);
            products(d_s, sides.owned[1] + mine, sides.streamed[1] + theirs, head_dim);
#pragma unroll
            for (unsigned r = 0; r < OWNED; r++) d_s[r] = p[r] * (d_s[r] - row_delta);
            weighted_sums(d_keys, sides.weights + own * WARP, d_s, sides.streamed[0], head_dim);
        }
    }
#pragma unroll
    for (unsigned r = 0; r < OWNED; r++) {
        if (own + r >= tile.keys) continue;
        T* to = d_kv + ((size_t)(tile.row + own + r) * 2 * kv_heads + kv_head) * head_dim;
        store_row(to, d_keys[r], scale, head_dim);
        store_row(to + (size_t)kv_heads * head_dim, d_values[r], 1.0f, head_dim);
    }
}

#define QUERIES_PARAMETERS                                                                                        \
    (T * d_q, const T* d_out, const float* lse, const float* delta, const T* q, const T* k, const T* v,           \
     const unsigned* tiles, unsigned d_out_stride, unsigned q_stride, unsigned k_stride, unsigned v_stride,       \
     unsigned heads, unsigned kv_heads, unsigned head_dim, unsigned window, float scale)
#define QUERIES_ARGUMENTS                                                                                    \
    (d_q, d_out, lse, delta, q, k, v, tiles, d_out_stride, q_stride, k_stride, v_stride, heads, kv_heads, head_dim, \
     window, scale)
#define KEYS_PARAMETERS                                                                                       \
    (T * d_kv, const T* d_out, const float* lse, const float* delta, const T* q, const T* k, const T* v,      \
     const unsigned* tiles, const unsigned* visits, unsigned d_out_stride, unsigned q_stride,                 \
     unsigned k_stride, unsigned v_stride, unsigned heads, unsigned kv_heads, unsigned head_dim,              \
     unsigned window, float scale)
#define KEYS_ARGUMENTS                                                                                          \
    (d_kv, d_out, lse, delta, q, k, v, tiles, visits, d_out_stride, q_stride, k_stride, v_stride, heads, kv_heads, \
     head_dim, window, scale)
#define BACKWARD(widest, columns)                                                          \
    template <class T> __device__ void attention_backward_queries_##widest QUERIES_PARAMETERS { \
        backward_queries<T, columns> QUERIES_ARGUMENTS;                                    \
    }                                                                                      \
    EXPORT_FLOATS(attention_backward_queries_##widest, LANE_THREADS, QUERIES_PARAMETERS, QUERIES_ARGUMENTS) \
    template <class T> __device__ void attention_backward_keys_##widest KEYS_PARAMETERS {  \
        backward_keys<T, columns> KEYS_ARGUMENTS;                                          \
    }                                                                                      \
    EXPORT_FLOATS(attention_backward_keys_##widest, LANE_THREADS, KEYS_PARAMETERS, KEYS_ARGUMENTS)

// head_dim at most
BACKWARD(64, 2)
BACKWARD(128, 4)
BACKWARD(256, 8)
