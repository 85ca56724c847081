//! Kernels by name. The driver compiles a source's PTX for its GPU when the first kernel of it is asked
//! for, and keeps the result on disk.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Mutex, PoisonError};

use candle_core::{Error, Result, bail};
use cudarc::driver::result::{function, module};
use cudarc::driver::sys::{self, CUfunction_attribute_enum as Attribute, CUjit_option, CUresult};

/// The sources' names and their PTX.
const MODULES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Bytes of shared memory that a block gets unasked.
const SHARED: u32 = 48 << 10;

/// The kernels of one device.
#[derive(Default)]
pub struct Kernels(Mutex<Loaded>);

#[derive(Default)]
struct Loaded {
    modules: HashMap<&'static str, sys::CUmodule>,
    functions: HashMap<String, Function>,
}

// SAFETY: the driver's handles may be used on any thread that the context is bound to; modules are never
// unloaded
unsafe impl Send for Loaded {}

struct Function {
    handle: sys::CUfunction,
    /// Bytes of each argument.
    sizes: Vec<usize>,
    /// Bytes of shared memory that it may ask for.
    shared: u32,
}

impl Kernels {
    /// The kernel, ready to be launched with arguments of `sizes` bytes and with `shared` bytes of dynamic
    /// shared memory; the device's context is bound. Errors if there is none, or if it takes others.
    pub fn get(&self, kernel: &str, sizes: &[usize], shared: u32) -> Result<sys::CUfunction> {
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !loaded.functions.contains_key(kernel) {
            let found = loaded.load(kernel)?;
            loaded.functions.insert(kernel.to_owned(), found);
        }
        let Some(found) = loaded.functions.get_mut(kernel) else { bail!("there is no kernel `{kernel}`") };
        if found.sizes != sizes {
            bail!("kernel `{kernel}` takes arguments of {:?} bytes, got {sizes:?}", found.sizes)
        }
        if shared > found.shared {
            let which = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function's module stays loaded
            let raised = unsafe { function::set_function_attribute(found.handle, which, shared as i32) };
            raised.map_err(|error| {
                Error::msg(format!("kernel `{kernel}` with {shared} bytes of shared memory: {error}"))
            })?;
            found.shared = shared;
        }
        Ok(found.handle)
    }
}

impl Loaded {
    fn load(&mut self, kernel: &str) -> Result<Function> {
        let Some((source, ptx)) = source_of(kernel) else { bail!("there is no kernel `{kernel}`") };
        let module = match self.modules.get(source) {
            Some(module) => *module,
            None => {
                let module = load_module(source, ptx)?;
                self.modules.insert(source, module);
                module
            }
        };
        let name = CString::new(kernel).map_err(Error::wrap)?;
        let wrap = |error| Error::msg(format!("kernel `{kernel}`: {error}"));
        // SAFETY: the module was loaded in the bound context
        let handle = unsafe { module::get_function(module, name) }.map_err(wrap)?;
        let mut sizes = Vec::new();
        loop {
            let (mut offset, mut size) = (0, 0);
            // SAFETY: writes the two numbers, or fails past the last argument
            match unsafe { sys::cuFuncGetParamInfo(handle, sizes.len(), &mut offset, &mut size) }.result() {
                Ok(()) => sizes.push(size),
                Err(error) if error.0 == CUresult::CUDA_ERROR_INVALID_VALUE => break,
                Err(error) => return Err(wrap(error)),
            }
        }
        Ok(Function { handle, sizes, shared: SHARED })
    }
}

/// The source that a kernel comes from, and its PTX.
fn source_of(kernel: &str) -> Option<(&'static str, &'static str)> {
    let entry = format!(".entry {kernel}(");
    MODULES.iter().find(|(_, ptx)| ptx.contains(&entry)).copied()
}

fn load_module(source: &str, ptx: &str) -> Result<sys::CUmodule> {
    let image = CString::new(ptx).map_err(Error::wrap)?;
    let mut log = vec![0u8; 8 << 10];
    let mut options =
        [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
    let mut module = std::ptr::null_mut();
    // SAFETY: the image is text that ends with a zero; the log is as long as the options say, and all
    // outlive the call
    let status = unsafe {
        let image = image.as_ptr().cast();
        sys::cuModuleLoadDataEx(&mut module, image, 2, options.as_mut_ptr(), values.as_mut_ptr())
    };
    status.result().map_err(|error| {
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        let said = String::from_utf8_lossy(&log[..end]);
        Error::msg(format!("the driver cannot compile the kernels of `{source}.cu`: {error} {}", said.trim()))
    })?;
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(ptx: &str) -> impl Iterator<Item = &str> {
        ptx.split(".entry ").skip(1).filter_map(|rest| rest.split('(').next())
    }

    #[test]
    fn kernels_are_found_by_name_and_no_name_is_used_twice() {
        assert_eq!(source_of("add_f32").map(|(source, _)| source), Some("residual"));
        assert_eq!(source_of("add"), None);
        let mut names: Vec<&str> = MODULES.iter().flat_map(|(_, ptx)| entries(ptx)).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert!(count > 0 && names.len() == count);
    }

    #[test]
    fn every_source_is_compiled_for_the_oldest_gpu() {
        for (source, ptx) in MODULES {
            assert!(entries(ptx).count() > 0, "{source}");
            assert!(ptx.contains(".target sm_80"), "{source}");
        }
    }

    #[test]
    fn a_launch_that_does_not_fit_the_kernel_is_refused() {
        let Some(device) = super::super::for_tests() else { return };
        let tensor = candle_core::Tensor::zeros(4, candle_core::DType::F32, &device).unwrap();
        let gpu = super::super::super::Gpu::of(&tensor).unwrap().unwrap();
        let grid = super::super::super::Grid::of(1, 32);
        let error = gpu.launch("add_f32", grid, &[(&tensor).into()]).unwrap_err().to_string();
        assert!(error.contains("takes arguments of [8, 8, 8, 8] bytes, got [8]"), "{error}");
        let error = gpu.launch("nothing", grid, &[]).unwrap_err().to_string();
        assert!(error.contains("there is no kernel `nothing`"), "{error}");
    }
}
