//! The keys of a kind → its settings.

use crate::plan::settings::{
    CpoLoss, CpoSettings, DpoLoss, DpoSettings, FDivergence, KindSettings, KlEstimator, KtoLoss, KtoSettings,
    OrpoNll, OrpoSettings, PpoSettings, RmSettings, SimpoSettings, Source,
};
use crate::recipe::dpo::FDivergenceName;
use crate::recipe::kind_keys::{KindKeys, SharedKeys};
use crate::recipe::loss_type::{LossName, LossTypes};
use crate::recipe::orpo::NllTokens;
use crate::recipe::ppo::KlEstimatorName;
use crate::recipe::stage::Kind;
use crate::recipe::{cpo, dpo, kto, orpo, ppo, rm, simpo};

/// Settings of a stage of `kind`, with the models that it reads besides its policy. A ppo stage without
/// a reward model, which is a problem of its own, gets the base.
pub fn settings(
    kind: Kind,
    keys: &KindKeys,
    reference: Option<Source>,
    reward: Option<Source>,
) -> KindSettings {
    let shared = &keys.shared;
    match kind {
        Kind::Sft => KindSettings::Sft,
        Kind::Rm => KindSettings::Rm(rm_settings(&keys.rm)),
        Kind::Ppo => KindSettings::Ppo(ppo_settings(&keys.ppo, reference, reward.unwrap_or(Source::Base))),
        Kind::Dpo => KindSettings::Dpo(dpo_settings(&keys.dpo, shared, reference)),
        Kind::Kto => KindSettings::Kto(kto_settings(&keys.kto, shared, reference)),
        Kind::Cpo => KindSettings::Cpo(CpoSettings {
            beta: shared.beta.unwrap_or(cpo::BETA),
            loss: match shared.loss_type.as_ref().and_then(|losses| losses.names().first()) {
                Some(LossName::Hinge) => CpoLoss::Hinge,
                Some(LossName::Ipo) => CpoLoss::Ipo,
                _ => CpoLoss::Sigmoid,
            },
            cpo_alpha: shared.cpo_alpha.unwrap_or(cpo::CPO_ALPHA),
            label_smoothing: shared.label_smoothing.unwrap_or(cpo::LABEL_SMOOTHING),
        }),
        Kind::Orpo => KindSettings::Orpo(OrpoSettings {
            beta: shared.beta.unwrap_or(orpo::BETA),
            nll: match keys.orpo.nll {
                None | Some(NllTokens::Completion) => OrpoNll::Completion,
                Some(NllTokens::Full) => OrpoNll::Full,
            },
        }),
        Kind::Simpo => KindSettings::Simpo(SimpoSettings {
            beta: shared.beta.unwrap_or(simpo::BETA),
            simpo_gamma: keys.simpo.simpo_gamma.unwrap_or(simpo::SIMPO_GAMMA),
            cpo_alpha: shared.cpo_alpha.unwrap_or(simpo::CPO_ALPHA),
            label_smoothing: shared.label_smoothing.unwrap_or(simpo::LABEL_SMOOTHING),
            alpha: keys.simpo.alpha.filter(|alpha| *alpha != 0.0),
        }),
    }
}

fn rm_settings(keys: &rm::RmKeys) -> RmSettings {
    RmSettings {
        center_rewards_coefficient: keys.center_rewards_coefficient.unwrap_or(rm::CENTER_REWARDS_COEFFICIENT),
        head_bias: keys.head_bias.unwrap_or(rm::HEAD_BIAS),
    }
}

fn ppo_settings(keys: &ppo::PpoKeys, reference: Option<Source>, reward: Source) -> PpoSettings {
    PpoSettings {
        reward,
        reference,
        kl_coef: keys.kl_coef.unwrap_or(ppo::KL_COEF),
        kl_estimator: match keys.kl_estimator {
            None | Some(KlEstimatorName::K1) => KlEstimator::K1,
            Some(KlEstimatorName::K3) => KlEstimator::K3,
        },
        cliprange: keys.cliprange.unwrap_or(ppo::CLIPRANGE),
        vf_coef: keys.vf_coef.unwrap_or(ppo::VF_COEF),
        cliprange_value: keys.cliprange_value.unwrap_or(ppo::CLIPRANGE_VALUE),
        gamma: keys.gamma.unwrap_or(ppo::GAMMA),
        lam: keys.lam.unwrap_or(ppo::LAM),
        whiten_rewards: keys.whiten_rewards.unwrap_or(false),
        num_ppo_epochs: keys.num_ppo_epochs.unwrap_or(ppo::NUM_PPO_EPOCHS),
        num_mini_batches: keys.num_mini_batches.unwrap_or(ppo::NUM_MINI_BATCHES),
        local_rollout_forward_batch_size: keys
            .local_rollout_forward_batch_size
            .unwrap_or(ppo::LOCAL_ROLLOUT_FORWARD_BATCH_SIZE),
        response_length: keys.response_length.unwrap_or(ppo::RESPONSE_LENGTH),
        temperature: keys.temperature.unwrap_or(ppo::TEMPERATURE),
        top_k: keys.top_k,
        top_p: keys.top_p.unwrap_or(ppo::TOP_P),
        missing_eos_penalty: keys.missing_eos_penalty.filter(|penalty| *penalty > 0.0),
        total_episodes: keys.total_episodes,
        num_sample_generations: keys.num_sample_generations.unwrap_or(ppo::NUM_SAMPLE_GENERATIONS),
    }
}

