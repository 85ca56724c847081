// √(Σ g²) over the gradients of all weights. Sums are taken in a fixed order: a thread's own elements, a
// block's piece, both in float32 over 64 elements and 8 levels; then all pieces in float64 by one block.
// Bound by memory: 4 bytes an element read.
#include "trained.cuh"

namespace {

// squares [pieces] = Σ g² of each piece; one block a piece.
__device__ void grad_squares_body(float* squares, const TrainedWeight* weights, const Piece* pieces) {
    const Piece piece = pieces[blockIdx.x];
    const TrainedWeight& weight = weights[piece.weight];
    const unsigned long long start = (unsigned long long)piece.index * PIECE;
    const unsigned n = unsigned(min((unsigned long long)PIECE, weight.n - start));
    const float* grad = weight.grad + start;
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    const unsigned vectors = aligned_16(grad) ? n / 4 : 0;
    for (unsigned v = threadIdx.x; v < vectors; v += blockDim.x) {
        const float4 g = *reinterpret_cast<const float4*>(grad + 4 * v);
        sums[0] += g.x * g.x, sums[1] += g.y * g.y, sums[2] += g.z * g.z, sums[3] += g.w * g.w;
    }
    for (unsigned i = 4 * vectors + threadIdx.x; i < n; i += blockDim.x) sums[0] += grad[i] * grad[i];
    const float sum = block_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
    if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

// norm [1] = √(Σ squares) of n pieces; one block.
__device__ void root_of_sum_body(float* norm, const float* squares, unsigned n) {
    __shared__ double partial[WARP];
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    double sum = 0.0;
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) sum += squares[i];
    for (unsigned step = WARP / 2; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    if (lane == 0) partial[warp] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    double total = 0.0;
    for (unsigned w = 0; w < blockDim.x / WARP; w++) total += partial[w];
    norm[0] = float(sqrt(total));
}

}  // namespace

EXPORT(grad_squares, 256, (float* squares, const TrainedWeight* weights, const Piece* pieces),
       (squares, weights, pieces))
EXPORT(root_of_sum, 1024, (float* norm, const float* squares, unsigned n), (norm, squares, n))
