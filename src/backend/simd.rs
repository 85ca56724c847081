//! Elementary loops written so that the compiler vectorises them, and the switch that compiles them
//! for the widest vectors the processor has. Reductions use 16 fixed lanes: results do not depend on
//! the processor's width beyond fused multiply-adds.

use pulp::{Arch, Simd, WithSimd};

/// Sums are those of so many lanes, whatever the processor's vectors hold. `RUNNER_TEST_LANES`, set when a
/// test build is made, gives all sums another rounding: what a recipe promises must not depend on this one.
const LANES: usize = if option_env!("RUNNER_TEST_LANES").is_some() { 8 } else { 16 };

struct Wide<F>(F);

impl<R, F: FnOnce() -> R> WithSimd for Wide<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> R {
        (self.0)()
    }
}

/// Runs `f` compiled for the widest vector instructions of this processor. What `f` calls must be
/// `#[inline(always)]` to profit.
#[inline(always)]
pub fn wide<R>(f: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(Wide(f))
}

/// e^x, relative error below 2e-7; 0 below -87, finite above 88. Polynomial of Cephes' `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    // added, it leaves the nearest integer in the last bits; a conversion would not be vectorised
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN2_HI - n * LN2_LO;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.0e-1;
    let y = p * r * r + r + 1.0;
    let scale = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { y * scale }
}

#[inline(always)]
fn reduce(lanes: [f32; LANES]) -> f32 {
    reduce_f64(lanes) as f32
}

#[inline(always)]
fn reduce_f64(lanes: [f32; LANES]) -> f64 {
    let mut total = 0.0f64;
    for lane in lanes {
        total += f64::from(lane);
    }
    total
}

/// Σ x_i y_i.
#[inline(always)]
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    reduce(products(x, y))
}

/// Σ x_i y_i, the lanes summed in float32: cheaper where the vectors are short and many.
#[inline(always)]
pub fn short_dot<S: Simd>(simd: S, x: &[f32], y: &[f32]) -> f32 {
    let ((x, x_tail), (y, y_tail)) = (S::as_simd_f32s(x), S::as_simd_f32s(y));
    let mut sums = simd.splat_f32s(0.0);
    for (a, b) in x.iter().zip(y) {
        sums = simd.mul_add_e_f32s(*a, *b, sums);
    }
    let tail: f32 = x_tail.iter().zip(y_tail).map(|(a, b)| a * b).sum();
    simd.reduce_sum_f32s(sums) + tail
}

#[inline(always)]
fn products(x: &[f32], y: &[f32]) -> [f32; LANES] {
    let mut acc = [0.0f32; LANES];
    let n = x.len().min(y.len());
    let whole = n - n % LANES;
    for (a, b) in x[..whole].chunks_exact(LANES).zip(y[..whole].chunks_exact(LANES)) {
        for i in 0..LANES {
            acc[i] += a[i] * b[i];
        }
    }
    for i in whole..n {
        acc[i - whole] += x[i] * y[i];
    }
    acc
}

/// Σ x_i y_i z_i.
#[inline(always)]
pub fn dot3(x: &[f32], y: &[f32], z: &[f32]) -> f32 {
    let mut acc = [0.0f32; LANES];
    let n = x.len().min(y.len()).min(z.len());
    let whole = n - n % LANES;
    let chunks = x[..whole].chunks_exact(LANES).zip(y[..whole].chunks_exact(LANES));
    for ((a, b), c) in chunks.zip(z[..whole].chunks_exact(LANES)) {
        for i in 0..LANES {
            acc[i] += a[i] * b[i] * c[i];
        }
    }
    for i in whole..n {
        acc[i - whole] += x[i] * y[i] * z[i];
    }
    reduce(acc)
}

