//! With the `cuda` feature: compiles the CUDA kernels, and lists what the CUDA libraries export.

#[cfg(feature = "cuda")]
#[path = "build/forwards.rs"]
mod forwards;
#[cfg(feature = "cuda")]
#[path = "build/kernels.rs"]
mod kernels;
#[cfg(feature = "cuda")]
#[path = "build/ptx.rs"]
mod ptx;

fn main() {
    #[cfg(feature = "cuda")]
    if let Err(error) = cuda() {
        panic!("cannot build for CUDA (is nvcc on the PATH?): {error}")
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    kernels::build(&out)?;
    forwards::write(&out)
}
