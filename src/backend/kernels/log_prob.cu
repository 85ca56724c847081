// What rows of logits say of their targets, and the gradient of log p(target) by the logits.
//   a row z [vocabulary], its target y, M = max z, e_v = exp(z_v − M), S = Σ e_v
//   log p(y) = z_y − M − ln S         entropy = ln S − Σ e_v (z_v − M) / S
//   ln Σ p²  = ln Σ e_v² − 2 ln S     gradient_v = c (δ_vy − e_v / S), c one number per row
// One block a row. The first sweep reads the row once: each thread sums about the largest logit that it
// has met, and scales its sums down when it meets a larger one. The second goes from the row's end back,
// as caches still hold that, and writes the gradient, to which the target's 1 belongs: W[y] − Σ p W of
// two rounded terms would lose what a likely target leaves of it.
// Bound by memory: 4 bytes an element read, for the gradient 4 more read and sizeof(T) written.
#include "vector.cuh"

namespace {

constexpr float LOG2_E = 1.44269504f;
constexpr unsigned STATISTICS = 5;

struct Sums {
    // below every logit, and far enough from it that e^(top − logit) is 0
    float top = -3.0e38f;
    // Σ e^d, Σ e^d d, Σ e^2d, Σ z with d = z − top
    float exp = 0.0f, weighted = 0.0f, squares = 0.0f, plain = 0.0f;

    __device__ __forceinline__ void rescale(float larger) {
        const float shift = top - larger, factor = fast_exp2(shift * LOG2_E);
        weighted = factor * (weighted + shift * exp);
        exp *= factor;
        squares *= factor * factor;
        top = larger;
    }

    template <unsigned N> __device__ __forceinline__ void add(const float (&z)[N]) {
        float larger = z[0];
        for (unsigned i = 1; i < N; i++) larger = fmaxf(larger, z[i]);
        if (larger > top) rescale(larger);
        for (unsigned i = 0; i < N; i++) {
            const float d = z[i] - top, e = fast_exp2(d * LOG2_E);
            exp += e;
            weighted += e * d;
            squares += e * e;
            plain += z[i];
        }
    }
};

__device__ __forceinline__ void store4(float* to, const float (&x)[4]) { store(to, x); }

__device__ __forceinline__ void store4(bf16* to, const float (&x)[4]) {
    uint2 four;
    four.x = pack_bf16(x[0], x[1]), four.y = pack_bf16(x[2], x[3]);
    *reinterpret_cast<uint2*>(to) = four;
}

// statistics [rows, 5] = log p(y), entropy, mean logit, ln Σ p², whether no logit exceeds the target's;
// gradient [rows, stride] unless null, and then it may be the logits [rows, stride]; coefficients c
// [rows], or null for 1; targets [rows]. The stride is a multiple of 4, rows start at 16 bytes.
template <class T>
__device__ void log_prob(T* gradient, float* statistics, const float* logits, const unsigned* targets,
                         const float* coefficients, unsigned vocabulary, unsigned stride) {
    const unsigned row = blockIdx.x, thread = threadIdx.x, threads = blockDim.x;
    const float* z = logits + size_t(row) * stride;
    const unsigned target = targets[row], vectors = vocabulary / 4;
    const float chosen = z[target];
    Sums sums;
    unsigned v = thread;
    for (; v + threads < vectors; v += 2 * threads) {
        float a[4], b[4];
        load(a, z + 4 * v);
        load(b, z + 4 * (v + threads));
        const float eight[8] = {a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]};
        sums.add(eight);
    }
    if (v < vectors) {
        float four[4];
        load(four, z + 4 * v);
        sums.add(four);
    }
    if (4 * vectors + thread < vocabulary) {
        const float one[1] = {z[4 * vectors + thread]};
        sums.add(one);
    }
    const float top = block_max(sums.top);
    sums.rescale(top);
    const float exp = block_sum(sums.exp), weighted = block_sum(sums.weighted);
    const float squares = block_sum(sums.squares), plain = block_sum(sums.plain);
    if (thread == 0) {
        float* out = statistics + size_t(row) * STATISTICS;
        const float log_sum = logf(exp);
        out[0] = chosen - top - log_sum;
        out[1] = log_sum - weighted / exp;
        out[2] = plain / vocabulary;
        out[3] = logf(squares) - 2.0f * log_sum;
        out[4] = chosen >= top ? 1.0f : 0.0f;
    }
    if (gradient == nullptr) return;
    T* out = gradient + size_t(row) * stride;
    const float coefficient = coefficients == nullptr ? 1.0f : coefficients[row];
    const float scale = -coefficient / exp;
    auto slope = [&](float logit, unsigned token) {
        const float others = scale * fast_exp2((logit - top) * LOG2_E);
        return token == target ? coefficient + others : others;
    };
    if (4 * vectors + thread < vocabulary) {
        const unsigned token = 4 * vectors + thread;
        out[token] = from_float<T>(slope(z[token], token));
    }
    for (unsigned back = thread; back < vectors; back += threads) {
        const unsigned first = 4 * (vectors - 1 - back);
        float four[4];
        load(four, z + first);
        for (unsigned i = 0; i < 4; i++) four[i] = slope(four[i], first + i);
        store4(out + first, four);
    }
}

}  // namespace

EXPORT_FLOATS(log_prob, 1024,
              (T* gradient, float* statistics, const float* logits, const unsigned* targets,
               const float* coefficients, unsigned vocabulary, unsigned stride),
              (gradient, statistics, logits, targets, coefficients, vocabulary, stride))
