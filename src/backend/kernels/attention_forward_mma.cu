// Attention forward on tensor cores, bf16, head_dim 64 and 128: what attention_general_forward.cu computes,
// in the manner of FlashAttention-2 (2307.08691). A block takes 128 rows and one key head; its warps own 32
// rows each and share tiles of 64 (48) keys, so that a fragment of keys serves two products. Tiles of keys and
// of values take turns in three places: while one is used, the next two are on their way. Bound by the tensor
// cores on long segments, by waiting on short ones.
//
// Dynamic shared memory, 40 KiB for 64 and 68 KiB for 128: queries [128, dim], keys or values [3, 64 (48), dim].
#include "attention_tiles.cuh"

template <unsigned DIM>
__device__ void forward(bf16* out, float* lse, const bf16* q, const bf16* k, const bf16* v, const unsigned* tiles,
                        unsigned q_stride, unsigned k_stride, unsigned v_stride, unsigned heads, unsigned kv_heads,
                        unsigned window, float scale) {
    constexpr unsigned BLOCKS = 2, OWNED = 16 * BLOCKS, ROWS = TILE_WARPS * OWNED;
    // as many as registers hold
    constexpr unsigned KEYS = DIM == 64 ? 64 : 48;
    DYNAMIC_SHARED(shared);
    bf16* queries = reinterpret_cast<bf16*>(shared);
    // place 0..3 of the tile in use; the next tile is in the one after it, the last used in the one before
    unsigned place = 0;
    const auto tile_in = [&](unsigned place) { return queries + (ROWS + place * KEYS) * DIM; };
    const auto last_used = [&] { return tile_in(place == 0 ? 2 : place - 1); };
    const auto turn = [&] { place = place == 2 ? 0 : place + 1; };
    const unsigned lane = threadIdx.x % WARP, own = threadIdx.x / WARP * OWNED;

    const unsigned kv_head = head_of_block(kv_heads);
    const Group group(heads / kv_heads);
    const RowTile tile(tiles, entry_of_block(kv_heads), group);
    const unsigned begin = tile.keys_begin(window), end = tile.keys_end();
    const auto copy_keys = [&](bf16* to, const bf16* from, unsigned stride, unsigned start) {
        if (start < end)
            copy_rows<DIM, KEYS>(to, [&](unsigned i) -> const bf16* {
                if (start + i >= end) return nullptr;
                return from + (size_t)tile.key_row(start + i) * stride + kv_head * DIM;
            });
        cp_async_commit();
    };
    copy_rows<DIM, ROWS>(queries, [&](unsigned i) {
        return i < tile.rows ? q + (size_t)tile.query_row(i) * q_stride + (kv_head * group.heads + tile.head(i)) * DIM
                             : nullptr;
    });
    copy_keys(tile_in(0), k, k_stride, begin);
    copy_keys(tile_in(1), v, v_stride, begin);

    float sums[BLOCKS][DIM / 8][4] = {};
    // the largest score so far; this lane's part of the sum of exp(scale · (score - largest))
    float top[BLOCKS][2], total[BLOCKS][2];
#pragma unroll
    for (unsigned m = 0; m < BLOCKS; m++)
#pragma unroll
        for (unsigned half = 0; half < 2; half++) {
            top[m][half] = -INFINITY;
            total[m][half] = 0.0f;
        }
    const unsigned first_position = tile.position_of(own), last_position = tile.position_of(own + OWNED - 1);
    const float by = scale * LOG2_E;

    for (unsigned start = begin; start < end; start += KEYS) {
        cp_async_wait<1>();
        __syncthreads();
        copy_keys(last_used(), k, k_stride, start + KEYS);
        // whether any row of the warp sees any key of the tile
        const bool any =
            own < tile.rows && start <= last_position && start + KEYS > lowest(first_position, window);
        float scores[BLOCKS][KEYS / 8][4] = {};
        if (any) multiply<DIM, BLOCKS, KEYS>(scores, queries, own, tile_in(place));
        turn();
        cp_async_wait<1>();
        __syncthreads();
        copy_keys(last_used(), v, v_stride, start + KEYS);
        bf16* values = tile_in(place);
        turn();
        if (!any) continue;
        if (start + KEYS > first_position + 1 || start < lowest(last_position, window)) {
#pragma unroll
            for (unsigned m = 0; m < BLOCKS; m++)
#pragma unroll
                for (unsigned half = 0; half < 2; half++) {
                    const unsigned position = tile.position_of(own + 16 * m + 8 * half + lane / 4);
#pragma unroll
                    for (unsigned n = 0; n < KEYS / 8; n++)
#pragma unroll
                        for (unsigned side = 0; side < 2; side++)
                            if (!sees(position, start + 8 * n + lane % 4 * 2 + side, window))
                                scores[m][n][2 * half + side] = -INFINITY;
                }
        }
#pragma unroll
        for (unsigned m = 0; m < BLOCKS; m++)
#pragma unroll
            for (unsigned half = 0; half < 2; half++) {
                float largest = top[m][half];
#pragma unroll
                for (unsigned n = 0; n < KEYS / 8; n++)
                    largest = fmaxf(largest, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
                largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 1));
                largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 2));
                // nothing seen yet: any finite number will do
                const float from = largest == -INFINITY ? 0.0f : largest * by;
                const float fade = fast_exp2(top[m][half] * by - from);
                top[m][half] = largest;
                float sum = 0.0f;
