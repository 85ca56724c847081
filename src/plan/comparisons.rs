//! Which stages are compared after a run, and how: kinds with different losses are measured alike, on the
//! same held-out pairs and prompts.

use crate::data::Need;
use crate::plan::document::{ComparisonPlan, StagePlan};

/// At most so many prompts are answered, with at most so many tokens each.
const PROMPTS: usize = 64;
const ANSWER_TOKENS: usize = 64;

/// The stages that train a policy on preferences from one model with held-out pairs, where there are
/// several.
pub fn comparisons(stages: &[StagePlan]) -> Vec<ComparisonPlan> {
    let mut groups: Vec<Vec<&StagePlan>> = Vec::new();
    for stage in stages {
        if !stage.settings.kind.facts().is_compared || stage.counts.held_out.rows == 0 {
            continue;
        }
        let key = |stage: &StagePlan| (stage.policy.clone(), stage.settings.data.clone());
        match groups.iter_mut().find(|group| key(group[0]) == key(stage)) {
            Some(group) => group.push(stage),
            None => groups.push(vec![stage]),
        }
    }
    let comparison = |group: Vec<&StagePlan>| {
        let reads_pairs = |stage: &&&StagePlan| stage.settings.kind.facts().rows == Need::Preference;
        let pairs_of = group.iter().find(reads_pairs)?.name().to_owned();
        let stages: Vec<String> = group.iter().map(|stage| stage.name().to_owned()).collect();
        (stages.len() > 1).then_some(ComparisonPlan {
            stages,
            pairs_of,
            max_prompts: PROMPTS,
            answer_tokens: ANSWER_TOKENS,
        })
    };
    groups.into_iter().filter_map(comparison).collect()
}
