//! Kernels on this machine's CPU, for tests: the C++ compiler builds `kernels/*.cu` with `emulate.h` in
//! place of CUDA. Within [`with`], tensors on the CPU count as lying on a GPU.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};
use libloading::{Library, Symbol};
use rayon::prelude::*;

use super::launch::{Arg, Grid, Packed};
use crate::backend::counting_allocator::only_what_stays;

const KERNELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/backend/kernels");

/// The sanitizer ends the program at a read or write of a vector that is not aligned to its size, as a GPU
/// ends a kernel.
const FLAGS: [&str; 11] = [
    "-std=c++17",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-gnu-unique",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-Wall",
    "-Wno-unused-function",
    "-fsanitize=alignment",
    "-fsanitize-undefined-trap-on-error",
];

pub struct Emulator {
    /// One a source file, as they are compiled apart on a GPU too: what they define stays their own.
    libraries: Vec<Library>,
}

/// In which order blocks and threads run: what they compute may not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Forward,
    Reverse,
}

thread_local! {
    static ON: Cell<Option<Order>> = const { Cell::new(None) };
}

/// The emulator, if this thread runs within [`with`].
pub fn current() -> Option<&'static Emulator> {
    ON.get().and_then(|_| emulator())
}

/// Runs `f` with CPU tensors as tensors on a GPU. `None`, said on standard error, if there is no C++ compiler.
pub fn with<R>(order: Order, f: impl FnOnce() -> R) -> Option<R> {
    struct Restore(Option<Order>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ON.set(self.0);
        }
    }
    if emulator().is_none() {
        eprintln!("skipped: there is no C++ compiler (`$CXX`, c++) to emulate kernels with");
        return None;
    }
    let _restore = Restore(ON.replace(Some(order)));
    Some(f())
}

/// Runs `f` with CPU tensors as what they are, inside [`with`].
pub fn without<R>(f: impl FnOnce() -> R) -> R {
    let order = ON.replace(None);
    let found = f();
    ON.set(order);
    found
}

fn emulator() -> Option<&'static Emulator> {
    static EMULATOR: OnceLock<Option<Emulator>> = OnceLock::new();
    EMULATOR.get_or_init(Emulator::build).as_ref()
}

fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned())
}

/// What is asked for beside [`FLAGS`], such as sanitizers.
fn more_flags() -> String {
    std::env::var("CXXFLAGS").unwrap_or_default()
}

impl Emulator {
    /// Compiles what has changed since the last time. `None` without a compiler; a kernel that does not
    /// compile fails the test.
    fn build() -> Option<Self> {
        Command::new(compiler()).arg("--version").output().ok()?;
        let mut sources: Vec<PathBuf> =
            std::fs::read_dir(KERNELS).unwrap().map(|entry| entry.unwrap().path()).collect();
        sources.sort();
        let text = |path: &Path| std::fs::read(path).unwrap();
        let is = |path: &Path, extensions: &[&str]| {
            path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted))
        };
        let mut headers = blake3::Hasher::new();
        headers.update((FLAGS.concat() + &more_flags()).as_bytes());
        sources.iter().filter(|path| is(path, &["cuh", "h"])).for_each(|path| {
            headers.update(&text(path));
        });
        let folder = std::env::temp_dir().join(format!("runner-kernels-{}", user()));
        std::fs::create_dir_all(&folder).unwrap();
        let digest =
            |source: &Path| headers.clone().update(&text(source)).finalize().to_hex()[..16].to_owned();
        let scheduler = Path::new(KERNELS).join("emulate.cpp");
        let built = folder.join(format!("emulate-{}.o", digest(&scheduler)));
        if !built.exists() {
            compile(&["-c"], &[&scheduler], &built);
        }
        let units: Vec<&PathBuf> = sources.iter().filter(|path| is(path, &["cu"])).collect();
        let libraries = units.par_iter().map(|source| {
            let name = source.file_stem().unwrap().to_string_lossy();
            let library = folder.join(format!("{name}-{}-{}.so", digest(source), digest(&scheduler)));
            if !library.exists() {
                compile(&["-shared", "-x", "c++"], &[source, Path::new("-xnone"), &built], &library);
            }
            // SAFETY: the library is ours; loading it only registers its kernels
            unsafe { Library::new(&library) }.unwrap()
        });
        Some(Emulator { libraries: libraries.collect() })
    }

    pub fn launch(&self, kernel: &str, grid: Grid, arguments: &[Arg<'_>]) -> Result<()> {
        type Launch = unsafe extern "C" fn(
            *const c_char,
            *const u32,
            *const u32,
            u32,
            *mut *mut c_void,
            *const usize,
            usize,
            c_int,
        ) -> c_int;
        let mut packed = Packed::new(arguments, address)?;
        let mut addresses = packed.addresses();
        let name = CString::new(kernel).unwrap();
        let reverse = c_int::from(ON.get() == Some(Order::Reverse));
        let launch = |library: &Library| {
            // SAFETY: the function has this type; kernels get the arguments they declare, as the callee
            // checks, and touch the tensors among them, which outlive the call
            unsafe {
                let launch: Symbol<Launch> = library.get(b"emulate_launch\0").unwrap();
                launch(
                    name.as_ptr(),
                    grid.blocks.as_ptr(),
                    [grid.threads, 1, 1].as_ptr(),
                    grid.shared,
                    addresses.as_mut_ptr(),
                    packed.sizes().as_ptr(),
                    packed.sizes().len(),
                    reverse,
                )
            }
        };
        let status = self.libraries.iter().map(launch).find(|status| *status != 1);
        match status {
            None => bail!("there is no kernel `{kernel}`"),
            Some(0) => Ok(()),
            Some(2) => bail!("kernel `{kernel}` takes other arguments than {:?} bytes", packed.sizes()),
            Some(4) => bail!("no device runs kernel `{kernel}` over {grid:?}"),
            Some(5) => bail!("kernel `{kernel}` copies 16 bytes to or from no multiple of 16"),
            _ => bail!("the threads of kernel `{kernel}` wait for each other for ever"),
        }
    }
}

