// Values next to each other, 16 bytes at a time, and how threads share rows of them.
#pragma once

#include <cstring>

#include "port.cuh"

using Bytes16 = uint4;

// Values of T in 16 bytes.
template <class T> constexpr unsigned VECTOR = 16 / sizeof(T);

// Whether all of these can be read 16 bytes at a time. No address is aligned too.
template <class... T> __device__ __forceinline__ bool aligned_16(const T*... at) {
    return (reinterpret_cast<uintptr_t>(nullptr) | ... | reinterpret_cast<uintptr_t>(at)) % 16 == 0;
}

__device__ __forceinline__ float float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

// N values: one, or as many as fill 16 bytes (twice), and then `from` is aligned.
template <unsigned N> __device__ __forceinline__ void load(float (&to)[N], const float* from) {
    if constexpr (N % 4 == 0) {
        for (unsigned i = 0; i < N; i += 4) {
            const float4 four = *reinterpret_cast<const float4*>(from + i);
            to[i] = four.x;
            to[i + 1] = four.y;
            to[i + 2] = four.z;
            to[i + 3] = four.w;
        }
    } else {
        static_assert(N == 1, "one value or 16 bytes");
        to[0] = from[0];
    }
}

template <unsigned N> __device__ __forceinline__ void load(float (&to)[N], const bf16* from) {
    if constexpr (N == 8) {
        const Bytes16 bytes = *reinterpret_cast<const Bytes16*>(from);
        const uint32_t pairs[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
        for (unsigned i = 0; i < 4; i++) {
            to[2 * i] = float_of_bits(pairs[i] << 16);
            to[2 * i + 1] = float_of_bits(pairs[i] & 0xffff0000u);
        }
    } else {
        static_assert(N == 1, "one value or 16 bytes");
        to[0] = to_float(from[0]);
    }
}

template <unsigned N> __device__ __forceinline__ void store(float* to, const float (&from)[N]) {
    if constexpr (N % 4 == 0) {
        for (unsigned i = 0; i < N; i += 4) {
            *reinterpret_cast<float4*>(to + i) = make_float4(from[i], from[i + 1], from[i + 2], from[i + 3]);
        }
    } else {
        static_assert(N == 1, "one value or 16 bytes");
        to[0] = from[0];
    }
}

template <unsigned N> __device__ __forceinline__ void store(bf16* to, const float (&from)[N]) {
    if constexpr (N == 8) {
        *reinterpret_cast<Bytes16*>(to) = make_uint4(pack_bf16(from[0], from[1]), pack_bf16(from[2], from[3]),
                                                     pack_bf16(from[4], from[5]), pack_bf16(from[6], from[7]));
    } else {
        static_assert(N == 1, "one value or 16 bytes");
        to[0] = __float2bfloat16(from[0]);
    }
}

// f(row, column) for the rows, along y of the grid, and every N-th column, along x, of this thread.
template <unsigned N, class F> __device__ __forceinline__ void over_rows(unsigned rows, unsigned width, F f) {
    for (unsigned row = blockIdx.y; row < rows; row += gridDim.y) {
        const unsigned step = gridDim.x * blockDim.x * N;
        for (unsigned column = (blockIdx.x * blockDim.x + threadIdx.x) * N; column < width; column += step) f(row, column);
    }
}

// f(i) for every N-th of the indices `first..last` of this thread.
template <unsigned N, class F>
__device__ __forceinline__ void over(unsigned long long first, unsigned long long last, F f) {
    const unsigned long long thread = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x * N;
    for (unsigned long long i = first + thread * N; i < last; i += step) f(i);
}
