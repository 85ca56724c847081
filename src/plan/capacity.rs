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
        DeviceSpec::Cpu => {
            let is_bound = stage.settings.kind.facts().rollouts.is_some();
            past(stage.name(), stage.memory.total(), is_bound, memory::of_machine()?)
        }
        DeviceSpec::Cuda(_) => None,
    }
}

fn past(stage: &str, needed: u64, is_bound: bool, machine: u64) -> Option<TooLarge> {
    if needed <= machine {
        return None;
    }
    let about = if is_bound { "up to" } else { "about" };
    let message = format!(
        "stage `{stage}` needs {about} {} of memory, and this machine has {}: use a smaller model, `tuner = \"lora\"`, \
         `gradient_checkpointing = true` or a smaller `batch_size`, `max_length` or `response_length`, or run it \
         where there is more",
        gibibytes(needed),
        gibibytes(machine)
    );
    Some(TooLarge { message, certain: !is_bound || needed / BOUND > machine })
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_refused_where_it_is_certain_not_to_fit() {
        let gib = |count: u64| count << 30;
        assert_eq!(past("s", gib(4), false, gib(4)), None);
        let sure = past("s", gib(5), false, gib(4)).unwrap();
        assert!(
            sure.certain && sure.message.contains("about 5.0 GiB of memory, and this machine has 4.0 GiB")
        );
        // Of a stage that writes responses the estimate is an upper bound.
        let rough = past("s", gib(5), true, gib(4)).unwrap();
        assert!(!rough.certain && rough.message.contains("up to 5.0 GiB"));
        assert!(past("s", u64::MAX, true, gib(4)).unwrap().certain);
        assert!(memory::of_machine().is_none_or(|bytes| bytes > 1 << 20));
    }
}
