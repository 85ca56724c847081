// RMSNorm and its backward over rows of `width` values:
//   y = x · w · r,   r = 1 / √(mean(x²) + eps),   dx = dy · w · r − x · r³ · mean(dy · w · x).
// Row `v` is part v % heads of row v / heads of a matrix whose rows are `stride` apart; heads = 1 and
// stride = width are rows of their own. A team of threads, a warp or the block, has a row and keeps what
// fits of it in registers, so that it is read once: the speed is that of memory. Sums are float32.
#include "vector.cuh"

// Vectors of a row that a thread keeps.
constexpr unsigned KEPT = 2;

__device__ __forceinline__ float team_sum(float x, unsigned team) { return team == WARP ? warp_sum(x) : block_sum(x); }

__device__ __forceinline__ unsigned team_row(unsigned team) {
    return blockIdx.x * (blockDim.x / team) + threadIdx.x / team;
}

__device__ __forceinline__ unsigned long long row_start(unsigned row, unsigned heads, unsigned stride, unsigned width) {
    return (unsigned long long)(row / heads) * stride + row % heads * width;
}

// With b, x + b, rounded, is what is normalised, and goes to `sum`.
template <class T, unsigned N>
__device__ __forceinline__ void norm_row(T* y, float* inverse, T* sum, const T* x, const T* b, const T* weight,
                                         unsigned width, float eps, unsigned team) {
    const unsigned rank = threadIdx.x % team;
    float kept[KEPT][N], squares = 0.0f;
    auto read = [&](float (&values)[N], unsigned at) {
        load(values, x + at);
        if (b) {
            float more[N];
            load(more, b + at);
            for (unsigned i = 0; i < N; i++) values[i] = to_float(from_float<T>(values[i] + more[i]));
            store(sum + at, values);
        }
        for (unsigned i = 0; i < N; i++) squares += values[i] * values[i];
    };
    auto write = [&](float (&values)[N], unsigned at, float r) {
        float w[N];
        load(w, weight + at);
        for (unsigned i = 0; i < N; i++) values[i] *= r * w[i];
        store(y + at, values);
    };
    for (unsigned k = 0; k < KEPT; k++) {
        const unsigned at = (k * team + rank) * N;
        if (at < width) read(kept[k], at);
    }
    for (unsigned at = (KEPT * team + rank) * N; at < width; at += team * N) {
        float values[N];
        read(values, at);
    }
    const float r = rsqrtf(team_sum(squares, team) / width + eps);
    if (rank == 0) *inverse = r;
    for (unsigned k = 0; k < KEPT; k++) {
        const unsigned at = (k * team + rank) * N;
        if (at < width) write(kept[k], at, r);
    }
    for (unsigned at = (KEPT * team + rank) * N; at < width; at += team * N) {
        float values[N];
        load(values, (b ? sum : x) + at);
        write(values, at, r);
    }
}

// y and x: rows of one stride, may be the same. b, sum: nowhere, or rows of their own. inverse [rows].
template <class T>
__device__ void rms_norm(T* y, float* inverse, T* sum, const T* x, const T* b, const T* weight, unsigned rows,
                         unsigned heads, unsigned stride, unsigned width, float eps, unsigned team) {
    const unsigned row = team_row(team);
    if (row >= rows) return;
    const unsigned long long start = row_start(row, heads, stride, width), own = (unsigned long long)row * width;
    constexpr unsigned N = VECTOR<T>;
    const T* more = b ? b + own : nullptr;
    if (width % N == 0 && stride % N == 0 && aligned_16(y, sum, x, b, weight))
        norm_row<T, N>(y + start, inverse + row, sum + own, x + start, more, weight, width, eps, team);
    else
        norm_row<T, 1>(y + start, inverse + row, sum + own, x + start, more, weight, width, eps, team);
}

EXPORT_FLOATS(rms_norm, 1024,
              (T* y, float* inverse, T* sum, const T* x, const T* b, const T* weight, unsigned rows, unsigned heads,
               unsigned stride, unsigned width, float eps, unsigned team),
              (y, inverse, sum, x, b, weight, rows, heads, stride, width, eps, team))

template <class T, unsigned N>
__device__ __forceinline__ void backward_row(T* dx, const T* x, const T* dy, const T* weight, float r, unsigned width,
                                             bool accumulate, unsigned team) {
    const unsigned rank = threadIdx.x % team;
    float xs[KEPT][N], ds[KEPT][N], dot = 0.0f;
    // d: dy · w
    auto read = [&](float (&value)[N], float (&d)[N], unsigned at) {
        float w[N];
        load(value, x + at);
        load(d, dy + at);
        load(w, weight + at);
        for (unsigned i = 0; i < N; i++) d[i] *= w[i];
    };
    auto write = [&](const float (&value)[N], const float (&d)[N], unsigned at, float projection) {
        float before[N];
        if (accumulate) load(before, dx + at);
        float after[N];
        for (unsigned i = 0; i < N; i++) {
            after[i] = d[i] * r - value[i] * projection;
            if (accumulate) after[i] += before[i];
        }
        store(dx + at, after);
    };
    for (unsigned k = 0; k < KEPT; k++) {
        const unsigned at = (k * team + rank) * N;
        if (at < width) {
            read(xs[k], ds[k], at);
            for (unsigned i = 0; i < N; i++) dot += xs[k][i] * ds[k][i];
        }
    }
    for (unsigned at = (KEPT * team + rank) * N; at < width; at += team * N) {
        float value[N], d[N];
        read(value, d, at);
        for (unsigned i = 0; i < N; i++) dot += value[i] * d[i];
    }
    const float projection = team_sum(dot, team) * r * r * r / width;
    for (unsigned k = 0; k < KEPT; k++) {
        const unsigned at = (k * team + rank) * N;
        if (at < width) write(xs[k], ds[k], at, projection);
    }
    for (unsigned at = (KEPT * team + rank) * N; at < width; at += team * N) {
        float value[N], d[N];
        read(value, d, at);
        write(value, d, at, projection);
    }
}

// dx, x and dy: rows of one stride; dx may be dy. accumulate: dx += rather than =.
template <class T>
__device__ void rms_norm_backward(T* dx, const T* x, const T* dy, const T* weight, const float* inverse, unsigned rows,
                                  unsigned heads, unsigned stride, unsigned width, unsigned accumulate, unsigned team) {
    const unsigned row = team_row(team);
    if (row >= rows) return;
    const unsigned long long start = row_start(row, heads, stride, width);
    constexpr unsigned N = VECTOR<T>;
    if (width % N == 0 && stride % N == 0 && aligned_16(dx, x, dy, weight))
        backward_row<T, N>(dx + start, x + start, dy + start, weight, inverse[row], width, accumulate, team);
    else
        backward_row<T, 1>(dx + start, x + start, dy + start, weight, inverse[row], width, accumulate, team);
}

EXPORT_FLOATS(rms_norm_backward, 1024,
              (T* dx, const T* x, const T* dy, const T* weight, const float* inverse, unsigned rows, unsigned heads,
               unsigned stride, unsigned width, unsigned accumulate, unsigned team),
              (dx, x, dy, weight, inverse, rows, heads, stride, width, accumulate, team))
