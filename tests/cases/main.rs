//! Inputs in the manner of what people really have, each with its right result or its refusal.

mod formats;
