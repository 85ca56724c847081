//! The engine against TRL and transformers, and against itself.

mod device;
mod forward;
mod greedy;
mod interop;
mod invariance;
mod ppo;
mod ppo_stage;
mod reproduce;
mod sampling;
mod trace;
