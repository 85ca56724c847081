//! Generalised advantage estimation (1506.02438), eq. 16, over one response's own tokens:
//! `δ_t = r_t + γ V_{t+1} − V_t` with V past the end 0, `A_t = δ_t + γλ A_{t+1}`, returns `A + V`.
//! As in TRL, whose whitening is here too.

/// Under the root, so that equal values are not divided by 0.
const VARIANCE_FLOOR: f64 = 1e-8;

/// Advantages and returns of one response, both `[tokens]`, from its rewards and values, `[tokens]`.
pub fn advantages(rewards: &[f64], values: &[f64], gamma: f64, lam: f64) -> (Vec<f64>, Vec<f64>) {
    let mut advantages = vec![0.0; rewards.len()];
    let (mut next_value, mut next_advantage) = (0.0, 0.0);
    for (t, (&reward, &value)) in rewards.iter().zip(values).enumerate().rev() {
        let delta = reward + gamma * next_value - value;
        next_advantage = delta + gamma * lam * next_advantage;
        next_value = value;
        advantages[t] = next_advantage;
    }
    let returns = advantages.iter().zip(values).map(|(a, v)| a + v).collect();
    (advantages, returns)
}

/// Scales `values`, all tokens of an update, by `1/√(variance + 1e-8)`, the variance unbiased (0 for one
/// value), and shifts them to mean 0, or back to their own mean with `keep_mean`.
pub fn whiten(values: &mut [f64], keep_mean: bool) {
    let (mean, variance) = mean_and_variance(values);
    let scale = 1.0 / (variance + VARIANCE_FLOOR).sqrt();
    let shift = if keep_mean { mean } else { 0.0 };
    for value in values {
        *value = (*value - mean) * scale + shift;
    }
}

/// Mean and unbiased variance; 0 where there are too few values.
pub(super) fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (mean, squares / (count - 1.0).max(1.0))
}
