// The pieces of attention on tensor cores: tiles of bf16 rows in shared memory, and products of the rows
// that a warp owns (BLOCKS times 16 of them) with ROWS streamed ones. A tile's rows are DIM elements, 64 or
// 128, without gaps; the 16-byte pieces of a row are permuted by the row's number, so that the eight rows of
// a matrix lie in different banks.
//
// In fragments of a product [16, 8] lane l holds rows l / 4 and l / 4 + 8, columns 2 (l % 4) and the next:
// elements 0, 1 and 2, 3.
#pragma once
#include "attention.cuh"

constexpr unsigned TILE_WARPS = 4;
constexpr unsigned TILE_THREADS = TILE_WARPS * WARP;
// Elements of 16 bytes.
constexpr unsigned PIECE = 8;

template <unsigned DIM> __device__ __forceinline__ bf16* piece_of(bf16* tile, unsigned row, unsigned index) {
    return tile + row * DIM + (index ^ (row % 8)) * PIECE;
}

// Starts copying a tile of ROWS rows; `from(i)`: the i-th row, or null for zeros.
template <unsigned DIM, unsigned ROWS, class From>
__device__ __forceinline__ void copy_rows(bf16* tile, From from) {
    constexpr unsigned PIECES = DIM / PIECE;
    const unsigned index = threadIdx.x % PIECES;
#pragma unroll 2
    for (unsigned i = threadIdx.x / PIECES; i < ROWS; i += TILE_THREADS / PIECES) {
        const bf16* row = from(i);
        cp_async_16(piece_of<DIM>(tile, i, index), row + (row != nullptr ? index * PIECE : 0), row != nullptr);
    }
}

// a ← rows row..+16 of a tile, columns 16 k..+16.
template <unsigned DIM>
__device__ __forceinline__ void load_a(uint32_t (&a)[4], bf16* tile, unsigned row, unsigned k) {
    const unsigned lane = threadIdx.x % WARP;
    ldmatrix_x4(a, piece_of<DIM>(tile, row + lane % 16, 2 * k + lane / 16));
}

// products [16 BLOCKS, ROWS] += owned rows `row`.. × streamedᵀ.
template <unsigned DIM, unsigned BLOCKS, unsigned ROWS>
__device__ __forceinline__ void multiply(float (&products)[BLOCKS][ROWS / 8][4], bf16* owned, unsigned row,
                                         bf16* streamed) {
    const unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (unsigned k = 0; k < DIM / 16; k++) {
        uint32_t a[BLOCKS][4];
#pragma unroll
        for (unsigned m = 0; m < BLOCKS; m++) load_a<DIM>(a[m], owned, row + 16 * m, k);
#pragma unroll
        for (unsigned n = 0; n < ROWS / 16; n++) {
            uint32_t b[4];
            ldmatrix_x4(b, piece_of<DIM>(streamed, 16 * n + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
            const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
#pragma unroll
            for (unsigned m = 0; m < BLOCKS; m++) {
                mma_16816(products[m][2 * n], a[m], first);
                mma_16816(products[m][2 * n + 1], a[m], second);
            }
        }
    }
}

// sums [16 BLOCKS, DIM] += weights [16 BLOCKS, ROWS], rounded to bf16, × streamed.
template <unsigned DIM, unsigned BLOCKS, unsigned ROWS>
__device__ __forceinline__ void accumulate(float (&sums)[BLOCKS][DIM / 8][4],
                                           const float (&weights)[BLOCKS][ROWS / 8][4], bf16* streamed) {
    const unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (unsigned k = 0; k < ROWS / 16; k++) {
        uint32_t a[BLOCKS][4];
#pragma unroll
        for (unsigned m = 0; m < BLOCKS; m++) {
            const float(&left)[4] = weights[m][2 * k], (&right)[4] = weights[m][2 * k + 1];
            a[m][0] = pack_bf16(left[0], left[1]);
            a[m][1] = pack_bf16(left[2], left[3]);
            a[m][2] = pack_bf16(right[0], right[1]);
            a[m][3] = pack_bf16(right[2], right[3]);
        }
#pragma unroll
        for (unsigned n = 0; n < DIM / 16; n++) {
            uint32_t b[4];
            ldmatrix_x4_trans(b, piece_of<DIM>(streamed, 16 * k + lane % 16, 2 * n + lane / 16));
            const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
#pragma unroll
            for (unsigned m = 0; m < BLOCKS; m++) {
                mma_16816(sums[m][2 * n], a[m], first);
                mma_16816(sums[m][2 * n + 1], a[m], second);
            }
        }
    }
}

// Writes sums [16 BLOCKS, DIM] · scale to rows of global memory by way of the warp's own rows `row`.. of
// `tile`, which it needs no more. `scale(m, half)`: of the lane's row 16 m + 8 half + lane / 4; `to(i)`:
// where row i of the tile goes, or null for nowhere.
template <unsigned DIM, unsigned BLOCKS, class Scale, class To>
__device__ __forceinline__ void store_rows(const float (&sums)[BLOCKS][DIM / 8][4], bf16* tile, unsigned row,
                                           Scale scale, To to) {
    const unsigned lane = threadIdx.x % WARP;
    __syncwarp();
#pragma unroll
    for (unsigned m = 0; m < BLOCKS; m++)
#pragma unroll
        for (unsigned half = 0; half < 2; half++) {
            const float by = scale(m, half);
#pragma unroll
            for (unsigned n = 0; n < DIM / 8; n++) {
                bf16* at = piece_of<DIM>(tile, row + 16 * m + 8 * half + lane / 4, n) + 2 * (lane % 4);
                const uint32_t pair = pack_bf16(sums[m][n][2 * half] * by, sums[m][n][2 * half + 1] * by);
                memcpy(at, &pair, sizeof(pair));
            }
        }
    __syncwarp();
    constexpr unsigned PIECES = DIM / PIECE;
    const unsigned index = lane % PIECES;
#pragma unroll
    for (unsigned i = row + lane / PIECES; i < row + 16 * BLOCKS; i += WARP / PIECES) {
        bf16* at = to(i);
        if (at == nullptr) continue;
        *reinterpret_cast<uint4*>(at + index * PIECE) =
            *reinterpret_cast<const uint4*>(piece_of<DIM>(tile, i, index));
    }
}
