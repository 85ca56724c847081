//! Whether there is a GPU, and taking hold of it.

use anyhow::Result;
use candle_core::Device;

/// Errors, with what to do about it, if GPU `ordinal` cannot be used: this build has no CUDA, or the
/// machine has no such GPU. Takes hold of nothing.
pub fn check(ordinal: usize) -> Result<()> {
    #[cfg(feature = "cuda")]
    return super::cuda::check(ordinal);
    #[cfg(not(feature = "cuda"))]
    anyhow::bail!(
        "this `runner` was built without CUDA, which `cuda:{ordinal}` needs; build it with `cargo build --release --features cuda`"
    )
}

/// GPU `ordinal`. Errors as [`check`] does, or if the driver refuses it.
pub fn open(ordinal: usize) -> Result<Device> {
    check(ordinal)?;
    #[cfg(feature = "cuda")]
    return super::cuda::open(ordinal);
    #[cfg(not(feature = "cuda"))]
    Ok(Device::new_cuda(ordinal)?)
}
