//! The Box-Cox transform of a probability (or a ratio of two) given by its logarithm r:
//! `(e^{cr} − 1)/c`, and r itself at c = 0. f-DPO's forward KL (c = −1) and α-divergence (c = a − 1)
//! and AlphaPO (c = −α) are this one function.

/// Largest exponent that is not cut: e⁸⁰ is still far from the end of f32.
const MAX_EXPONENT: f64 = 80.0;

/// `x`, at most 80. NaN stays NaN, so that a diverged run is seen.
pub(super) fn bounded_exponent(x: f64) -> f64 {
    x.clamp(f64::NEG_INFINITY, MAX_EXPONENT)
}

/// The transform and its derivative with respect to r. Where `c·r` is above 80 it stays as at 80, and
/// the derivative is 0.
pub fn box_cox(r: f64, c: f64) -> (f64, f64) {
    if c == 0.0 {
        return (r, 1.0);
    }
    let exponent = c * r;
    let slope = if exponent > MAX_EXPONENT { 0.0 } else { exponent.exp() };
    (bounded_exponent(exponent).exp_m1() / c, slope)
}
