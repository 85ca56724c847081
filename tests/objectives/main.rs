//! Every objective's loss and gradient: against `tests/golden/objectives.json` (TRL in float64) to
//! 1e-9, against finite differences, and at inputs far outside of what training sees.

mod batch;
mod differences;
mod extremes;
mod golden_pairs;
mod golden_ppo;
mod ppo;
mod sorted;
