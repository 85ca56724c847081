// Attention of segments of one query, as generation has them over a long cache of keys: out, lse as in
// attention_general_forward.cu. A block takes a segment, a key head and up to HEADS of its query heads; its
// warps take turns with the keys, STEP at a time, and are combined in the order of their number, so that
// a segment's result does not depend on what else is there. A lane holds COLUMNS adjacent columns. Bound by
// memory: each key and value is read once for HEADS query heads, and STEP of both are on their way at a time.
#include "attention.cuh"

constexpr unsigned SINGLE_WARPS = 8;
constexpr unsigned HEADS = 4;

// COLUMNS elements in one or two reads, `whole`: they are all there and aligned to 16 bytes or their size.
template <class T, unsigned COLUMNS>
__device__ __forceinline__ void read(float (&to)[COLUMNS], const T* row, unsigned column, unsigned head_dim,
                                     bool whole) {
    constexpr unsigned BYTES = COLUMNS * sizeof(T) < 16 ? COLUMNS * sizeof(T) : 16;
    struct alignas(BYTES) Piece {
        T values[BYTES / sizeof(T)];
    };
    constexpr unsigned LENGTH = BYTES / sizeof(T);
    if (whole) {
#pragma unroll
        for (unsigned c = 0; c < COLUMNS; c += LENGTH) {
            const Piece piece = *reinterpret_cast<const Piece*>(row + column + c);
#pragma unroll
            for (unsigned i = 0; i < LENGTH; i++) to[c + i] = to_float(piece.values[i]);
        }
    } else {
#pragma unroll
        for (unsigned c = 0; c < COLUMNS; c++) to[c] = column + c < head_dim ? to_float(row[column + c]) : 0.0f;
    }
}

template <class T, unsigned COLUMNS>
__device__ void single(T* out, float* lse, const T* q, const T* k, const T* v, const unsigned* tiles,
                       unsigned q_stride, unsigned k_stride, unsigned v_stride, unsigned heads, unsigned kv_heads,
                       unsigned head_dim, unsigned window, float scale, unsigned aligned) {
    constexpr unsigned STEP = COLUMNS == 8 ? 2 : 4;
    __shared__ float tops[SINGLE_WARPS][HEADS], totals[SINGLE_WARPS][HEADS];
    __shared__ float parts[SINGLE_WARPS][HEADS][WARP * COLUMNS];
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, column = lane * COLUMNS;
    const unsigned group = heads / kv_heads, kv_head = head_of_block(kv_heads), first = blockIdx.y * HEADS;
    const unsigned here = min(group - first, HEADS);
    const RowTile tile(tiles, entry_of_block(kv_heads), Group(group));
    const bool whole = aligned != 0 && head_dim == WARP * COLUMNS;
    const size_t head = kv_head * group + first;

    float query[HEADS][COLUMNS] = {}, sums[HEADS][COLUMNS] = {};
    float top[HEADS], total[HEADS];
#pragma unroll
    for (unsigned h = 0; h < HEADS; h++) {
        top[h] = -INFINITY;
        total[h] = 0.0f;
        if (h < here)
            read(query[h], q + (size_t)tile.query * q_stride + (head + h) * head_dim, column, head_dim, whole);
    }
    const unsigned end = tile.position + 1;
    for (unsigned key = lowest(tile.position, window) + warp * STEP; key < end; key += SINGLE_WARPS * STEP) {
        float keys[STEP][COLUMNS] = {}, values[STEP][COLUMNS] = {};
#pragma unroll
        for (unsigned i = 0; i < STEP; i++) {
            if (key + i >= end) break;
            const size_t row = tile.key_row(key + i);
            read(keys[i], k + row * k_stride + (size_t)kv_head * head_dim, column, head_dim, whole);
            read(values[i], v + row * v_stride + (size_t)kv_head * head_dim, column, head_dim, whole);
        }
#pragma unroll
        for (unsigned h = 0; h < HEADS; h++) {
            if (h >= here) break;
            float scores[STEP], next = top[h];
#pragma unroll
            for (unsigned i = 0; i < STEP; i++) {
                float score = 0.0f;
#pragma unroll
                for (unsigned c = 0; c < COLUMNS; c++) score += query[h][c] * keys[i][c];
                scores[i] = key + i < end ? warp_sum(score) * (scale * LOG2_E) : -INFINITY;
                next = fmaxf(next, scores[i]);
            }
            const float fade = fast_exp2(top[h] - next);
            top[h] = next;
            total[h] *= fade;
#pragma unroll
            for (unsigned c = 0; c < COLUMNS; c++) sums[h][c] *= fade;
#pragma unroll
            for (unsigned i = 0; i < STEP; i++) {
                const float p = fast_exp2(scores[i] - next);
                total[h] += p;
#pragma unroll
                for (unsigned c = 0; c < COLUMNS; c++) sums[h][c] += p * values[i][c];
            }
        }
    }
#pragma unroll
    for (unsigned h = 0; h < HEADS; h++) {
        tops[warp][h] = top[h];
        totals[warp][h] = total[h];
#pragma unroll
        for (unsigned c = 0; c < COLUMNS; c++) parts[warp][h][c * WARP + lane] = sums[h][c];
    }
    __syncthreads();
    // warp 0 has seen a key, so the largest is finite
    if (warp >= here) return;
    float largest = -INFINITY, sum = 0.0f, found[COLUMNS] = {};
    for (unsigned w = 0; w < SINGLE_WARPS; w++) largest = fmaxf(largest, tops[w][warp]);
    for (unsigned w = 0; w < SINGLE_WARPS; w++) {
        const float fade = fast_exp2(tops[w][warp] - largest);
        sum += totals[w][warp] * fade;
#pragma unroll
        for (unsigned c = 0; c < COLUMNS; c++) found[c] += parts[w][warp][c * WARP + lane] * fade;
    }
    T* to = out + ((size_t)tile.query * heads + head + warp) * head_dim;
#pragma unroll
    for (unsigned c = 0; c < COLUMNS; c++)
        if (column + c < head_dim) to[column + c] = from_float<T>(found[c] / sum);
    if (lane == 0) lse[(size_t)tile.query * heads + head + warp] = largest * LN_2 + logf(sum);
}

#define PARAMETERS                                                                                        \
    (T * out, float* lse, const T* q, const T* k, const T* v, const unsigned* tiles, unsigned q_stride,   \
     unsigned k_stride, unsigned v_stride, unsigned heads, unsigned kv_heads, unsigned head_dim,          \
     unsigned window, float scale, unsigned aligned)
#define ARGUMENTS \
    (out, lse, q, k, v, tiles, q_stride, k_stride, v_stride, heads, kv_heads, head_dim, window, scale, aligned)
#define SINGLE(widest, columns)                                                                               \
    template <class T> __device__ void attention_single_##widest PARAMETERS { single<T, columns> ARGUMENTS; } \
    EXPORT_FLOATS(attention_single_##widest, SINGLE_WARPS * WARP, PARAMETERS, ARGUMENTS)

// head_dim at most
SINGLE(64, 2)
SINGLE(128, 4)
SINGLE(256, 8)
