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

/// The memory that this process may use at most, bytes: what the machine has, or less where a control group
/// or a limit of the process's address space says so. `None` where it is not known.
pub fn of_machine() -> Option<u64> {
    // SAFETY: `sysconf` takes a number and gives one.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    let installed = u64::try_from(pages).ok()?.checked_mul(u64::try_from(page).ok()?)?;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `getrlimit` fills the struct that it is given and reads nothing else.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) } == 0;
    let own = if known { limit.rlim_cur } else { u64::MAX };
    Some(installed.min(group).min(own))
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