/// In place of cuBLASLt: the CPU's product, rounded to the dtype of `dst`.
pub(super) fn matmul(dst: &Tensor, lhs: &Tensor, rhs: &Tensor, scale: f32, accumulate: bool) -> Result<()> {
    let product = || {
        let float = |t: &Tensor| t.to_dtype(DType::F32);
        let sum = if accumulate {
            dst.to_dtype(DType::F32)?.copy()?
        } else {
            dst.zeros_like()?.to_dtype(DType::F32)?
        };
        let sum = sum.contiguous()?;
        super::super::matmul::matmul_into(&sum, &float(lhs)?, &float(rhs)?, f64::from(scale), true)?;
        assign(dst, &sum.to_dtype(dst.dtype())?)
    };
    only_what_stays(|| without(product))
}

fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "anyone".to_owned())
}

/// Writes `to` at once, as several test programs may do it at a time.
fn compile(options: &[&str], from: &[&Path], to: &Path) {
    let part = to.with_extension(format!("{}.part", std::process::id()));
    let output = Command::new(compiler())
        .args(FLAGS)
        .args(more_flags().split_whitespace())
        .args(options)
        .args(from)
        .arg("-o")
        .arg(&part)
        .output()
        .unwrap();
    assert!(output.status.success(), "{from:?}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&part, to).unwrap();
}

/// dst ← src, both `[rows, columns]`, of any strides.
fn assign(dst: &Tensor, src: &Tensor) -> Result<()> {
    struct Assign;
    impl InplaceOp2 for Assign {
        fn name(&self) -> &'static str {
            "assign"
        }

        fn cpu_fwd(&self, dst: &mut CpuStorage, d: &Layout, src: &CpuStorage, s: &Layout) -> Result<()> {
            let (rows, columns) = d.shape().dims2()?;
            let at = |l: &Layout, i, j| l.start_offset() + i * l.stride()[0] + j * l.stride()[1];
            let indices = (0..rows * columns)
                .map(|n| (n / columns, n % columns))
                .map(|(i, j)| (at(d, i, j), at(s, i, j)));
            match (dst, src) {
                (CpuStorage::F32(dst), CpuStorage::F32(src)) => indices.for_each(|(d, s)| dst[d] = src[s]),
                (CpuStorage::BF16(dst), CpuStorage::BF16(src)) => indices.for_each(|(d, s)| dst[d] = src[s]),
                _ => bail!("products are float32 or bf16"),
            }
            Ok(())
        }
    }
    dst.inplace_op2(src, &Assign)
}

/// The address of a CPU tensor's first element, to be read or written while the tensor lives; 0 if it has none.
pub(super) fn address(tensor: &Tensor) -> Result<u64> {
    struct First<'a>(&'a Cell<u64>);
    impl InplaceOp1 for First<'_> {
        fn name(&self) -> &'static str {
            "address"
        }

        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            let (start, bytes) = match storage {
                CpuStorage::F32(values) => (values.as_mut_ptr() as u64, 4),
                CpuStorage::BF16(values) => (values.as_mut_ptr() as u64, 2),
                CpuStorage::U32(values) => (values.as_mut_ptr() as u64, 4),
                CpuStorage::I64(values) => (values.as_mut_ptr() as u64, 8),
                _ => bail!("kernels take float32, bf16, u32 and i64"),
            };
            self.0.set(start + (layout.start_offset() * bytes) as u64);
            Ok(())
        }
    }
    // candle refuses strides of 0, as of `[3, 0]`
    if tensor.elem_count() == 0 {
        return Ok(0);
    }
    let found = Cell::new(0);
    tensor.inplace_op1(&First(&found))?;
    Ok(found.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn what_a_device_refuses_is_refused() {
        let x = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let Some(emulator) = with(Order::Forward, || current().unwrap()) else { return };
        let launch = |blocks, threads, shared| {
            let arguments = [(&x).into(), Arg::Null, Arg::F32(2.0), 2usize.into(), 3usize.into()];
            let launched = emulator.launch("scale_f32", Grid { blocks, threads, shared }, &arguments);
            launched.map_err(|error| error.to_string())
        };
        assert_eq!(launch([1, 65_535, 1], 32, 99 << 10), Ok(()));
        for (blocks, threads, shared) in [
            ([1, 65_536, 1], 32, 0),
            ([1, 1, 65_536], 32, 0),
            ([1 << 31, 1, 1], 32, 0),
            ([1, 1, 1], 0, 0),
            ([1, 1, 1], 33, 0),
            // the kernel's own bound
            ([1, 1, 1], 288, 0),
            ([1, 1, 1], 32, (99 << 10) + 1),
        ] {
            let error = launch(blocks, threads, shared).unwrap_err();
            assert!(error.starts_with("no device runs kernel `scale_f32` over Grid"), "{error}");
        }
    }
}
