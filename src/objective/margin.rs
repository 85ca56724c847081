//! Losses of one margin that several papers share, each as the loss and its derivative with respect
//! to the margin.

use super::sigmoid::{log_sigmoid, sigmoid};

/// `−(1−ε) log σ(u) − ε log σ(−u)`: a label that is wrong with probability ε = `label_smoothing`.
/// With ε = 0 Bradley and Terry's `−log σ(u)`.
pub fn logistic(u: f64, label_smoothing: f64) -> (f64, f64) {
    let (keep, flip) = (1.0 - label_smoothing, label_smoothing);
    let loss = -keep * log_sigmoid(u) - flip * log_sigmoid(-u);
    (loss, flip * sigmoid(u) - keep * sigmoid(-u))
}

/// `max(0, 1 − u)`; at u = 1 the derivative is 0, as `torch.relu`'s.
pub fn hinge(u: f64) -> (f64, f64) {
    if u >= 1.0 { (0.0, 0.0) } else { (1.0 - u, -1.0) }
}

/// `(u − target)²`
pub fn squared(u: f64, target: f64) -> (f64, f64) {
    let error = u - target;
    (error * error, 2.0 * error)
}
