//! Functions of the driver that the program puts something of its own around. All calls of candle, cudarc and
//! ours come by the table of [`super::libraries`], so that it holds for every tensor:
//!
//! | | |
//! |---|---|
//! | what needs memory | has what the pool does not use given back and is tried once more, if there is none left |
//! | nothing to launch, to set or to copy | is done: the driver refuses a grid of no blocks |
//! | a copy to the host | is waited for: the driver may only have started it, if the host's memory is the device's too |
//! | a copy to the device | is waited for where that is so, as the host's side may be freed meanwhile |

use std::ffi::{c_char, c_uchar, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use cudarc::driver::sys::{
    self, CUdeviceptr, CUfunction, CUjit_option, CUmodule, CUresult, CUstream, cudaError_enum::CUDA_SUCCESS,
};

use super::super::out_of_memory::{self, once_more};
use super::pool;

/// Whether some device reads the host's memory by the host's own page tables.
static SHARES_MEMORY: AtomicBool = AtomicBool::new(false);

/// From now on copies to devices are waited for.
pub fn wait_for_uploads() {
    SHARES_MEMORY.store(true, Ordering::Relaxed);
}

/// `NAME(ARGUMENTS) REAL => STATUS` each: what a call of the driver's function gives; `REAL()` calls the
/// driver's own.
macro_rules! wrapped {
    ($($name:ident($($argument:ident: $kind:ty),*) $real:ident => $status:expr;)*) => {
        $(
            #[allow(non_snake_case)]
            mod $name {
                use super::*;

                pub static DRIVERS: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

                pub unsafe extern "C" fn call($($argument: $kind),*) -> CUresult {
                    type Function = unsafe extern "C" fn($($kind),*) -> CUresult;
                    // SAFETY: `install` put the address of a function of this type there before it put this
                    // one where that was
                    let function: Function = unsafe { std::mem::transmute(DRIVERS.load(Ordering::Acquire)) };
                    // SAFETY: the arguments are the caller's, as they came
                    let $real = || unsafe { function($($argument),*) };
                    $status
                }
            }
        )*

        /// Puts these where the driver's own are in the table, whose places `slot` tells.
        pub fn install(slot: impl Fn(&str) -> Option<&'static AtomicPtr<c_void>>) {
            $(
                let ours = $name::call as *mut c_void;
                if let Some(slot) = slot(stringify!($name))
                    && slot.load(Ordering::Acquire) != ours
                {
                    $name::DRIVERS.store(slot.load(Ordering::Acquire), Ordering::Release);
                    slot.store(ours, Ordering::Release);
                }
            )*
        }
    };
}

wrapped! {
    cuMemAllocAsync(address: *mut CUdeviceptr, bytes: usize, stream: CUstream) real =>
        with_room(Some(bytes), real);

    cuLaunchKernel(
        function: CUfunction,
        grid_x: c_uint, grid_y: c_uint, grid_z: c_uint,
        block_x: c_uint, block_y: c_uint, block_z: c_uint,
        shared: c_uint, stream: CUstream, parameters: *mut *mut c_void, extra: *mut *mut c_void
    ) real => if grid_x == 0 || grid_y == 0 || grid_z == 0 { CUDA_SUCCESS } else { with_room(None, real) };

    cuMemsetD8Async(address: CUdeviceptr, value: c_uchar, bytes: usize, stream: CUstream) real =>
        if bytes == 0 { CUDA_SUCCESS } else { with_room(None, real) };

    cuMemcpyDtoHAsync_v2(to: *mut c_void, from: CUdeviceptr, bytes: usize, stream: CUstream) real =>
        if bytes == 0 { CUDA_SUCCESS } else { and_wait(real(), stream) };

    cuMemcpyHtoDAsync_v2(to: CUdeviceptr, from: *const c_void, bytes: usize, stream: CUstream) real =>
        if bytes == 0 {
            CUDA_SUCCESS
        } else if SHARES_MEMORY.load(Ordering::Relaxed) {
            and_wait(real(), stream)
        } else {
            real()
        };

    cuModuleLoadData(module: *mut CUmodule, image: *const c_void) real => with_room(None, real);

    cuModuleLoadDataEx(
        module: *mut CUmodule, image: *const c_void,
        count: c_uint, options: *mut CUjit_option, values: *mut *mut c_void
    ) real => with_room(None, real);

    cuModuleGetFunction(function: *mut CUfunction, module: CUmodule, name: *const c_char) real =>
        with_room(None, real);

    cuFuncLoad(function: CUfunction) real => with_room(None, real);
}

/// Calls the driver, if there is no memory left once more after [`pool::trim`]. `wanted`: bytes, if a tensor
/// is to have them.
fn with_room(wanted: Option<usize>, mut real: impl FnMut() -> CUresult) -> CUresult {
    static SAY: Once = Once::new();
    let short = |status: &CUresult| *status == CUresult::CUDA_ERROR_OUT_OF_MEMORY;
    let mut calls = 0;
    let status = once_more(
        || {
            calls += 1;
            real()
        },
        short,
        || pool::trim().is_ok(),
    );
    if short(&status) {
        if let Ok((ordinal, memory)) = pool::current() {
            out_of_memory::note(ordinal, wanted, memory);
        }
    } else if calls > 1 {
        SAY.call_once(|| {
            eprintln!(
                "warning: the GPU's memory is nearly full; what lay between tensors was given back to go on, which takes time whenever it is needed"
            )
        });
    }
    status
}

/// The status of a copy, after it has ended.
fn and_wait(started: CUresult, stream: CUstream) -> CUresult {
    if started != CUDA_SUCCESS {
        return started;
    }
    // SAFETY: the stream is the one that the copy was started on
    unsafe { sys::cuStreamSynchronize(stream) }
}

#[cfg(test)]
#[path = "wrapped_tests.rs"]
mod tests;