/// The largest element; negative infinity of nothing.
#[inline(always)]
pub fn max(x: &[f32]) -> f32 {
    let mut acc = [f32::NEG_INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            acc[i] = if chunk[i] > acc[i] { chunk[i] } else { acc[i] };
        }
    }
    for (i, &v) in tail.iter().enumerate() {
        acc[i] = acc[i].max(v);
    }
    acc.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// x ← e^(x − shift); returns the sum.
#[inline(always)]
pub fn exp_and_sum(x: &mut [f32], shift: f32) -> f32 {
    let mut acc = [0.0f32; LANES];
    let whole = x.len() - x.len() % LANES;
    let (head, tail) = x.split_at_mut(whole);
    for chunk in head.chunks_exact_mut(LANES) {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] - shift);
            acc[i] += chunk[i];
        }
    }
    for (i, v) in tail.iter_mut().enumerate() {
        *v = exp(*v - shift);
        acc[i] += *v;
    }
    reduce(acc)
}

/// Sums over a row z, shifted: d_i = z_i − shift.
pub struct ExpSums {
    /// Σ e^d.
    pub exp: f64,
    /// Σ d e^d.
    pub weighted: f64,
    /// Σ d.
    pub shifted: f64,
}

/// x ← e^(x − shift), with the sums that entropy and mean need.
#[inline(always)]
pub fn exp_and_sums(x: &mut [f32], shift: f32) -> ExpSums {
    let (mut sum, mut weighted, mut shifted) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
    let whole = x.len() - x.len() % LANES;
    let (head, tail) = x.split_at_mut(whole);
    for chunk in head.chunks_exact_mut(LANES) {
        for i in 0..LANES {
            let d = chunk[i] - shift;
            let e = exp(d);
            sum[i] += e;
            weighted[i] += e * d;
            shifted[i] += d;
            chunk[i] = e;
        }
    }
    for (i, v) in tail.iter_mut().enumerate() {
        let d = *v - shift;
        *v = exp(d);
        sum[i] += *v;
        weighted[i] += *v * d;
        shifted[i] += d;
    }
    ExpSums { exp: reduce_f64(sum), weighted: reduce_f64(weighted), shifted: reduce_f64(shifted) }
}

/// x ← factor · x; returns Σ x² of the result.
#[inline(always)]
pub fn scale_and_square_sum(x: &mut [f32], factor: f32) -> f64 {
    let mut acc = [0.0f32; LANES];
    let whole = x.len() - x.len() % LANES;
    let (head, tail) = x.split_at_mut(whole);
    for chunk in head.chunks_exact_mut(LANES) {
        for i in 0..LANES {
            chunk[i] *= factor;
            acc[i] += chunk[i] * chunk[i];
        }
    }
    for (i, v) in tail.iter_mut().enumerate() {
        *v *= factor;
        acc[i] += *v * *v;
    }
    reduce_f64(acc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_over_its_range() {
        for i in -8700..8800 {
            let x = i as f32 * 0.01;
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) - want).abs() <= 2e-7 * want, "exp({x})");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn reductions_count_every_element() {
        for n in [0usize, 1, 15, 16, 17, 100] {
            let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let want = (n * n.saturating_sub(1) / 2) as f32;
            assert_eq!(
                wide(
                    #[inline(always)]
                    || dot(&x, &vec![1.0; n])
                ),
                want
            );
            assert_eq!(short_dot(pulp::Scalar::new(), &x, &vec![1.0; n]), want);
            assert_eq!(max(&x), if n == 0 { f32::NEG_INFINITY } else { (n - 1) as f32 });
        }
    }

    #[test]
    fn exp_and_sum_is_a_softmax_numerator() {
        let mut x: Vec<f32> = (0..19).map(|i| i as f32 * 0.1).collect();
        let want: f64 = x.iter().map(|&v| f64::from(v - 1.8).exp()).sum();
        let got = wide(
            #[inline(always)]
            || exp_and_sum(&mut x, 1.8),
        );
        assert!((f64::from(got) - want).abs() < 1e-5);
    }
}
