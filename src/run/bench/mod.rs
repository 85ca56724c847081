//! Times a stage without saving anything.
//!
//! | file | |
//! |---|---|
//! | [`steps`] | its training steps |
//! | [`generation`] | answers to its prompts |
//! | [`matrix_peak`] | the rate that its products are compared with |

mod generation;
mod matrix_peak;
mod steps;

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::Device;

pub use generation::{GenerationBench, bench_generation};
pub use steps::{StepsBench, bench_steps};

use crate::backend::memory::{on_device, peak_resident_bytes};
use crate::model::artifact::Artifact;
use crate::model::scratch;
use crate::plan::base::Base;
use crate::plan::document::StagePlan;
use crate::plan::planner::{Options, plan};
use crate::plan::resolve::Resolved;
use crate::plan::rows::StageData;
use crate::report::console::Console;

/// The most memory that tensors on `device` took so far, in bytes; on the CPU, that the whole process took.
fn peak_memory(device: &Device) -> Result<u64> {
    Ok(on_device(device)?.map_or_else(peak_resident_bytes, |memory| memory.peak))
}

/// A stage's plan and rows, and the base model, made in `folder` if it is one from random weights. A
/// stage that starts from another stage's result starts from the base model here: speed does not depend
/// on the weights' values.
fn planned(
    recipe: &Resolved,
    stage: &str,
    folder: &Path,
    console: &Console,
) -> Result<(StagePlan, StageData, Artifact)> {
    recipe.check_weights()?;
    let options = Options { stage: Some(stage), fresh: true };
    let mut planned = plan(recipe, &options, &console.watch(|| Ok(())))?;
    let plan = planned.plan.stages.into_iter().find(|s| s.name() == stage);
    let plan = plan.with_context(|| format!("stage `{stage}` is not in the plan"))?;
    let rows = planned.rows.shift_remove(stage).with_context(|| format!("stage `{stage}` has no rows"))?;
    let model = base_model(&planned.base, folder)?;
    Ok((plan, rows, model))
}

fn base_model(base: &Base, folder: &Path) -> Result<Artifact> {
    match base.scratch.as_ref().filter(|made| made.is_unmade()) {
        None => Ok(base.artifact.clone()),
        Some(made) => {
            made.write_tokenizer(folder)?;
            scratch::create(&made.spec, made.vocabulary, made.seed, made.dtype, folder)?;
            Ok(Artifact { base: folder.to_path_buf(), ..Artifact::default() })
        }
    }
}
