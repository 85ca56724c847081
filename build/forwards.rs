//! The functions of the CUDA libraries, from the toolkit's headers. The program defines each of them itself,
//! as a jump to wherever `backend/gpu/cuda/libraries.rs` finds it at run time; so the linker has nothing to
//! take from the libraries, and the program starts on machines that have none.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Kernels look at the sizes of their arguments with functions that came with CUDA 12.4.
const OLDEST: usize = 12_040;

/// Compute capability that candle's kernels must at least be compiled for.
const OLDEST_GPU: usize = 80;

/// A library: its name, what functions' names start with, and the headers that declare them.
const LIBRARIES: [(&str, &str, &[&str]); 6] = [
    ("cuda", "cu", &["cuda.h"]),
    ("cublasLt", "cublasLt", &["cublasLt.h"]),
    ("cublas", "cublas", &["cublas_api.h"]),
    ("curand", "curand", &["curand.h"]),
    ("nvrtc", "nvrtc", &["nvrtc.h"]),
    ("cudart", "cuda", &["cuda_runtime_api.h"]),
];

/// Functions of the driver whose header not every toolkit has.
const PROFILER: [&str; 3] = ["cuProfilerInitialize", "cuProfilerStart", "cuProfilerStop"];

/// What nvcc's own code calls in the runtime, and no header declares.
const RUNTIME: [&str; 12] = [
    "__cudaGetKernel",
    "__cudaInitModule",
    "__cudaLaunchKernel",
    "__cudaLaunchKernel_ptsz",
    "__cudaPopCallConfiguration",
    "__cudaPushCallConfiguration",
    "__cudaRegisterFatBinary",
    "__cudaRegisterFatBinaryEnd",
    "__cudaRegisterFunction",
    "__cudaRegisterManagedVar",
    "__cudaRegisterVar",
    "__cudaUnregisterFatBinary",
];

/// Writes `forwards.s` (a jump a function) and `forwards.rs` (their names and the toolkit's versions) to `out`.
pub fn write(out: &Path) -> Result<(), Box<dyn Error>> {
    let include = include()?;
    let read = |name: &str| {
        let path = include.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let cuda = number(&read("cuda.h")?, "CUDA_VERSION")?;
    if cuda < OLDEST {
        return Err(format!("CUDA {} in {} is older than 12.4", version(cuda), include.display()).into());
    }
    let mut asm = String::new();
    let mut names = String::new();
    let mut first = 0;
    for (library, prefix, headers) in LIBRARIES {
        let texts = headers.iter().map(|header| read(header)).collect::<Result<Vec<_>, _>>()?;
        let mut found = functions(&texts.concat(), prefix);
        match library {
            "cuda" => found.extend(PROFILER.map(str::to_owned)),
            "cublas" => found.retain(|name| !name.starts_with("cublasLt")),
            "cudart" => {
                // by the stream of the thread that calls
                found.extend(found.clone().iter().map(|name| format!("{name}_ptsz")));
                found.extend(RUNTIME.map(str::to_owned));
            }
            _ => {}
        }
        found.sort();
        found.dedup();
        writeln!(names, "pub const {}: &[&CStr] = &[", library.to_uppercase())?;
        for (index, name) in found.iter().enumerate() {
            writeln!(names, "    c\"{name}\",")?;
            asm += &jump(name, 8 * (first + index))?;
        }
        first += found.len();
        writeln!(names, "];")?;
    }
    let architecture = cudaforge::detect_compute_cap()?;
    if architecture.base() < OLDEST_GPU {
        return Err(format!("candle's kernels know bf16 from {OLDEST_GPU} on, not for {architecture}: set `CUDA_COMPUTE_CAP={OLDEST_GPU}`").into());
    }
    let architecture = architecture.to_nvcc_arch();
    writeln!(names, "pub const COUNT: usize = {first};")?;
    writeln!(names, "pub const CUDA_VERSION: i32 = {cuda};")?;
    writeln!(
        names,
        "pub const CUBLAS_MAJOR: u32 = {};",
        number(&read("cublas_api.h")?, "CUBLAS_VER_MAJOR")?
    )?;
    writeln!(names, "pub const CURAND_MAJOR: u32 = {};", number(&read("curand.h")?, "CURAND_VER_MAJOR")?)?;
    writeln!(names, "pub const CANDLE_ARCHITECTURE: &str = {architecture:?};")?;
    std::fs::write(out.join("forwards.s"), asm)?;
    std::fs::write(out.join("forwards.rs"), names)?;
    // GNU's linker looks into an archive once: ours must be opened before the libraries that call into it
    println!("cargo::rustc-link-arg=-Wl,--undefined=cuInit");
    Ok(())
}

/// Where cuda.h is: beside nvcc, or where the build's other parts look for the toolkit.
fn include() -> Result<PathBuf, Box<dyn Error>> {
    let variables = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR"];
    variables.iter().for_each(|name| println!("cargo::rerun-if-env-changed={name}"));
    let roots = variables.iter().filter_map(std::env::var_os).map(|root| PathBuf::from(root).join("include"));
    let beside = cudaforge::CudaToolkit::detect()?.include_dir;
    let mut folders = std::iter::once(beside).chain(roots);
    folders.find(|folder| folder.join("cuda.h").exists()).ok_or_else(|| "there is no cuda.h".into())
}

/// Every name of `prefix` and a capital letter that a `(` follows, and every name that such a name stands for
/// (`#define cuMemAlloc cuMemAlloc_v2`). Names that are no functions do no harm.
fn functions(header: &str, prefix: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = |word: &str| {
        word.strip_prefix(prefix).is_some_and(|tail| tail.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    let mut names = Vec::new();
    let mut rest = header;
    let mut before = ["", ""];
    while let Some(start) = rest.find(is_word) {
        let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |length| start + length);
        let word = &rest[start..end];
        rest = &rest[end..];
        let called = rest.trim_start().starts_with('(');
        let defined = before[0] == "define" && is_name(before[1]);
        if is_name(word) && (called || defined) {
            names.push(word.to_owned());
        }
        before = [before[1], word];
    }
    names
}

/// The value of `#define NAME VALUE`.
fn number(header: &str, name: &str) -> Result<usize, Box<dyn Error>> {
    let mut lines = header.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let value = lines.find_map(|words| match words[..] {
        ["#define", found, value, ..] if found == name => value.parse().ok(),
        _ => None,
    });
    value.ok_or_else(|| format!("the toolkit's headers do not say {name}").into())
}

fn version(cuda: usize) -> String {
    format!("{}.{}", cuda / 1000, cuda % 1000 / 10)
}

/// Function `name`: a jump to the address `offset` bytes into the table. Leaves all registers for arguments alone.
fn jump(name: &str, offset: usize) -> Result<String, Box<dyn Error>> {
    let head = format!(".globl {name}\n.type {name}, @function\n{name}:\n");
    let body = match std::env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => format!("    jmp qword ptr [rip + {{table}} + {offset}]\n"),
        "aarch64" => {
            let at = format!("{{table}} + {offset}");
            format!("    adrp x16, {at}\n    ldr x16, [x16, :lo12:{at}]\n    br x16\n")
        }
        other => return Err(format!("CUDA is supported on x86_64 and aarch64, not {other}").into()),
    };
    Ok(head + &body)
}
