//! `device` and `dtype` of `[model]`.

use super::checker::Checker;
use crate::backend::compute::{DeviceSpec, Dtype};
use crate::backend::gpu;
use crate::recipe::diagnostics::Severity;
use crate::recipe::model::{Device, DeviceName, ModelTable, NUMBERED_GPU};

const DEVICE: &str = "/model/device";
const DTYPE: &str = "/model/dtype";

/// What a recipe is read for. It decides what a missing device means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipeUse {
    /// To compute: a missing device is an error.
    Run,
    /// To plan, maybe for another machine: a missing device is a warning.
    Plan,
    /// To look at rows: the device does not matter.
    Render,
}

pub fn resolve(checker: &mut Checker, model: &ModelTable, purpose: RecipeUse) -> (DeviceSpec, Dtype) {
    let device = match &model.device {
        None | Some(Device::Named(DeviceName::Cpu)) => DeviceSpec::Cpu,
        Some(Device::Named(DeviceName::Cuda)) => DeviceSpec::Cuda(0),
        // The schema lets only numbers through.
        Some(Device::Numbered(text)) => DeviceSpec::Cuda(number(text).unwrap_or(0)),
    };
    if let DeviceSpec::Cuda(ordinal) = device
        && purpose != RecipeUse::Render
        && let Err(missing) = gpu::open::check(ordinal)
    {
        let problem = checker.error(DEVICE, format!("{missing:#}"));
        if purpose == RecipeUse::Plan {
            problem.severity = Severity::Warning;
            problem.help = Some("a plan needs no GPU; `check` and `run` do".to_owned());
        }
    }
    let dtype = model.dtype.unwrap_or(match device {
        DeviceSpec::Cpu => Dtype::F32,
        DeviceSpec::Cuda(_) => Dtype::Bf16,
    });
    if dtype == Dtype::Bf16 && device == DeviceSpec::Cpu && !checker.document.is_refused(DEVICE) {
        let help = "take it out, or name a GPU: `device = \"cuda\"`";
        checker.error(DTYPE, "`dtype` cannot be `bf16` on the CPU, which computes in 32-bit floats").help =
            Some(help.to_owned());
    }
    (device, dtype)
}

fn number(text: &str) -> Option<usize> {
    text.strip_prefix(NUMBERED_GPU)?.parse().ok()
}
