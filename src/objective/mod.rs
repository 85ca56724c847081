//! The maths of each paper as pure functions over slices of f64: log-probs in, loss and gradients out.

pub mod dpo;
pub mod nll;

/// log σ(x), exact for large |x|.
pub fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// σ(x).
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}
