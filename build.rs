//! Compiles the CUDA kernels to PTX, when the `cuda` feature asks for them.

fn main() {
    #[cfg(feature = "cuda")]
    if let Err(error) = kernels::build() {
        panic!("cannot compile the kernels (is nvcc on the PATH?): {error}")
    }
}

#[cfg(feature = "cuda")]
mod kernels {
    use std::error::Error;
    use std::path::{Path, PathBuf};

    const SOURCES: &str = "src/backend/kernels";

    /// The oldest GPUs that the kernels run on; the driver compiles their PTX for newer ones.
    const ARCHITECTURE: &str = "80";

    /// Writes `modules.rs` to `OUT_DIR`: the PTX of each source file, by its name.
    pub fn build() -> Result<(), Box<dyn Error>> {
        println!("cargo::rerun-if-changed={SOURCES}");
        let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
        let sources = files("cu")?;
        cudaforge::KernelBuilder::new()
            .source_files(sources.clone())
            .watch(files("cuh")?)
            .compute_cap_arch(ARCHITECTURE)
            .arg("-std=c++17")
            .arg("-O3")
            .out_dir(&out)
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
}
