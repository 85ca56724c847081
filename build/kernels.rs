//! Compiles the CUDA kernels.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ptx;

const SOURCES: &str = "src/backend/kernels";

/// The oldest GPUs that the kernels run on; the driver compiles their PTX for newer ones.
const OLDEST: &str = "80";

/// GPUs that find their machine code beside the PTX (H100, H200), so that the driver has nothing to compile.
const READY: &str = "90";

/// Writes `modules.rs` to `out`: a `KernelModule` (see `modules.rs` of the backend) for each source file.
pub fn build(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCES}");
    let sources = files("cu")?;
    cudaforge::KernelBuilder::new()
        .source_files(sources.clone())
        .watch(files("cuh")?)
        .compute_cap_arch(OLDEST)
        .arg("-std=c++17")
        .arg("-O3")
        .out_dir(out)
        .build_ptx()?;
    let names = sources.iter().map(|source| source.file_stem().and_then(|name| name.to_str()));
    let names: Vec<&str> = names.collect::<Option<_>>().ok_or("a kernel has no name")?;
    images(out, &names)?;
    let mut text = String::from("&[\n");
    for name in names {
        let ptx = std::fs::read_to_string(out.join(name).with_extension("ptx"))?;
        let kernels = ptx::kernels(&ptx).map_err(|error| format!("{name}.ptx: {error}"))?;
        let image = image(out, name);
        writeln!(
            text,
            "    KernelModule {{ source: {name:?}, image: &Aligned(*include_bytes!({image:?})), kernels: &["
        )?;
        for (kernel, sizes) in kernels {
            writeln!(text, "        ({kernel:?}, &{sizes:?}),")?;
        }
        text += "    ] },\n";
    }
    std::fs::write(out.join("modules.rs"), text + "]\n")?;
    Ok(())
}

/// What the driver is given of a source: its PTX and machine code.
fn image(out: &Path, name: &str) -> PathBuf {
    out.join(name).with_extension("fatbin")
}

/// Makes the images of the PTX files in `out`, as many at a time as cargo allows.
fn images(out: &Path, names: &[&str]) -> Result<(), Box<dyn Error>> {
    let nvcc = cudaforge::CudaToolkit::detect()?.nvcc_path;
    let make = |name: &&str| {
        let mut command = Command::new(&nvcc);
        command.arg("-fatbin").arg("-gencode");
        command.arg(format!("arch=compute_{OLDEST},code=[compute_{OLDEST},sm_{READY}]"));
        command.arg(out.join(name).with_extension("ptx")).arg("-o").arg(image(out, name));
        match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("{command:?}: {error}")),
        }
    };
    let jobs = std::env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let share = names.len().div_ceil(jobs).max(1);
    let made = std::thread::scope(|scope| {
        let threads = names.chunks(share).map(|names| scope.spawn(move || names.iter().try_for_each(make)));
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread ended early".to_owned())?)
    });
    let made: Result<(), String> = made;
    Ok(made?)
}

fn files(extension: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let entries = std::fs::read_dir(SOURCES)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.retain(|path: &PathBuf| Path::extension(path).is_some_and(|e| e == extension));
    paths.sort();
    Ok(paths)
}
