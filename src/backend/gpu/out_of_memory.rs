//! What happens where a run needs more memory than its GPU has: what is held and not used is given back, and
//! if that does not do, the error says what takes the memory.

use std::sync::{Mutex, PoisonError};

use anyhow::Error;
use candle_core::{Device, DeviceLocation};

use super::{Gpu, memory::Memory};

/// Runs `attempt`; if it is `short` of memory and `make_room` could do something about it, once more.
#[cfg(any(test, feature = "cuda"))]
pub(super) fn once_more<S>(
    mut attempt: impl FnMut() -> S,
    short: impl FnOnce(&S) -> bool,
    make_room: impl FnOnce() -> bool,
) -> S {
    let status = attempt();
    if short(&status) && make_room() { attempt() } else { status }
}

/// What there was when a GPU had no memory left.
struct Shortage {
    ordinal: usize,
    /// Bytes of the tensor that did not fit; `None` if it was something else.
    wanted: Option<usize>,
    memory: Memory,
}

static LAST: Mutex<Option<Shortage>> = Mutex::new(None);

/// Keeps what there is now, for [`explain`]: by then the tensors of the stage are gone.
#[cfg(any(test, feature = "cuda"))]
pub(super) fn note(ordinal: usize, wanted: Option<usize>, memory: Memory) {
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(Shortage { ordinal, wanted, memory });
}

/// What was noted last of GPU `ordinal`, if it was not asked for before.
pub(super) fn noted(ordinal: usize) -> Option<(Option<usize>, Memory)> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let noted = last.take_if(|shortage| shortage.ordinal == ordinal);
    noted.map(|shortage| (shortage.wanted, shortage.memory))
}

/// The error as it is; or, if it comes from a GPU that has no memory left, with how much there is, how much
/// was used, and what to change.
pub fn explain(error: Error, device: &Device) -> Error {
    if !is_out_of_memory(&error) {
        return error;
    }
    let ordinal = match device.location() {
        DeviceLocation::Cuda { gpu_id } => gpu_id,
        _ => 0,
    };
    let now = || match Gpu::on(device) {
        Ok(Some(gpu)) => gpu.memory().ok().flatten(),
        _ => None,
    };
    let figures = match noted(ordinal) {
        Some((wanted, memory)) => at_the_time(wanted, memory),
        None => now().map(afterwards).unwrap_or_default(),
    };
    error.context(message(ordinal, &figures))
}

/// By the statuses' names, as the errors they come in are candle's, cudarc's and our own.
fn is_out_of_memory(error: &Error) -> bool {
    let names = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"];
    error.chain().any(|cause| {
        let text = cause.to_string();
        names.iter().any(|name| text.contains(name))
    })
}

fn size(bytes: u64) -> String {
    let (mib, gib) = (f64::from(1 << 20), f64::from(1 << 30));
    let bytes = bytes as f64;
    if bytes < gib { format!("{:.1} MiB", bytes / mib) } else { format!("{:.1} GiB", bytes / gib) }
}

/// Bytes that neither are free nor belong to this program's pool.
fn of_others(memory: &Memory) -> u64 {
    memory.total.saturating_sub(memory.free).saturating_sub(memory.reserved)
}

/// Of memory as it was when something did not fit.
fn at_the_time(wanted: Option<usize>, memory: Memory) -> String {
    let wanted = wanted.map_or(String::new(), |bytes| format!(" for another {}", size(bytes as u64)));
    let pieces = memory.free + memory.reserved.saturating_sub(memory.used);
    format!(
        "{wanted} (of {}, this run's tensors use {}, {} are free in pieces that are too small, and {} are the driver's and other programs')",
        size(memory.total),
        size(memory.used),
        size(pieces),
        size(of_others(&memory))
    )
}

/// Of memory as it is when the stage's tensors may be gone.
fn afterwards(memory: Memory) -> String {
    format!(
        " (of {}, this run's tensors used up to {}, and {} are the driver's and other programs')",
        size(memory.total),
        size(memory.peak),
        size(of_others(&memory))
    )
}

