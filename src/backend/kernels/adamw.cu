// AdamW (1711.05101) over all weights in one launch, a block a piece:
//   g = s · grad, s = min(1, max_norm / (norm + 1e-6))
//   m += (1 − β₁)(g − m)    v = β₂ v + (1 − β₂) g²
//   w = w · decay − step_size · m / (√v / root + ε)    grad = 0
// with step_size = rate / (1 − β₁ᵗ), root = √(1 − β₂ᵗ), decay = 1 − rate · weight decay or 1. The norm is
// read where the kernel before this one left it, so that the host need not wait for it.
// Bound by memory: 16 bytes an element read and 16 written, and 2 for a copy in bf16.
#include "trained.cuh"

namespace {

struct Step {
    float scale, keep1, beta2, keep2, step_size, root, epsilon, decay;

    __device__ __forceinline__ void take(float& w, float grad, float& m, float& v) const {
        const float g = grad * scale;
        m += keep1 * (g - m);
        v = beta2 * v + keep2 * g * g;
        w = w * decay - step_size * m / (sqrtf(v) / root + epsilon);
    }
};

// norm [1]; max_norm 0: no clipping.
__device__ void adamw_body(const TrainedWeight* weights, const Piece* pieces, const float* norm, float max_norm,
                           float keep1, float beta2, float keep2, float step_size, float root, float epsilon,
                           float decay) {
    const Piece piece = pieces[blockIdx.x];
    const TrainedWeight weight = weights[piece.weight];
    const unsigned long long start = (unsigned long long)piece.index * PIECE;
    const unsigned n = unsigned(min((unsigned long long)PIECE, weight.n - start));
    float *w = weight.weight + start, *grad = weight.grad + start, *m = weight.m + start, *v = weight.v + start;
    bf16* copy = weight.copy == nullptr ? nullptr : weight.copy + start;
    const float scale = max_norm > 0.0f ? fminf(max_norm / (norm[0] + 1e-6f), 1.0f) : 1.0f;
    const Step step{scale, keep1, beta2, keep2, step_size, root, epsilon, weight.decays ? decay : 1.0f};
    const unsigned vectors = aligned_16(w, grad, m, v, copy) ? n / 4 : 0;
    for (unsigned i = threadIdx.x; i < vectors; i += blockDim.x) {
        float4* at_w = reinterpret_cast<float4*>(w) + i;
        float4* at_grad = reinterpret_cast<float4*>(grad) + i;
        float4* at_m = reinterpret_cast<float4*>(m) + i;
        float4* at_v = reinterpret_cast<float4*>(v) + i;
        float4 w4 = *at_w, m4 = *at_m, v4 = *at_v;
        const float4 g4 = *at_grad;
        step.take(w4.x, g4.x, m4.x, v4.x);
        step.take(w4.y, g4.y, m4.y, v4.y);
        step.take(w4.z, g4.z, m4.z, v4.z);
        step.take(w4.w, g4.w, m4.w, v4.w);
        *at_w = w4, *at_m = m4, *at_v = v4;
        *at_grad = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (copy != nullptr) {
            uint2 c;
            c.x = pack_bf16(w4.x, w4.y), c.y = pack_bf16(w4.z, w4.w);
            reinterpret_cast<uint2*>(copy)[i] = c;
        }
    }
    for (unsigned i = 4 * vectors + threadIdx.x; i < n; i += blockDim.x) {
        step.take(w[i], grad[i], m[i], v[i]);
        grad[i] = 0.0f;
        if (copy != nullptr) copy[i] = from_float<bf16>(w[i]);
    }
}

}  // namespace

EXPORT(adamw, 256,
       (const TrainedWeight* weights, const Piece* pieces, const float* norm, float max_norm, float keep1,
        float beta2, float keep2, float step_size, float root, float epsilon, float decay),
       (weights, pieces, norm, max_norm, keep1, beta2, keep2, step_size, root, epsilon, decay))
