//! Compiles the CUDA kernels to PTX.

use std::error::Error;
use std::path::{Path, PathBuf};

const SOURCES: &str = "src/backend/kernels";

/// The oldest GPUs that the kernels run on; the driver compiles their PTX for newer ones.
const ARCHITECTURE: &str = "80";

/// Writes `modules.rs` to `out`: the PTX of each source file, by its name.
pub fn build(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCES}");
    let sources = files("cu")?;
    cudaforge::KernelBuilder::new()
        .source_files(sources.clone())
        .watch(files("cuh")?)
        .compute_cap_arch(ARCHITECTURE)
        .arg("-std=c++17")
        .arg("-O3")
        .out_dir(out)
        .build_ptx()?;
    let mut text = String::from("&[\n");
    for source in &sources {
        let name = source.file_stem().and_then(|name| name.to_str()).ok_or("a kernel has no name")?;
        text += &format!("    ({name:?}, include_str!({:?})),\n", out.join(format!("{name}.ptx")));
    }
    std::fs::write(out.join("modules.rs"), text + "]\n")?;
    Ok(())
}

fn files(extension: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let entries = std::fs::read_dir(SOURCES)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.retain(|path: &PathBuf| Path::extension(path).is_some_and(|e| e == extension));
    paths.sort();
    Ok(paths)
}
