//! Where the time of a computation goes. [`time`] says what part of it a piece of code is; nothing is
//! measured, and a thread-local flag is all it costs, unless [`measure`] is around it. Then the device
//! is made to finish before the clock is read at both ends of a part, which slows the whole down:
//! shares are of use, the sum is not a speed.
//!
//! Parts may nest: every moment counts for the innermost part that is open, and for [`Op::Host`]
//! where none is. So the parts of a measurement add up to its whole time.

use std::cell::RefCell;
use std::time::Instant;

use anyhow::Result;
use candle_core::Device;

/// What a moment may be spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Scores, softmax and their products with the values; not the projections.
    Attention,
    /// Matrix products of the layers, LoRA among them.
    Linear,
    /// Log-probabilities, or scores, from hidden states.
    Head,
    /// Norms, and what else goes over rows once: rotation, activation, sums, embedding.
    Norms,
    /// Gradient norm, update of the weights, merging.
    Optimiser,
    /// The rest: rows, losses, reading results back.
    Host,
}

impl Op {
    pub const ALL: [Op; 6] = [Op::Attention, Op::Linear, Op::Head, Op::Norms, Op::Optimiser, Op::Host];

    pub fn name(self) -> &'static str {
        match self {
            Op::Attention => "attention",
            Op::Linear => "linear",
            Op::Head => "head",
            Op::Norms => "norms",
            Op::Optimiser => "optimiser",
            Op::Host => "host",
        }
    }
}

/// Seconds of each part.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent([f64; Op::ALL.len()]);

impl Spent {
    pub fn of(&self, part: Op) -> f64 {
        self.0[part as usize]
    }

    pub fn total(&self) -> f64 {
        self.0.iter().sum()
    }
}

struct Clock {
    device: Device,
    open: Op,
    since: Instant,
    spent: Spent,
    /// The first error of the device.
    failed: Option<candle_core::Error>,
}

thread_local! {
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// From here on `part` is open; returns the one that was, if there is a measurement.
fn turn_to(part: Op) -> Option<Op> {
    CLOCK.with_borrow_mut(|clock| {
        let clock = clock.as_mut()?;
        if let Err(error) = clock.device.synchronize() {
            clock.failed.get_or_insert(error);
        }
        let now = Instant::now();
        clock.spent.0[clock.open as usize] += (now - clock.since).as_secs_f64();
        clock.since = now;
        Some(std::mem::replace(&mut clock.open, part))
    })
}

/// Does `work`, which counts as `part` for a measurement of this thread.
pub fn time<T>(part: Op, work: impl FnOnce() -> T) -> T {
    let before = turn_to(part);
    let done = work();
    if let Some(before) = before {
        turn_to(before);
    }
    done
}

/// Does `work` on `device` and says what its time went to. Measurements do not nest. Errors if `work`
/// or the device does.
pub fn measure<T>(device: &Device, work: impl FnOnce() -> Result<T>) -> Result<(T, Spent)> {
    device.synchronize()?;
    let clock = Clock {
        device: device.clone(),
        open: Op::Host,
        since: Instant::now(),
        spent: Spent::default(),
        failed: None,
    };
    CLOCK.set(Some(clock));
    let done = work();
    turn_to(Op::Host);
    let clock = CLOCK.take();
    let done = done?;
    let Some(clock) = clock else { anyhow::bail!("a measurement lay within another") };
    match clock.failed {
        Some(error) => Err(error.into()),
        None => Ok((done, clock.spent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn work(part: Op, milliseconds: u64) {
        time(part, || std::thread::sleep(Duration::from_millis(milliseconds)));
    }

    #[test]
    fn every_moment_counts_for_the_innermost_part() {
        let started = Instant::now();
        let (answer, spent) = measure(&Device::Cpu, || {
            std::thread::sleep(Duration::from_millis(5));
            time(Op::Optimiser, || {
                work(Op::Linear, 20);
                std::thread::sleep(Duration::from_millis(10));
            });
            work(Op::Linear, 5);
            Ok(7)
        })
        .unwrap();
        let whole = started.elapsed().as_secs_f64();
        assert_eq!(answer, 7);
        assert!(spent.of(Op::Linear) >= 0.025 && spent.of(Op::Linear) < whole - 0.014, "{spent:?}");
        assert!(spent.of(Op::Optimiser) >= 0.010 && spent.of(Op::Optimiser) < whole - 0.029, "{spent:?}");
        assert!(spent.of(Op::Host) >= 0.005 && spent.of(Op::Host) < whole - 0.034, "{spent:?}");
        assert_eq!([Op::Attention, Op::Head, Op::Norms].map(|part| spent.of(part)), [0.0; 3]);
        assert!(spent.total() <= whole);
    }

    #[test]
    fn an_error_ends_a_measurement() {
        let failed = measure(&Device::Cpu, || -> Result<()> { time(Op::Head, || anyhow::bail!("no")) });
        assert_eq!(failed.unwrap_err().to_string(), "no");
        // and nothing is measured after it
        assert_eq!(turn_to(Op::Head), None);
    }
}
