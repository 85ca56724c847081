// Tokens from rows of logits [*, stride]: the largest logit's, or one drawn by its probability. A block a
// token; NO_TOKEN where the logits are not finite.
//   drawn: the first token t with Σ_{v ≤ t} e_v > u Σ e_v, e_v = exp((z_v − max z) / temperature)
// Tokens come in order: the row is cut into one run per warp, each warp sums its own, and the run that holds
// u Σ e_v is cut again, until one thread adds up the few that are left. Blocks of two warps and more.
// Bound by memory: a row is read twice.
#include "port.cuh"

namespace {

constexpr unsigned NO_TOKEN = 0xffffffffu;

__device__ __forceinline__ float largest(const float* z, unsigned vocabulary) {
    float top = -INFINITY;
    for (unsigned v = threadIdx.x; v < vocabulary; v += blockDim.x) top = fmaxf(top, z[v]);
    return block_max(top);
}

// tokens [n], from rows[n] of the logits; the first of equals.
__device__ void greedy_tokens_body(unsigned* tokens, const float* logits, const unsigned* rows, unsigned vocabulary,
                                   unsigned stride) {
    __shared__ unsigned firsts[WARP];
    const float* z = logits + size_t(rows[blockIdx.x]) * stride;
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    const float top = largest(z, vocabulary);
    unsigned first = NO_TOKEN;
    for (unsigned v = threadIdx.x; v < vocabulary && first == NO_TOKEN; v += blockDim.x) {
        if (z[v] == top) first = v;
    }
    for (unsigned step = WARP / 2; step > 0; step /= 2) first = min(first, __shfl_xor_sync(ALL_LANES, first, step));
    if (lane == 0) firsts[warp] = first;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (unsigned w = 0; w < warps; w++) first = min(first, firsts[w]);
    tokens[blockIdx.x] = fabsf(top) < INFINITY ? first : NO_TOKEN;
}

// tokens [n], from rows[n] of the logits and uniforms u [n] in [0, 1); rate = log₂ e / temperature.
__device__ void drawn_tokens_body(unsigned* tokens, const float* logits, const unsigned* rows, const double* uniforms,
                                  float rate, unsigned vocabulary, unsigned stride) {
    __shared__ float sums[WARP];
    const float* z = logits + size_t(rows[blockIdx.x]) * stride;
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    const float top = largest(z, vocabulary);
    auto weight = [&](unsigned v) { return fast_exp2((z[v] - top) * rate); };
    // the run that holds the token, and what of u Σ e lies within it
    unsigned start = 0, length = vocabulary;
    double left = 0.0;
    for (bool whole = true; whole || length > WARP; whole = false) {
        const unsigned part = (length + warps - 1) / warps;
        const unsigned begin = min(warp * part, length), end = min(begin + part, length);
        float sum = 0.0f;
        for (unsigned v = begin + lane; v < end; v += WARP) sum += weight(start + v);
        sum = warp_sum(sum);
        __syncthreads();
        if (lane == 0) sums[warp] = sum;
        __syncthreads();
        if (whole) {
            double total = 0.0;
            for (unsigned w = 0; w < warps; w++) total += sums[w];
            if (!(fabsf(top) < INFINITY && total < INFINITY)) {
                if (threadIdx.x == 0) tokens[blockIdx.x] = NO_TOKEN;
                return;
            }
            left = uniforms[blockIdx.x] * total;
        }
        // by rounding, no part may hold it: then it is the last that weighs anything
        unsigned holds = 0;
        double before = 0.0, below = 0.0;
        for (unsigned w = 0; w < warps; w++) {
            if (sums[w] > 0.0f) holds = w, below = before;
            before += sums[w];
            if (left < before) break;
        }
        start += holds * part;
        length = min(part, length - holds * part);
        left -= below;
    }
    if (threadIdx.x > 0) return;
    unsigned token = start;
    for (unsigned v = 0; v < length; v++) {
        const float e = weight(start + v);
        if (e > 0.0f) token = start + v;
        left -= e;
        if (left < 0.0) break;
    }
    tokens[blockIdx.x] = token;
}

}  // namespace

EXPORT(greedy_tokens, 1024,
       (unsigned* tokens, const float* logits, const unsigned* rows, unsigned vocabulary, unsigned stride),
       (tokens, logits, rows, vocabulary, stride))
EXPORT(drawn_tokens, 1024,
       (unsigned* tokens, const float* logits, const unsigned* rows, const double* uniforms, float rate,
        unsigned vocabulary, unsigned stride),
       (tokens, logits, rows, uniforms, rate, vocabulary, stride))
