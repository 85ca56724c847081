//! Whether a stage fits the memory of this machine.

use crate::backend::compute::DeviceSpec;
use crate::backend::memory;
use crate::plan::document::StagePlan;

/// Of a stage that writes responses the estimate is an upper bound: it is refused only if it is past the
/// machine by this factor.
const BOUND: u64 = 8;

/// A stage that needs more memory than this machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLarge {
    /// What it needs, what there is, and what to do.
    pub message: String,
    /// Whether it is certain that the stage does not fit.
    pub certain: bool,
}

/// Whether `stage` needs more memory than this machine has. Of a GPU this is not known beforehand.
pub fn too_large(stage: &StagePlan, device: DeviceSpec) -> Option<TooLarge> {
    match device {
        DeviceSpec::Cpu => past(stage, memory::of_machine()?),
        DeviceSpec::Cuda(_) => None,
    }
}

fn past(stage: &StagePlan, machine: u64) -> Option<TooLarge> {
    let needed = stage.memory.total();
    if needed <= machine {
        return None;
    }
    let is_bound = stage.settings.kind.facts().rollouts.is_some();
    let about = if is_bound { "up to" } else { "about" };
    let message = format!(
        "stage `{}` needs {about} {} of memory, and this machine has {}: use a smaller model, `tuner = \"lora\"`, \
         `gradient_checkpointing = true` or a smaller `batch_size`, `max_length` or `response_length`, or run it \
         where there is more",
        stage.name(),
        gibibytes(needed),
        gibibytes(machine)
    );
    Some(TooLarge { message, certain: !is_bound || needed / BOUND > machine })
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
