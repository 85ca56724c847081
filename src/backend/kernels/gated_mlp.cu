// The gated activation: out = silu(gate) · up, silu(g) = g · s, s = 1 / (1 + e^−g), and its backward:
//   d_up = d · silu(gate),   d_gate = d · up · s · (1 + gate · (1 − s)).
// gate_up [rows, 2·width], gate first; out and d [rows, width]. Each value is read or written once: the
// speed is that of memory.
#include "vector.cuh"

__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

template <class T, unsigned N>
__device__ __forceinline__ void activate(T* out, const T* gate_up, unsigned rows, unsigned width) {
    over_rows<N>(rows, width, [=](unsigned row, unsigned column) {
        const T* const at = gate_up + (unsigned long long)row * 2 * width + column;
        float gate[N], up[N];
        load(gate, at);
        load(up, at + width);
        for (unsigned i = 0; i < N; i++) up[i] *= gate[i] * sigmoid(gate[i]);
        store(out + (unsigned long long)row * width + column, up);
    });
}

template <class T>
__device__ void silu_mul(T* out, const T* gate_up, unsigned rows, unsigned width) {
    constexpr unsigned N = VECTOR<T>;
    if (width % N == 0 && aligned_16(out, gate_up)) activate<T, N>(out, gate_up, rows, width);
    else activate<T, 1>(out, gate_up, rows, width);
}

EXPORT_FLOATS(silu_mul, 256, (T* out, const T* gate_up, unsigned rows, unsigned width), (out, gate_up, rows, width))

template <class T, unsigned N>
__device__ __forceinline__ void activate_backward(T* d_gate_up, const T* gate_up, const T* d, unsigned rows,
                                                  unsigned width) {
    over_rows<N>(rows, width, [=](unsigned row, unsigned column) {
        const unsigned long long at = (unsigned long long)row * 2 * width + column;
        float gate[N], up[N], dy[N], d_gate[N], d_up[N];
        load(gate, gate_up + at);
        load(up, gate_up + at + width);
        load(dy, d + (unsigned long long)row * width + column);
        for (unsigned i = 0; i < N; i++) {
            const float s = sigmoid(gate[i]);
            d_up[i] = dy[i] * gate[i] * s;
            d_gate[i] = dy[i] * up[i] * s * (1.0f + gate[i] * (1.0f - s));
        }
        store(d_gate_up + at, d_gate);
        store(d_gate_up + at + width, d_up);
    });
}

template <class T>
__device__ void silu_mul_backward(T* d_gate_up, const T* gate_up, const T* d, unsigned rows, unsigned width) {
    constexpr unsigned N = VECTOR<T>;
    if (width % N == 0 && aligned_16(d_gate_up, gate_up, d))
        activate_backward<T, N>(d_gate_up, gate_up, d, rows, width);
    else
        activate_backward<T, 1>(d_gate_up, gate_up, d, rows, width);
}

EXPORT_FLOATS(silu_mul_backward, 256,
              (T* d_gate_up, const T* gate_up, const T* d, unsigned rows, unsigned width),
              (d_gate_up, gate_up, d, rows, width))
