// The pieces of attention on CUDA cores, for any head_dim up to 256, in float32: a warp owns some rows of
// one side in shared memory and streams tiles of 32 rows of the other side past them. For products over
// head_dim a lane takes one streamed row; for weighted sums of streamed rows it takes COLUMNS columns,
// 32 apart.
#pragma once
#include "attention.cuh"

constexpr unsigned LANE_WARPS = 4;
constexpr unsigned LANE_THREADS = LANE_WARPS * WARP;

// Rows that a warp owns: what registers and shared memory allow.
__host__ __device__ constexpr unsigned owned_rows(unsigned columns) { return columns == 8 ? 4 : 8; }

// Floats from one row to the next: 16-byte reads of 32 streamed rows fall into different banks.
__device__ __forceinline__ unsigned owned_stride(unsigned head_dim) { return (head_dim + 3) / 4 * 4; }
__device__ __forceinline__ unsigned streamed_stride(unsigned head_dim) { return owned_stride(head_dim) + 4; }

// to [rows, stride] ← the block's rows, zeros past head_dim; `from(i)`: the i-th row, or null for zeros.
template <class T, class From>
__device__ void fill_rows(float* to, unsigned stride, unsigned rows, unsigned head_dim, From from) {
    const unsigned lane = threadIdx.x % WARP;
#pragma unroll 1
    for (unsigned i = threadIdx.x / WARP; i < rows; i += LANE_WARPS) {
        const T* row = from(i);
#pragma unroll 2
        for (unsigned c = lane; c < owned_stride(head_dim); c += WARP)
            to[i * stride + c] = row != nullptr && c < head_dim ? to_float(row[c]) : 0.0f;
    }
}

// sums[r] ← owned row r · `streamed`, a row each lane.
template <unsigned ROWS>
__device__ void products(float (&sums)[ROWS], const float* owned, const float* streamed, unsigned head_dim) {
    const unsigned stride = owned_stride(head_dim);
    for (unsigned r = 0; r < ROWS; r++) sums[r] = 0.0f;
#pragma unroll 1
    for (unsigned c = 0; c < stride; c += 4) {
        const float4 b = *reinterpret_cast<const float4*>(streamed + c);
#pragma unroll
        for (unsigned r = 0; r < ROWS; r++) {
            const float4 a = *reinterpret_cast<const float4*>(owned + r * stride + c);
            sums[r] += a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
        }
    }
}

// sums[r][c] += Σ_j weights[r][j] · streamed[j][lane + 32 c] over 32 streamed rows. `weights` [ROWS, 32]
// is the warp's; lane j gives weight j of each row.
template <unsigned ROWS, unsigned COLUMNS>
__device__ void weighted_sums(float (&sums)[ROWS][COLUMNS], float* weights, const float (&weight)[ROWS],
                              const float* streamed, unsigned head_dim) {
    const unsigned lane = threadIdx.x % WARP, stride = streamed_stride(head_dim);
    __syncwarp();
    for (unsigned r = 0; r < ROWS; r++) weights[r * WARP + lane] = weight[r];
    __syncwarp();
#pragma unroll 1
    for (unsigned j = 0; j < WARP; j += 4) {
        float b[4][COLUMNS];
#pragma unroll
        for (unsigned i = 0; i < 4; i++)
#pragma unroll
            for (unsigned c = 0; c < COLUMNS; c++) {
                const unsigned column = lane + WARP * c;
                b[i][c] = column < head_dim ? streamed[(j + i) * stride + column] : 0.0f;
            }
#pragma unroll
        for (unsigned r = 0; r < ROWS; r++) {
            const float4 a = *reinterpret_cast<const float4*>(weights + r * WARP + j);
#pragma unroll
            for (unsigned c = 0; c < COLUMNS; c++)
                sums[r][c] += a.x * b[0][c] + a.y * b[1][c] + a.z * b[2][c] + a.w * b[3][c];
        }
    }
}

// to[lane + 32 c] ← scale · sums[c].
template <class T, unsigned COLUMNS>
__device__ void store_row(T* to, const float (&sums)[COLUMNS], float scale, unsigned head_dim) {
#pragma unroll
    for (unsigned c = 0; c < COLUMNS; c++) {
        const unsigned column = threadIdx.x % WARP + WARP * c;
        if (column < head_dim) to[column] = from_float<T>(scale * sums[c]);
    }
}
