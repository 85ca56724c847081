// Attention backward on tensor cores, bf16, head_dim 64 and 128: what attention_general_backward.cu computes.
// A warp owns 16 rows (or keys) of a block's 64 and multiplies them with tiles of the other side, two of
// which are in shared memory: one in use, one on its way. Scores are made transposed for dK and dV, so that
// what a product leaves in registers is what the next one takes. Seven products in place of the five of a
// kernel that adds up dQ with atomics: the price of the same bits every time. Bound by shared memory reads:
// one of 512 bytes for two mma.
//
// Dynamic shared memory, 49.5 KiB for 64 and 64.75 KiB for 128: owned [2, 64, dim], streamed [2, 2, rows,
// dim], and three numbers of each streamed row [2, 3, rows], where rows = 64 for 64 and 32 for 128.
#include "attention_tiles.cuh"

constexpr unsigned OWNED = 16, OWNERS = TILE_WARPS * OWNED;

__host__ __device__ constexpr unsigned streamed_rows(unsigned dim) { return dim == 64 ? 64 : 32; }

// The two sides in shared memory.
template <unsigned DIM> struct Sides {
    bf16* start;

    __device__ __forceinline__ bf16* owned(unsigned which) const { return start + which * OWNERS * DIM; }
    __device__ __forceinline__ bf16* streamed(unsigned stage, unsigned which) const {
        return start + 2 * OWNERS * DIM + (2 * stage + which) * streamed_rows(DIM) * DIM;
    }
    // Log-sum-exps times log2(e), deltas and positions of the streamed rows.
    __device__ __forceinline__ float* numbers(unsigned stage, unsigned which) const {
        float* first = reinterpret_cast<float*>(start + (2 * OWNERS + 4 * streamed_rows(DIM)) * DIM);
        return first + (3 * stage + which) * streamed_rows(DIM);
    }
    __device__ __forceinline__ unsigned* positions(unsigned stage) const {
        return reinterpret_cast<unsigned*>(numbers(stage, 2));
    }
};