#pragma unroll
                for (unsigned n = 0; n < KEYS / 8; n++)
#pragma unroll
                    for (unsigned e = 2 * half; e < 2 * half + 2; e++) {
                        scores[m][n][e] = fast_exp2(scores[m][n][e] * by - from);
                        sum += scores[m][n][e];
                    }
                total[m][half] = total[m][half] * fade + sum;
#pragma unroll
                for (unsigned n = 0; n < DIM / 8; n++) {
                    sums[m][n][2 * half] *= fade;
                    sums[m][n][2 * half + 1] *= fade;
                }
            }
        accumulate<DIM, BLOCKS, KEYS>(sums, scores, values);
    }
    if (own >= tile.rows) return;
#pragma unroll
    for (unsigned m = 0; m < BLOCKS; m++)
#pragma unroll
        for (unsigned half = 0; half < 2; half++) {
            float& sum = total[m][half];
            sum += __shfl_xor_sync(ALL_LANES, sum, 1);
            sum += __shfl_xor_sync(ALL_LANES, sum, 2);
            const unsigned i = own + 16 * m + 8 * half + lane / 4;
            if (lane % 4 == 0 && i < tile.rows)
                lse[(size_t)tile.query_row(i) * heads + kv_head * group.heads + tile.head(i)] =
                    top[m][half] * scale + logf(sum);
        }
    store_rows<DIM, BLOCKS>(
        sums, queries, own, [&](unsigned m, unsigned half) { return 1.0f / total[m][half]; },
        [&](unsigned i) -> bf16* {
            if (i >= tile.rows) return nullptr;
            return out + ((size_t)tile.query_row(i) * heads + kv_head * group.heads + tile.head(i)) * DIM;
        });
}

#define FORWARD(dim)                                                                                                \
    EXPORT_AS(attention_forward_mma_##dim, forward<dim>, TILE_THREADS,                                              \
              (bf16 * out, float* lse, const bf16* q, const bf16* k, const bf16* v, const unsigned* tiles,          \
               unsigned q_stride, unsigned k_stride, unsigned v_stride, unsigned heads, unsigned kv_heads,          \
               unsigned window, float scale),                                                                       \
              (out, lse, q, k, v, tiles, q_stride, k_stride, v_stride, heads, kv_heads, window, scale))

FORWARD(64)
FORWARD(128)
