//! What a run that needs more memory than its GPU has is told.

use anyhow::Error;
use candle_core::{Device, DeviceLocation};

use super::{Gpu, memory::Memory};

/// The error as it is; or, if it comes from a GPU that has no memory left, with how much there is, how much
/// was used, and what to change.
pub fn explain(error: Error, device: &Device) -> Error {
    if !is_out_of_memory(&error) {
        return error;
    }
    let memory = match Gpu::on(device) {
        Ok(Some(gpu)) => gpu.memory().ok().flatten(),
        _ => None,
    };
    let ordinal = match device.location() {
        DeviceLocation::Cuda { gpu_id } => gpu_id,
        _ => 0,
    };
    error.context(message(ordinal, memory))
}

/// By the statuses' names, as the errors they come in are candle's, cudarc's and our own.
fn is_out_of_memory(error: &Error) -> bool {
    let names = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"];
    error.chain().any(|cause| {
        let text = cause.to_string();
        names.iter().any(|name| text.contains(name))
    })
}

fn message(ordinal: usize, memory: Option<Memory>) -> String {
    let figures = memory.map_or(String::new(), |memory| {
        let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
        let others = memory.total.saturating_sub(memory.free).saturating_sub(memory.reserved);
        format!(
            " (of {}, this run's tensors used up to {}, and {} are the driver's and other programs')",
            gib(memory.total),
            gib(memory.peak),
            gib(others)
        )
    });
    format!(
        "`cuda:{ordinal}` has no memory left{figures}; to need less, set `gradient_checkpointing = true`, lower `max_length`, train an adapter (`tuner = \"lora\"`), or use `dtype = \"bf16\"`; `runner plan` says what goes where"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn says_what_was_used_and_what_to_change() {
        let gib = 1 << 30;
        let memory =
            Memory { total: 80 * gib, free: gib, reserved: 78 * gib, used: 70 * gib, peak: 77 * gib };
        assert_eq!(
            message(1, Some(memory)),
            "`cuda:1` has no memory left (of 80.0 GiB, this run's tensors used up to 77.0 GiB, and 1.0 GiB are the driver's and other programs'); to need less, set `gradient_checkpointing = true`, lower `max_length`, train an adapter (`tuner = \"lora\"`), or use `dtype = \"bf16\"`; `runner plan` says what goes where"
        );
        assert!(message(0, None).starts_with("`cuda:0` has no memory left; to need less"));
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
            let error = candle_core::Tensor::zeros(1 << 44, candle_core::DType::F32, &device).unwrap_err();
            let text = format!("{:#}", explain(error.into(), &device));
            assert!(text.starts_with("`cuda:0` has no memory left (of "), "{text}");
        }
    }
}
