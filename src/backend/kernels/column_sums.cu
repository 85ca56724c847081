// Sums over rows in a fixed order, as gradients of biases and of norms' weights are:
//   sums [parts, width] = (or +=) Σ over the part's rows of dy, or of dy · x · factors[row].
// Row `v` is part v % heads of row v / heads of a matrix whose rows are `stride` apart. A block has
// the columns of a warp and a part of the rows; its warps take turns at those and meet at the end. A
// second launch with the sums as dy adds up the parts. Every value is read once: the speed of memory.
#include "vector.cuh"

constexpr unsigned WARPS = 8;

template <class T, unsigned N>
__device__ __forceinline__ void sum_columns(float* sums, const T* dy, const T* x, const float* factors, unsigned first,
                                            unsigned last, unsigned heads, unsigned stride, unsigned width,
                                            bool accumulate) {
    // columns of a lane apart, so that lanes meet no bank twice
    __shared__ float partial[WARPS][N][WARP];
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    for (unsigned base = blockIdx.x * WARP * N; base < width; base += gridDim.x * WARP * N) {
        const unsigned column = base + lane * N;
        float sum[N] = {};
        if (column < width) {
            for (unsigned row = first + warp; row < last; row += WARPS) {
                const unsigned long long at = (unsigned long long)(row / heads) * stride + row % heads * width + column;
                float d[N];
                load(d, dy + at);
                if (x) {
                    float value[N];
                    load(value, x + at);
                    const float factor = factors[row];
                    for (unsigned i = 0; i < N; i++) d[i] *= value[i] * factor;
                }
                for (unsigned i = 0; i < N; i++) sum[i] += d[i];
            }
        }
        for (unsigned i = 0; i < N; i++) partial[warp][i][lane] = sum[i];
        __syncthreads();
        if (warp == 0 && column < width) {
            for (unsigned i = 0; i < N; i++) {
                float total = accumulate ? sums[column + i] : 0.0f;
                for (unsigned w = 0; w < WARPS; w++) total += partial[w][i][lane];
                sums[column + i] = total;
            }
        }
        __syncthreads();
    }
}

// Part: y of the block. x and factors [rows]: nowhere, or both.
template <class T>
__device__ void column_sums(float* sums, const T* dy, const T* x, const float* factors, unsigned rows, unsigned heads,
                            unsigned stride, unsigned width, unsigned rows_of_part, unsigned accumulate) {
    const unsigned first = blockIdx.y * rows_of_part, last = min(rows, first + rows_of_part);
    sums += (unsigned long long)blockIdx.y * width;
    constexpr unsigned N = VECTOR<T>;
    if (width % N == 0 && stride % N == 0 && aligned_16(dy, x))
        sum_columns<T, N>(sums, dy, x, factors, first, last, heads, stride, width, accumulate);
    else
        sum_columns<T, 1>(sums, dy, x, factors, first, last, heads, stride, width, accumulate);
}

EXPORT_FLOATS(column_sums, 256,
              (float* sums, const T* dy, const T* x, const float* factors, unsigned rows, unsigned heads,
               unsigned stride, unsigned width, unsigned rows_of_part, unsigned accumulate),
              (sums, dy, x, factors, rows, heads, stride, width, rows_of_part, accumulate))
