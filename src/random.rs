//! Counter-based random numbers: a value depends on its keys and its index alone, never on what was
//! drawn before, on threads or on devices. Mixing function: splitmix64 (Steele, Lea, Flood 2014).

/// What a stream of random numbers is for; two purposes never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    Weights = 1,
    LoraA = 2,
    Shuffle = 3,
    Dropout = 4,
    ValueHead = 5,
    /// Sampled answers and the order of a ppo update's mini-batches.
    Rollout = 6,
}

/// A stream named by its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream(u64);

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Stream {
    /// The stream of no seed, for a choice that no recipe may change.
    pub const FIXED: Stream = Stream(0);

    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Stream(mix(mix(seed) ^ purpose as u64))
    }

    /// A stream of its own for `key` (a stage, an epoch, a row, a layer).
    pub fn key(self, key: u64) -> Self {
        Stream(mix(self.0 ^ mix(key)))
    }

    /// A stream of its own for a name.
    pub fn name(self, name: &str) -> Self {
        name.bytes().fold(self, |stream, byte| stream.key(u64::from(byte)))
    }

    /// What the kernels make the same numbers from.
    pub(super) fn state(self) -> u64 {
        self.0
    }

    /// The 64 bits at `index`.
    pub fn bits(self, index: u64) -> u64 {
        mix(self.0.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(self, index: u64) -> f64 {
        (self.bits(index) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box–Muller).
    pub fn normal(self, index: u64) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform(2 * index)).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform(2 * index + 1)).cos()
    }

    /// A permutation of `0..n`: indices in the order of their random bits.
    pub fn permutation(self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&i| (self.bits(i as u64), i));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distribution() {
        let stream = Stream::new(42, Purpose::Weights).name("w");
        let n = 20_000u64;
        let mean = |f: &dyn Fn(u64) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
        assert!((mean(&|i| stream.uniform(i)) - 0.5).abs() < 0.01);
        assert!(mean(&|i| stream.normal(i)).abs() < 0.03);
        assert!((mean(&|i| stream.normal(i).powi(2)) - 1.0).abs() < 0.03);
    }

    #[test]
    fn permutations_hold_every_index_and_differ_by_key() {
        let stream = Stream::new(1, Purpose::Shuffle);
        let mut a = stream.key(0).permutation(100);
        assert_ne!(a, stream.key(1).permutation(100));
        assert_eq!(a, stream.key(0).permutation(100));
        a.sort_unstable();
        assert_eq!(a, (0..100).collect::<Vec<_>>());
    }
}
