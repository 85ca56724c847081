//! The CUDA libraries, opened at run time: the program starts on a machine without a driver or a toolkit, and
//! says what is missing. `build.rs` defines every function of the libraries here, as a jump through
//! [`TABLE`]; candle's and cudarc's calls land there in place of linking to the libraries. Before a library
//! is open, and where it lacks a function, the jump leads to one that returns an error's number.
//!
//! Two libraries are never opened. nvrtc compiles kernels at run time, which nothing here asks for. The CUDA
//! runtime serves candle's kernels for quantised weights, of which the program has none: they register
//! themselves before `main`, to no effect.

use std::ffi::{CStr, CString, c_void};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use anyhow::{Result, anyhow, bail};

use super::super::folders::toolkit_folders;
use super::wrapped;

/// Names of functions, in the order of the table, and versions: from the toolkit's headers.
pub mod forwards {
    use std::ffi::CStr;

    include!(concat!(env!("OUT_DIR"), "/forwards.rs"));
}

use forwards::{COUNT, CUBLAS, CUBLASLT, CUDA, CUDART, CURAND, NVRTC};

/// The folders of [`toolkit_folders`] that are listed only where they exist.
const PYTHON: &str = " and in Python's packages of NVIDIA (`nvidia/*/lib`) that `VIRTUAL_ENV`, `CONDA_PREFIX`, `PATH` or `~/.local` lead to";

std::arch::global_asm!(include_str!(concat!(env!("OUT_DIR"), "/forwards.s")), table = sym TABLE);

/// Where each function is.
static TABLE: [AtomicPtr<c_void>; COUNT] = {
    let mut table = [const { AtomicPtr::new(std::ptr::null_mut()) }; COUNT];
    let mut first = 0;
    // CUDA_ERROR_NOT_FOUND, CUBLAS_STATUS_NOT_INITIALIZED (twice), CURAND_STATUS_NOT_INITIALIZED,
    // NVRTC_ERROR_INTERNAL_ERROR, cudaErrorSymbolNotFound
    first = point(&mut table, first, CUDA.len(), absent::<500> as *const ());
    first = point(&mut table, first, CUBLASLT.len(), absent::<1> as *const ());
    first = point(&mut table, first, CUBLAS.len(), absent::<1> as *const ());
    first = point(&mut table, first, CURAND.len(), absent::<101> as *const ());
    first = point(&mut table, first, NVRTC.len(), absent::<11> as *const ());
    first = point(&mut table, first, CUDART.len(), absent::<500> as *const ());
    assert!(first == COUNT);
    table
};

const fn point(table: &mut [AtomicPtr<c_void>], first: usize, count: usize, to: *const ()) -> usize {
    let mut index = first;
    while index < first + count {
        table[index] = AtomicPtr::new(to.cast_mut().cast());
        index += 1;
    }
    index
}

/// Stands for a function that is not there. The caller passes arguments in registers and on its own stack,
/// and reads a status: so one without arguments can take the call.
extern "C" fn absent<const STATUS: i32>() -> i32 {
    STATUS
}

/// Opens the driver's library. Errors if there is none.
pub fn open_driver() -> Result<()> {
    static OPENED: OnceLock<Result<(), String>> = OnceLock::new();
    once(&OPENED, || {
        // the driver's own folder under Windows, if the loader does not know it
        let driver = find("libcuda.so.1", &[PathBuf::from("/usr/lib/wsl/lib")], "")?;
        fill(driver, 0, CUDA);
        wrapped::install(slot);
        Ok(())
    })
}

/// Opens the toolkit's libraries. Errors, with where they were looked for, if one is missing.
pub fn open_toolkit() -> Result<()> {
    static OPENED: OnceLock<Result<(), String>> = OnceLock::new();
    once(&OPENED, || {
        let usual = ["/usr/local/cuda", "/opt/cuda"].map(PathBuf::from);
        let folders = toolkit_folders(|name| std::env::var_os(name), &usual);
        let blas = forwards::CUBLAS_MAJOR;
        // cuBLAS itself needs cuBLASLt, and finds it once it is open
        let lt = find(&format!("libcublasLt.so.{blas}"), &folders, PYTHON)?;
        let cublas = find(&format!("libcublas.so.{blas}"), &folders, PYTHON)?;
        let curand = find(&format!("libcurand.so.{}", forwards::CURAND_MAJOR), &folders, PYTHON)?;
        fill(lt, CUDA.len(), CUBLASLT);
        fill(cublas, CUDA.len() + CUBLASLT.len(), CUBLAS);
        fill(curand, CUDA.len() + CUBLASLT.len() + CUBLAS.len(), CURAND);
        Ok(())
    })
}

