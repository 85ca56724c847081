// Runs CUDA kernels on a CPU, block by block, for tests: the words of the language that the kernels use,
// and twins of port.cuh's inline PTX. A block's threads are fibres of one system thread. A fibre goes on
// until it meets a barrier, so a missing barrier shows as a read of what was not written yet (shared
// memory is filled with NaNs before each block); running the fibres in both orders shows the rest.
// An asynchronous copy takes place when it is waited for, and not before.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static
#define DYNAMIC_SHARED(name) unsigned char* name = emulate::shared_memory()

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// ---- bf16 -----------------------------------------------------------------------------------------

struct __nv_bfloat16 {
    uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

inline float __bfloat162float(__nv_bfloat16 x) {
    const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// To nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if (x != x) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
    return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
    return {__float2bfloat16(x), __float2bfloat16(y)};
}

// ---- a block in flight ----------------------------------------------------------------------------

namespace emulate {

struct Copy {
    void* to;
    const void* from;
    bool valid;
};

// The thread that runs now, and its block.
struct State {
    dim3 thread, block, size, grid;
    unsigned lane;
    unsigned char* shared;
    // whether 16 bytes were copied from or to no multiple of 16
    bool misaligned;
    // 64 bytes of each lane of its warp, which all can read between two warp barriers
    unsigned char* slots;
    std::vector<std::vector<Copy>>* copies;
};

// One block runs at a time, of all system threads.
extern State* state;

// All threads of the block that have not ended.
void block_barrier();
// All lanes of the warp that have not ended.
void warp_barrier();

inline unsigned char* shared_memory() { return state->shared; }
inline unsigned lane() { return state->lane; }
inline unsigned char* slot(unsigned lane) { return state->slots + lane * 64; }
inline std::vector<std::vector<Copy>>& copies() { return *state->copies; }
inline void expect_aligned(const void* at) { state->misaligned |= reinterpret_cast<uintptr_t>(at) % 16 != 0; }

template <class T> T exchange(T value, unsigned from) {
    static_assert(sizeof(T) <= 64, "a slot holds 64 bytes");
    std::memcpy(slot(lane()), &value, sizeof(T));
    warp_barrier();
    T found;
    std::memcpy(&found, slot(from % 32), sizeof(T));
    warp_barrier();
    return found;
}

// What a launch calls: unpacks the arguments as cuLaunchKernel's `void**` has them.
struct Entry {
    // of a block, at most
    unsigned threads;
    std::vector<size_t> sizes;
    std::function<void(void**)> call;
};
bool add(const char* name, Entry entry);

template <class... A, size_t... I>
void call_with(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
}

template <class... A> Entry entry(void (*kernel)(A...), unsigned threads) {
    return {threads, {sizeof(A)...}, [kernel](void** arguments) {
                call_with(kernel, arguments, std::index_sequence_for<A...>{});
            }};
}

}  // namespace emulate

#define REGISTER(name, threads) \
    static const bool registered_##name = emulate::add(#name, emulate::entry(name, threads));

#define threadIdx (emulate::state->thread)
#define blockIdx (emulate::state->block)
#define blockDim (emulate::state->size)
#define gridDim (emulate::state->grid)

inline void __syncthreads() { emulate::block_barrier(); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulate::warp_barrier(); }

template <class T> T __shfl_sync(unsigned, T value, unsigned from) { return emulate::exchange(value, from); }
template <class T> T __shfl_xor_sync(unsigned, T value, unsigned mask) {
    return emulate::exchange(value, emulate::lane() ^ mask);
}
template <class T> T __shfl_up_sync(unsigned, T value, unsigned delta) {
    const unsigned lane = emulate::lane();
    return emulate::exchange(value, lane >= delta ? lane - delta : lane);
}
template <class T> T __shfl_down_sync(unsigned, T value, unsigned delta) {
    const unsigned lane = emulate::lane();
    return emulate::exchange(value, lane + delta < 32 ? lane + delta : lane);
}

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
using std::max;
using std::min;

// ---- twins of port.cuh's PTX ----------------------------------------------------------------------

inline void mma_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    struct Fragment {
        uint32_t a[4], b[2];
    };
    Fragment own;
    std::memcpy(own.a, a, sizeof(own.a));
    std::memcpy(own.b, b, sizeof(own.b));
    std::memcpy(emulate::slot(emulate::lane()), &own, sizeof(own));
    emulate::warp_barrier();
    const unsigned lane = emulate::lane(), g = lane / 4, t = lane % 4;
    auto value = [](uint32_t pair, unsigned half) {
        const uint32_t bits = half ? pair & 0xffff0000u : pair << 16;
        float x;
        std::memcpy(&x, &bits, 4);
        return x;
    };
    auto element_a = [&](unsigned row, unsigned k) {
        const auto* from = reinterpret_cast<const Fragment*>(emulate::slot(row % 8 * 4 + k % 8 / 2));
        return value(from->a[row / 8 + 2 * (k / 8)], k % 2);
    };
    auto element_b = [&](unsigned k, unsigned column) {
        const auto* from = reinterpret_cast<const Fragment*>(emulate::slot(column * 4 + k % 8 / 2));
        return value(from->b[k / 8], k % 2);
    };
    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = g + 8 * (i / 2), column = 2 * t + i % 2;
        float sum = 0.0f;
        for (unsigned k = 0; k < 16; k++) sum += element_a(row, k) * element_b(k, column);
        d[i] += sum;
    }
    emulate::warp_barrier();
}

inline void load_matrices(uint32_t (&r)[4], const void* row, bool transposed) {
    const void* mine = row;
    emulate::expect_aligned(row);
    std::memcpy(emulate::slot(emulate::lane()), &mine, sizeof(mine));
    emulate::warp_barrier();
    const unsigned lane = emulate::lane(), g = lane / 4, t = lane % 4;
    auto element = [](unsigned matrix, unsigned i, unsigned j) -> uint32_t {
        const uint16_t* from;
        std::memcpy(&from, emulate::slot(8 * matrix + i), sizeof(from));
        return from[j];
    };
    for (unsigned i = 0; i < 4; i++) {
        const uint32_t low = transposed ? element(i, 2 * t, g) : element(i, g, 2 * t);
        const uint32_t high = transposed ? element(i, 2 * t + 1, g) : element(i, g, 2 * t + 1);
        r[i] = low | high << 16;
    }
    emulate::warp_barrier();
}

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) { load_matrices(r, row, false); }
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) { load_matrices(r, row, true); }

inline void cp_async_16(void* to, const void* from, bool valid) {
    emulate::expect_aligned(to);
    if (valid) emulate::expect_aligned(from);
    emulate::copies().back().push_back({to, from, valid});
}

inline void cp_async_commit() { emulate::copies().emplace_back(); }

template <int N> void cp_async_wait() {
    auto& groups = emulate::copies();
    // the last one is still being filled
    while (groups.size() > N + 1) {
        for (const auto& copy : groups.front()) {
            if (copy.valid) std::memcpy(copy.to, copy.from, 16);
            else std::memset(copy.to, 0, 16);
        }
        groups.erase(groups.begin());
    }
}

inline float fast_exp2(float x) { return std::exp2(x); }
