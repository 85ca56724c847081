//! Kernels by name. All are loaded when a device is opened, while there is memory for them: later the pool
//! may hold nearly all of it. A GPU whose machine code comes along takes that; for another the driver
//! compiles the PTX beside it, and keeps the result on disk.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Mutex, PoisonError};

use candle_core::{Error, Result, bail};
use cudarc::driver::result::{function, module};
use cudarc::driver::sys::{self, CUfunction_attribute_enum as Attribute, CUjit_option};

/// What `build.rs` leaves of a source.
struct KernelModule {
    source: &'static str,
    /// PTX and machine code in one file, as the driver takes it.
    image: &'static Aligned<[u8]>,
    /// Names of its kernels, and the bytes of each of their arguments.
    kernels: &'static [(&'static str, &'static [usize])],
}

/// The driver reads words of an image.
#[repr(align(16))]
struct Aligned<B: ?Sized>(B);

const MODULES: &[KernelModule] = include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Bytes of shared memory that a block gets unasked.
const SHARED: u32 = 48 << 10;

/// The kernels of one device.
pub struct Kernels(HashMap<&'static str, Function>);

struct Function {
    handle: sys::CUfunction,
    /// Bytes of each argument.
    sizes: &'static [usize],
    /// Bytes of shared memory that it may ask for.
    shared: Mutex<u32>,
}

// SAFETY: the driver's handles may be used on any thread that the context is bound to; modules are never
// unloaded
unsafe impl Send for Function {}
// SAFETY: as above; what a function may ask for is changed under a lock
unsafe impl Sync for Function {}

impl Kernels {
    /// All kernels, loaded into the context that is bound.
    pub fn load() -> Result<Self> {
        let mut functions = HashMap::new();
        for module in MODULES {
            let handle = load_module(module)?;
            for (kernel, sizes) in module.kernels {
                let handle = load_function(handle, kernel)
                    .map_err(|error| Error::msg(format!("kernel `{kernel}`: {error}")))?;
                functions.insert(*kernel, Function { handle, sizes, shared: Mutex::new(SHARED) });
            }
        }
        Ok(Kernels(functions))
    }

    /// The kernel, ready to be launched with arguments of `sizes` bytes and with `shared` bytes of dynamic
    /// shared memory; the device's context is bound. Errors if there is none, or if it takes others.
    pub fn get(&self, kernel: &str, sizes: &[usize], shared: u32) -> Result<sys::CUfunction> {
        let Some(found) = self.0.get(kernel) else { bail!("there is no kernel `{kernel}`") };
        if found.sizes != sizes {
            bail!("kernel `{kernel}` takes arguments of {:?} bytes, got {sizes:?}", found.sizes)
        }
        if shared > SHARED {
            let mut most = found.shared.lock().unwrap_or_else(PoisonError::into_inner);
            if shared > *most {
                let which = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                // SAFETY: the function's module stays loaded
                let raised = unsafe { function::set_function_attribute(found.handle, which, shared as i32) };
                raised.map_err(|error| {
                    Error::msg(format!("kernel `{kernel}` with {shared} bytes of shared memory: {error}"))
                })?;
                *most = shared;
            }
        }
        Ok(found.handle)
    }
}

/// The kernel, on the device: the driver by itself leaves that until it is first launched.
fn load_function(module: sys::CUmodule, kernel: &str) -> Result<sys::CUfunction> {
    let name = CString::new(kernel).map_err(Error::wrap)?;
    // SAFETY: the module was loaded in the bound context
    let handle = unsafe { module::get_function(module, name) }.map_err(Error::wrap)?;
    // SAFETY: the handle comes from the driver just now
    unsafe { sys::cuFuncLoad(handle) }.result().map_err(Error::wrap)?;
    Ok(handle)
}

fn load_module(KernelModule { source, image, .. }: &KernelModule) -> Result<sys::CUmodule> {
    let mut log = vec![0u8; 8 << 10];
    let mut options =
        [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
    let mut module = std::ptr::null_mut();
    // SAFETY: the image is whole, and says itself how long it is; the log is as long as the options say, and
    // all outlive the call
    let status = unsafe {
        let image = image.0.as_ptr().cast();
        sys::cuModuleLoadDataEx(&mut module, image, 2, options.as_mut_ptr(), values.as_mut_ptr())
    };
    status.result().map_err(|error| {
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        let said = String::from_utf8_lossy(&log[..end]);
        Error::msg(format!("the driver cannot load the kernels of `{source}.cu`: {error} {}", said.trim()))
    })?;
    Ok(module)
}

#[cfg(test)]
#[path = "../../../../build/ptx.rs"]
mod ptx;

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
