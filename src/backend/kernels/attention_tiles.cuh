// The pieces of attention on tensor cores: tiles of bf16 rows in shared memory and the fragments that
// mma_16816 takes of them. A tile's rows are DIM elements (64 or 128) without gaps; the 16-byte pieces of a
// row are permuted by the row's number, so that the eight rows of a matrix lie in different banks.
#pragma once
#include "attention.cuh"

constexpr unsigned TILE_WARPS = 4;
constexpr unsigned TILE_THREADS = TILE_WARPS * WARP;
// Elements of a 16-byte piece.
constexpr unsigned PIECE = 8;

template <unsigned DIM> __device__ __forceinline__ bf16* piece(bf16* tile, unsigned row, unsigned index) {
    return tile + row * DIM + (index ^ (row % 8)) * PIECE;
}

// Starts copying a tile of ROWS rows; `from(i)`: the i-th row, or null for zeros.
template <unsigned DIM, unsigned ROWS, class From>
__device__ __forceinline__ void copy_rows(bf16* tile, const bf16* anywhere, From from) {
    constexpr unsigned PIECES = DIM / PIECE, STEP = TILE_THREADS / PIECES;
    const unsigned index = threadIdx.x % PIECES;
#pragma unroll
    for (unsigned i = threadIdx.x / PIECES; i < ROWS; i += STEP) {
        const bf16* row = from(i);
        const bool valid = row != nullptr;
        cp_async_16(piece<DIM>(tile, i, index), valid ? row + index * PIECE : anywhere, valid);
    }
}