template <unsigned DIM>
__device__ void backward_queries(bf16* d_q, const bf16* d_out, const float* lse, const float* delta, const bf16* q,
                                 const bf16* k, const bf16* v, const unsigned* tiles, unsigned d_out_stride,
                                 unsigned q_stride, unsigned k_stride, unsigned v_stride, unsigned heads,
                                 unsigned kv_heads, unsigned window, float scale) {
    constexpr unsigned KEYS = streamed_rows(DIM);
    DYNAMIC_SHARED(shared);
    const Sides<DIM> sides{reinterpret_cast<bf16*>(shared)};
    const unsigned lane = threadIdx.x % WARP, own = threadIdx.x / WARP * OWNED;

    const unsigned kv_head = head_of_block(kv_heads);
    const Group group(heads / kv_heads);
    const RowTile tile(tiles, entry_of_block(kv_heads), group);
    const unsigned begin = tile.keys_begin(window), end = tile.keys_end();
    const auto rows_of = [&](const bf16* from, unsigned stride) {
        return [=, &tile](unsigned i) -> const bf16* {
            if (i >= tile.rows) return nullptr;
            return from + (size_t)tile.query_row(i) * stride + (kv_head * group.heads + tile.head(i)) * DIM;
        };
    };
    const auto copy_keys = [&](unsigned stage, unsigned start) {
        const auto keys_of = [&](const bf16* from, unsigned stride) {
            return [=, &tile](unsigned i) -> const bf16* {
                if (start + i >= end) return nullptr;
                return from + (size_t)tile.key_row(start + i) * stride + kv_head * DIM;
            };
        };
        copy_rows<DIM, KEYS>(sides.streamed(stage, 0), keys_of(k, k_stride));
        copy_rows<DIM, KEYS>(sides.streamed(stage, 1), keys_of(v, v_stride));
    };
    copy_rows<DIM, OWNERS>(sides.owned(0), rows_of(q, q_stride));
    copy_rows<DIM, OWNERS>(sides.owned(1), rows_of(d_out, d_out_stride));
    copy_keys(0, begin);
    cp_async_commit();

    float sums[1][DIM / 8][4] = {};
    float row_lse[2], row_delta[2];
    unsigned position[2];
#pragma unroll
    for (unsigned half = 0; half < 2; half++) {
        const unsigned i = own + 8 * half + lane / 4;
        const bool real = i < tile.rows;
        const size_t at = real ? (size_t)tile.query_row(i) * heads + kv_head * group.heads + tile.head(i) : 0;
        row_lse[half] = real ? lse[at] * LOG2_E : INFINITY;
        row_delta[half] = real ? delta[at] : 0.0f;
        position[half] = tile.position_of(i);
    }
    const unsigned first_position = tile.position_of(own), last_position = tile.position_of(own + OWNED - 1);
    const float by = scale * LOG2_E;

    unsigned stage = 0;
    for (unsigned start = begin; start < end; start += KEYS, stage ^= 1) {
        cp_async_wait<0>();
        __syncthreads();
        if (start + KEYS < end) copy_keys(stage ^ 1, start + KEYS);
        cp_async_commit();
        if (own >= tile.rows || start > last_position || start + KEYS <= lowest(first_position, window)) continue;
        float scores[1][KEYS / 8][4] = {}, d_p[1][KEYS / 8][4] = {};
        multiply<DIM, 1, KEYS>(scores, sides.owned(0), own, sides.streamed(stage, 0));
        multiply<DIM, 1, KEYS>(d_p, sides.owned(1), own, sides.streamed(stage, 1));
        const bool all = start + KEYS <= first_position + 1 && start >= lowest(last_position, window);
#pragma unroll
        for (unsigned n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (unsigned e = 0; e < 4; e++) {
                const unsigned key = start + 8 * n + lane % 4 * 2 + e % 2;
                float& score = scores[0][n][e];
                const bool seen = all || sees(position[e / 2], key, window);
                const float p = seen ? fast_exp2(score * by - row_lse[e / 2]) : 0.0f;
                score = p * (d_p[0][n][e] - row_delta[e / 2]);
            }
        accumulate<DIM, 1, KEYS>(sums, scores, sides.streamed(stage, 0));
    }
    if (own >= tile.rows) return;
    store_rows<DIM, 1>(
        sums, sides.owned(0), own, [&](unsigned, unsigned) { return scale; },
        [&](unsigned i) -> bf16* {
            if (i >= tile.rows) return nullptr;
            return d_q + ((size_t)tile.query_row(i) * heads + kv_head * group.heads + tile.head(i)) * DIM;
        });
}

// Tiles of rows of all visits to a tile of keys, one after another.
struct Walk {
    const unsigned* visits;
    unsigned index, end;
    Group group;
    Visit visit;
    unsigned first;  // row of the visit

    __device__ __forceinline__ Walk(const unsigned* visits, const KeyTile& tile, Group group)
        : visits(visits), index(tile.visit), end(tile.visit + tile.visits), group(group),
          visit(visits, tile.visits > 0 ? tile.visit : 0), first(0) {}

    __device__ __forceinline__ bool done() const { return index == end; }
    __device__ __forceinline__ unsigned rows() const { return visit.queries * group.heads; }
    __device__ __forceinline__ unsigned position_of(unsigned row) const { return visit.position + group.query(row); }
    __device__ __forceinline__ void advance(unsigned step) {
        first += step;
        if (first < rows()) return;
        first = 0;
        if (++index < end) visit = Visit(visits, index);
    }
};

template <unsigned DIM>
__device__ void backward_keys(bf16* d_kv, const bf16* d_out, const float* lse, const float* delta, const bf16* q,
                              const bf16* k, const bf16* v, const unsigned* tiles, const unsigned* visits,
                              unsigned d_out_stride, unsigned q_stride, unsigned k_stride, unsigned v_stride,
                              unsigned heads, unsigned kv_heads, unsigned window, float scale) {
    constexpr unsigned ROWS = streamed_rows(DIM);
    DYNAMIC_SHARED(shared);
    const Sides<DIM> sides{reinterpret_cast<bf16*>(shared)};
    const unsigned lane = threadIdx.x % WARP, own = threadIdx.x / WARP * OWNED;

    const unsigned kv_head = head_of_block(kv_heads);
    const Group group(heads / kv_heads);
    const KeyTile tile(tiles, entry_of_block(kv_heads));
    const auto keys_of = [&](const bf16* from, unsigned stride) {
        return [=, &tile](unsigned i) -> const bf16* {
            return i < tile.keys ? from + (size_t)(tile.row + i) * stride + kv_head * DIM : nullptr;
        };
    };
    // of the row that this thread brings
    float its_lse, its_delta;
    unsigned its_position;
    const auto fetch = [&](unsigned stage, const Walk& walk) {
        const auto rows_of = [&](const bf16* from, unsigned stride) {
            return [=, &walk](unsigned i) -> const bf16* {
                const unsigned row = walk.first + i;
                if (row >= walk.rows()) return nullptr;
                return from + (size_t)(walk.visit.query + group.query(row)) * stride + (kv_head * group.heads + group.head(row)) * DIM;
            };
        };
        copy_rows<DIM, ROWS>(sides.streamed(stage, 0), rows_of(q, q_stride));
        copy_rows<DIM, ROWS>(sides.streamed(stage, 1), rows_of(d_out, d_out_stride));
        if (threadIdx.x >= ROWS) return;
        const unsigned row = walk.first + threadIdx.x;
        const bool real = row < walk.rows();
        const size_t at =
            real ? (size_t)(walk.visit.query + group.query(row)) * heads + kv_head * group.heads + group.head(row) : 0;
        its_lse = real ? lse[at] * LOG2_E : INFINITY;
        its_delta = real ? delta[at] : 0.0f;
        its_position = walk.position_of(row);
    };
    const auto put_numbers = [&](unsigned stage) {
        if (threadIdx.x >= ROWS) return;
        sides.numbers(stage, 0)[threadIdx.x] = its_lse;
        sides.numbers(stage, 1)[threadIdx.x] = its_delta;
        sides.positions(stage)[threadIdx.x] = its_position;
    };

    float d_keys[1][DIM / 8][4] = {}, d_values[1][DIM / 8][4] = {};
    const float by = scale * LOG2_E;
    Walk here(visits, tile, group);
    copy_rows<DIM, OWNERS>(sides.owned(0), keys_of(k, k_stride));
    copy_rows<DIM, OWNERS>(sides.owned(1), keys_of(v, v_stride));
    if (!here.done()) {
        fetch(0, here);
        put_numbers(0);
    }
    cp_async_commit();
    for (unsigned stage = 0; !here.done(); stage ^= 1) {
        Walk next = here;
        next.advance(ROWS);
        cp_async_wait<0>();
        __syncthreads();
        if (!next.done()) fetch(stage ^ 1, next);
        cp_async_commit();
        const Visit& visit = here.visit;
        const unsigned first_position = here.position_of(here.first);
        const unsigned last_position = here.position_of(min(here.first + ROWS, here.rows()) - 1);
        // whether any row sees any key of the warp, and whether all see all
        const bool any = own < visit.end && own + OWNED > visit.begin &&
                         (own < visit.begin || visit.key + own <= last_position);
        if (any) {
            float p[1][ROWS / 8][4] = {}, d_s[1][ROWS / 8][4] = {};
            multiply<DIM, 1, ROWS>(p, sides.owned(0), own, sides.streamed(stage, 0));
            multiply<DIM, 1, ROWS>(d_s, sides.owned(1), own, sides.streamed(stage, 1));
            const bool all = own >= visit.begin && own + OWNED <= visit.end &&
                             visit.key + own + OWNED <= first_position + 1 &&
                             last_position - (visit.key + own) < window;
#pragma unroll
            for (unsigned n = 0; n < ROWS / 8; n++)
#pragma unroll
                for (unsigned side = 0; side < 2; side++) {
                    const unsigned row = 8 * n + lane % 4 * 2 + side;
                    const float row_lse = sides.numbers(stage, 0)[row], row_delta = sides.numbers(stage, 1)[row];
                    const unsigned position = sides.positions(stage)[row];
#pragma unroll
                    for (unsigned half = 0; half < 2; half++) {
                        const unsigned e = 2 * half + side;
                        const bool seen = all || visit.visible(position, own + 8 * half + lane / 4, window);
                        p[0][n][e] = seen ? fast_exp2(p[0][n][e] * by - row_lse) : 0.0f;
                        d_s[0][n][e] = p[0][n][e] * (d_s[0][n][e] - row_delta);
                    }
                }
            accumulate<DIM, 1, ROWS>(d_values, p, sides.streamed(stage, 1));
            accumulate<DIM, 1, ROWS>(d_keys, d_s, sides.streamed(stage, 0));
        }
        if (!next.done()) put_numbers(stage ^ 1);
        here = next;
    }
    // nobody sees the tile: the copies of its keys are still on their way to where the zeros pass through
    cp_async_wait<0>();
    __syncthreads();
    if (own >= tile.keys) return;
    const auto to = [&](unsigned head) {
        return [=, &tile](unsigned i) -> bf16* {
            return i < tile.keys ? d_kv + ((size_t)(tile.row + i) * 2 * kv_heads + head) * DIM : nullptr;
        };
    };
    store_rows<DIM, 1>(d_keys, sides.owned(0), own, [&](unsigned, unsigned) { return scale; }, to(kv_head));
    store_rows<DIM, 1>(
        d_values, sides.owned(1), own, [](unsigned, unsigned) { return 1.0f; }, to(kv_heads + kv_head));
}

#define BACKWARD(dim)                                                                                               \
    EXPORT_AS(attention_backward_queries_mma_##dim, backward_queries<dim>, TILE_THREADS,                            \
              (bf16 * d_q, const bf16* d_out, const float* lse, const float* delta, const bf16* q, const bf16* k,   \
               const bf16* v, const unsigned* tiles, unsigned d_out_stride, unsigned q_stride, unsigned k_stride,   \
               unsigned v_stride, unsigned heads, unsigned kv_heads, unsigned window, float scale),                 \
              (d_q, d_out, lse, delta, q, k, v, tiles, d_out_stride, q_stride, k_stride, v_stride, heads, kv_heads, \
               window, scale))                                                                                      \
    EXPORT_AS(attention_backward_keys_mma_##dim, backward_keys<dim>, TILE_THREADS,                                  \
              (bf16 * d_kv, const bf16* d_out, const float* lse, const float* delta, const bf16* q, const bf16* k,  \
               const bf16* v, const unsigned* tiles, const unsigned* visits, unsigned d_out_stride,                 \
               unsigned q_stride, unsigned k_stride, unsigned v_stride, unsigned heads, unsigned kv_heads,          \
               unsigned window, float scale),                                                                       \
              (d_kv, d_out, lse, delta, q, k, v, tiles, visits, d_out_stride, q_stride, k_stride, v_stride, heads,  \
               kv_heads, window, scale))

BACKWARD(64)
BACKWARD(128)
