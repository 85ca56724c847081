// What every kernel starts with: float types, warp and block reductions, tensor-core fragments, and how
// a kernel is exported. All inline PTX of the project is here; each piece has a plain twin in emulate.h,
// which stands in for the CUDA compiler where there is none, so that the same sources run on a CPU.
#pragma once

#ifdef __CUDACC__
#include <cstdint>
#include <cuda_bf16.h>
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#define REGISTER(name, threads)
#else
#include "emulate.h"
#endif

using bf16 = __nv_bfloat16;

constexpr unsigned WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// ---- float types ----------------------------------------------------------------------------------

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }

template <class T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) { return __float2bfloat16(x); }

// Two floats rounded to bf16 in one register, the first in the low half, as fragments hold them.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    uint32_t bits;
    memcpy(&bits, &both, sizeof(bits));
    return bits;
}

// ---- reductions -----------------------------------------------------------------------------------
// All lanes of the warp (all threads of the block) call these and get the same, in a fixed order.

__device__ __forceinline__ float warp_sum(float x) {
    for (unsigned step = WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
    for (unsigned step = WARP / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, step));
    return x;
}

// Blocks of whole warps, at most 32 of them, one-dimensional.
__device__ __forceinline__ float block_sum(float x) {
    __shared__ float partial[WARP];
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    x = warp_sum(x);
    __syncthreads();
    if (lane == 0) partial[warp] = x;
    __syncthreads();
    return warp_sum(lane < warps ? partial[lane] : 0.0f);
}

__device__ __forceinline__ float block_max(float x) {
    __shared__ float partial[WARP];
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    x = warp_max(x);
    __syncthreads();
    if (lane == 0) partial[warp] = x;
    __syncthreads();
    return warp_max(lane < warps ? partial[lane] : -INFINITY);
}

// ---- tensor cores and asynchronous copies (sm_80 and later) ---------------------------------------

#ifdef __CUDACC__
// d [16, 8] += a [16, 16] × b [16, 8], bf16 in, float32 out. Lane l, g = l / 4, t = l % 4 holds
//   a[0] = A[g][2t, 2t+1]   a[1] = A[g+8][2t, 2t+1]   a[2] = A[g][2t+8, 2t+9]   a[3] = A[g+8][2t+8, 2t+9]
//   b[0] = B[2t, 2t+1][g]   b[1] = B[2t+8, 2t+9][g]
//   d[0], d[1] = D[g][2t, 2t+1]   d[2], d[3] = D[g+8][2t, 2t+1]
__device__ __forceinline__ void mma_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8×8 bf16 matrices from shared memory: lanes 8i..8i+7 give the addresses of the rows of matrix i
// (16 bytes each, 16-byte aligned). Lane l gets of matrix i its elements [l / 4][2 (l % 4), +1] in r[i];
// transposed: elements [2 (l % 4), +1][l / 4].
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
    const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
    const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

// 16 bytes from global to shared memory, both 16-byte aligned; zeros if not `valid`, and then `from` is
// not read. Done once a cp_async_wait has said so and the block has met at a barrier.
__device__ __forceinline__ void cp_async_16(void* to, const void* from, bool valid) {
    const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
}

__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most N of this thread's committed groups are under way.
template <int N> __device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// 2^x to about 2 ulp; 0 for -inf.
__device__ __forceinline__ float fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#endif

// ---- exports --------------------------------------------------------------------------------------
// EXPORT(name, (parameters), (arguments)) makes the kernel `name` of the device function template
// `name_body`. EXPORT_FLOATS makes `name_f32` and `name_bf16` of the template `name<T>`; its parameters
// say T. A kernel takes pointers, `unsigned`, `unsigned long long` and `float` alone.

#define EXPORT_AS(name, body, threads, parameters, arguments)                          \
    extern "C" __global__ void __launch_bounds__(threads) name parameters { body arguments; } \
    REGISTER(name, threads)

#define EXPORT(name, threads, parameters, arguments) EXPORT_AS(name, name##_body, threads, parameters, arguments)

#define EXPORT_FLOATS(name, threads, parameters, arguments)                             \
    namespace of_float {                                                               \
    using T = float;                                                                   \
    EXPORT_AS(name##_f32, name<float>, threads, parameters, arguments)                 \
    }                                                                                  \
    namespace of_bf16 {                                                                \
    using T = bf16;                                                                    \
    EXPORT_AS(name##_bf16, name<bf16>, threads, parameters, arguments)                 \
    }
