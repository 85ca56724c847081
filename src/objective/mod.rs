//! The maths of each paper as pure functions over slices of f64: log-probs or scores in, loss and
//! gradients out. What a mean is taken over is the caller's, unless a function says otherwise.

pub mod aot;
pub mod box_cox;
pub mod cpo;
pub mod dpo;
pub mod f_divergence;
pub mod kto;
pub mod margin;
pub mod nll;
pub mod orpo;
pub mod pair;
pub mod ppo;
pub mod reward;
pub mod sigmoid;
pub mod simpo;
