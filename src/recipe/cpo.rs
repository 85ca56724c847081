//! `kind = "cpo"`, all of whose keys other kinds have too. Source: CPO (2401.08417); defaults are
//! TRL's.

pub const BETA: f64 = 0.1;
pub const CPO_ALPHA: f64 = 1.0;
pub const LABEL_SMOOTHING: f64 = 0.0;
/// Learning rates, full and with LoRA.
pub const LEARNING_RATE: (f64, f64) = (1e-6, 5e-5);
/// Its keys.
pub const SHARED: [&str; 4] = ["beta", "loss_type", "label_smoothing", "cpo_alpha"];