fn dpo_settings(keys: &dpo::DpoKeys, shared: &SharedKeys, reference: Option<Source>) -> DpoSettings {
    let losses: Vec<DpoLoss> = match &shared.loss_type {
        None => vec![DpoLoss::Sigmoid],
        // Losses of other kinds are problems of their own.
        Some(losses) => losses.names().iter().filter_map(|loss| dpo_loss(*loss)).collect(),
    };
    let weights = keys.loss_weights.clone().unwrap_or_else(|| vec![1.0; losses.len()]);
    let discopop = losses.contains(&DpoLoss::Discopop);
    DpoSettings {
        reference,
        beta: shared.beta.unwrap_or(dpo::BETA),
        losses: losses.into_iter().zip(weights).collect(),
        rpo_alpha: keys.rpo_alpha.filter(|alpha| *alpha > 0.0),
        label_smoothing: shared.label_smoothing.unwrap_or(dpo::LABEL_SMOOTHING),
        f_divergence: match keys.f_divergence {
            None | Some(FDivergenceName::ReverseKl) => None,
            Some(FDivergenceName::ForwardKl) => Some(FDivergence::ForwardKl),
            Some(FDivergenceName::JsDivergence) => Some(FDivergence::JsDivergence),
            Some(FDivergenceName::AlphaDivergence) => Some(FDivergence::AlphaDivergence(
                keys.f_alpha_divergence_coef.unwrap_or(dpo::F_ALPHA_DIVERGENCE_COEF),
            )),
        },
        ld_alpha: keys.ld_alpha.filter(|alpha| *alpha < 1.0),
        use_weighting: keys.use_weighting.filter(|on| *on),
        discopop_tau: discopop.then(|| keys.discopop_tau.unwrap_or(dpo::DISCOPOP_TAU)),
    }
}

fn dpo_loss(name: LossName) -> Option<DpoLoss> {
    Some(match name {
        LossName::Sigmoid => DpoLoss::Sigmoid,
        LossName::Hinge => DpoLoss::Hinge,
        LossName::Ipo => DpoLoss::Ipo,
        LossName::ExoPair => DpoLoss::ExoPair,
        LossName::NcaPair => DpoLoss::NcaPair,
        LossName::Robust => DpoLoss::Robust,
        LossName::BcoPair => DpoLoss::BcoPair,
        LossName::SppoHard => DpoLoss::SppoHard,
        LossName::Aot => DpoLoss::Aot,
        LossName::AotUnpaired => DpoLoss::AotUnpaired,
        LossName::ApoZero => DpoLoss::ApoZero,
        LossName::ApoDown => DpoLoss::ApoDown,
        LossName::Discopop => DpoLoss::Discopop,
        LossName::SigmoidNorm => DpoLoss::SigmoidNorm,
        LossName::Sft => DpoLoss::Sft,
        LossName::Kto | LossName::ApoZeroUnpaired => return None,
    })
}

fn kto_settings(keys: &kto::KtoKeys, shared: &SharedKeys, reference: Option<Source>) -> KtoSettings {
    KtoSettings {
        reference,
        beta: shared.beta.unwrap_or(kto::BETA),
        loss: match shared.loss_type.as_ref().map(LossTypes::names) {
            Some([LossName::ApoZeroUnpaired]) => KtoLoss::ApoZeroUnpaired,
            _ => KtoLoss::Kto,
        },
        desirable_weight: keys.desirable_weight.unwrap_or(kto::WEIGHT),
        undesirable_weight: keys.undesirable_weight.unwrap_or(kto::WEIGHT),
        unpair: keys.unpair.unwrap_or(false),
    }
}