fn once(opened: &OnceLock<Result<(), String>>, open: impl FnOnce() -> Result<()>) -> Result<()> {
    let result = opened.get_or_init(|| open().map_err(|error| error.to_string()));
    result.clone().map_err(|message| anyhow!(message))
}

/// An open library, for as long as the program runs.
#[derive(Clone, Copy)]
struct Library(*mut c_void);

/// Opens `name` from where the loader looks, or else from `folders`. `which`: what the folders come from,
/// beside what they say themselves.
fn find(name: &str, folders: &[PathBuf], which: &str) -> Result<Library> {
    let paths = std::iter::once(PathBuf::from(name)).chain(folders.iter().map(|folder| folder.join(name)));
    let mut said = None;
    for path in paths {
        match open(&path) {
            Ok(library) => return Ok(library),
            // a library that is there and does not load says more than one that is not there
            Err(message) if said.is_none() || path.exists() => said = Some(message),
            Err(_) => {}
        }
    }
    let looked =
        folders.iter().map(|folder| format!("`{}`", folder.display())).collect::<Vec<_>>().join(", ");
    let said = said.unwrap_or_default();
    bail!(
        "`{name}` cannot be opened (looked where the loader does, in `LD_LIBRARY_PATH` and in {looked}{which}): {said}"
    )
}

fn open(path: &std::path::Path) -> Result<Library, String> {
    let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: these are NVIDIA's libraries, whose initialisers touch nothing of ours; `dlerror` returns
    // null or a string that lives until this thread's next call
    unsafe {
        let handle = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if !handle.is_null() {
            return Ok(Library(handle));
        }
        let message = libc::dlerror();
        if message.is_null() {
            return Err("the loader does not say why".to_owned());
        }
        Err(CStr::from_ptr(message).to_string_lossy().into_owned())
    }
}

/// Where the table says that a function of the driver is; `None` if the driver's headers have no such function.
pub fn slot(function: &str) -> Option<&'static AtomicPtr<c_void>> {
    let place = CUDA.iter().position(|name| name.to_bytes() == function.as_bytes())?;
    TABLE.get(place)
}

/// Points the functions at the library's. What it does not have (an older driver, or a name that is no
/// function) stays as it is.
fn fill(library: Library, first: usize, names: &[&CStr]) {
    for (slot, name) in TABLE[first..].iter().zip(names) {
        // SAFETY: the handle comes from `dlopen` and is never closed
        let address = unsafe { libc::dlsym(library.0, name.as_ptr()) };
        if !address.is_null() {
            slot.store(address, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cudarc::driver::result::{DriverError, init};
    use cudarc::driver::sys::CUresult;

    #[test]
    fn functions_are_ours_until_a_library_is_open() {
        let place = CUDA.iter().position(|name| *name == c"cuInit").unwrap();
        match super::super::check(0) {
            Ok(()) => assert_eq!(init(), Ok(())),
            Err(_) if open_driver().is_err() => {
                assert_eq!(init(), Err(DriverError(CUresult::CUDA_ERROR_NOT_FOUND)));
                let here = TABLE[place].load(Ordering::Acquire);
                assert_eq!(here, absent::<500> as *const () as *mut c_void);
            }
            Err(_) => {}
        }
    }

    #[test]
    fn the_table_points_at_what_a_library_has() {
        // any library will do; the C library is always there
        let c = find("libc.so.6", &[], "").unwrap();
        let last = COUNT - 2;
        let before = [TABLE[last].load(Ordering::Acquire), TABLE[last + 1].load(Ordering::Acquire)];
        fill(c, last, &[c"getpid", c"no_such_function"]);
        // SAFETY: the slot holds the address of `getpid`
        let getpid: extern "C" fn() -> i32 =
            unsafe { std::mem::transmute(TABLE[last].load(Ordering::Acquire)) };
        assert_eq!(getpid() as u32, std::process::id());
        assert_eq!(TABLE[last + 1].load(Ordering::Acquire), before[1]);
        TABLE[last].store(before[0], Ordering::Release);
    }

    #[test]
    fn a_missing_library_is_named_with_where_it_was_looked_for() {
        let error =
            find("libnothing.so.9", &[PathBuf::from("/no/folder")], PYTHON).err().unwrap().to_string();
        assert!(
            error.starts_with("`libnothing.so.9` cannot be opened (looked where the loader does"),
            "{error}"
        );
        assert!(error.contains("in `/no/folder` and in Python's packages of NVIDIA"), "{error}");
    }
}