fn message(ordinal: usize, figures: &str) -> String {
    format!(
        "`cuda:{ordinal}` has no memory left{figures}; to need less, set `gradient_checkpointing = true`, lower `max_length`, train an adapter (`tuner = \"lora\"`), or use `dtype = \"bf16\"`; `runner plan` says what goes where"
    )
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use anyhow::anyhow;

    #[test]
    fn says_what_was_used_and_what_to_change() {
        let gib = 1 << 30;
        let memory =
            Memory { total: 80 * gib, free: gib, reserved: 78 * gib, used: 70 * gib, peak: 77 * gib };
        assert_eq!(
            message(1, &afterwards(memory)),
            "`cuda:1` has no memory left (of 80.0 GiB, this run's tensors used up to 77.0 GiB, and 1.0 GiB are the driver's and other programs'); to need less, set `gradient_checkpointing = true`, lower `max_length`, train an adapter (`tuner = \"lora\"`), or use `dtype = \"bf16\"`; `runner plan` says what goes where"
        );
        assert_eq!(
            at_the_time(Some(512 << 20), Memory { used: 76 * gib, ..memory }),
            " for another 512.0 MiB (of 80.0 GiB, this run's tensors use 76.0 GiB, 3.0 GiB are free in pieces that are too small, and 1.0 GiB are the driver's and other programs')"
        );
        assert!(message(0, "").starts_with("`cuda:0` has no memory left; to need less"));
    }

    #[test]
    fn what_was_noted_is_told_once_and_of_its_own_gpu() {
        let gib = 1 << 30;
        note(
            7,
            None,
            Memory { total: 80 * gib, free: 0, reserved: 79 * gib, used: 79 * gib, peak: 79 * gib },
        );
        assert!(noted(6).is_none());
        assert_eq!(noted(7).map(|(wanted, memory)| (wanted, memory.used)), Some((None, 79 * gib)));
        assert!(noted(7).is_none());
    }

    /// A device with some free memory, and a pool that can give some back to it.
    struct Made {
        free: usize,
        held: usize,
        trims: usize,
    }

    fn allocate(device: &RefCell<Made>, bytes: usize, faulty: bool) -> Result<usize, &'static str> {
        let attempt = || {
            let mut device = device.borrow_mut();
            match device.free.checked_sub(bytes) {
                _ if bytes == 13 => Err("another error"),
                Some(left) => {
                    device.free = left;
                    Ok(bytes)
                }
                None => Err("out of memory"),
            }
        };
        let trim = || {
            let mut device = device.borrow_mut();
            device.trims += 1;
            if !faulty {
                device.free += std::mem::take(&mut device.held);
            }
            !faulty
        };
        once_more(attempt, |status| *status == Err("out of memory"), trim)
    }

    #[test]
    fn what_does_not_fit_is_tried_once_more_after_making_room() {
        let device = RefCell::new(Made { free: 100, held: 50, trims: 0 });
        assert_eq!((allocate(&device, 60, false), device.borrow().trims), (Ok(60), 0));
        assert_eq!((allocate(&device, 13, false), device.borrow().trims), (Err("another error"), 0));
        // the device is at fault: nothing is tried again
        assert_eq!((allocate(&device, 60, true), device.borrow().trims), (Err("out of memory"), 1));
        assert_eq!((allocate(&device, 60, false), device.borrow().trims), (Ok(60), 2));
        assert_eq!((allocate(&device, 60, false), device.borrow().trims), (Err("out of memory"), 3));
        assert_eq!(device.borrow().free, 30);
    }

    #[test]
    fn explains_that_error_alone() {
        let inner =
            candle_core::Error::Cuda("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".into());
        let error = explain(Error::new(inner).context("stage `dpo`"), &Device::Cpu);
        let text = format!("{error:#}");
        assert!(text.starts_with("`cuda:0` has no memory left; to need less"), "{text}");
        assert!(text.contains("stage `dpo`: DriverError(CUDA_ERROR_OUT_OF_MEMORY"), "{text}");
        let other = explain(anyhow!("stage `dpo`"), &Device::Cpu);
        assert_eq!(format!("{other:#}"), "stage `dpo`");
    }

    #[test]
    fn a_gpu_that_runs_out_is_recognised() {
        #[cfg(feature = "cuda")]
        if let Some(device) = super::super::cuda::for_tests() {
            // twice what there is: of far more, the driver may say that it is no size
            let total = Gpu::on(&device).unwrap().unwrap().memory().unwrap().unwrap().total;
            let values = (2 * total / 4) as usize;
            let error = candle_core::Tensor::zeros(values, candle_core::DType::F32, &device).unwrap_err();
            let text = format!("{:#}", explain(error.into(), &device));
            assert!(text.starts_with("`cuda:0` has no memory left for another "), "{text}");
        }
    }
}
