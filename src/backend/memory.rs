//! What the process has used.

use candle_core::{Device, Result};

use super::gpu::{Gpu, Memory};

/// Memory of a GPU; `None` for the CPU, where [`peak_resident_bytes`] tells.
pub fn on_device(device: &Device) -> Result<Option<Memory>> {
    match Gpu::on(device)? {
        Some(gpu) => gpu.memory(),
        None => Ok(None),
    }
}

/// Lets a GPU's peak begin anew, at what is used now. The CPU's cannot.
pub fn reset_device_peak(device: &Device) -> Result<()> {
    Gpu::on(device)?.map_or(Ok(()), Gpu::reset_peak)
}

/// Largest resident set of this process so far, bytes.
pub fn peak_resident_bytes() -> u64 {
    // SAFETY: `getrusage` fills the zeroed struct it is given and reads nothing else.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    usage.ru_maxrss as u64 * unit
}

/// Asks the allocator to keep freed memory instead of giving it back: a step frees and takes the same
/// large buffers over and over, and a page that comes back from the system must be cleared first.
/// Does nothing where the C library is not GNU's.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` sets parameters of the allocator and touches no memory of ours
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
