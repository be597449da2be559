//! The work of `cargo xtask bench` in other Rust crates: training steps in candle and burn, and matrix
//! products.
//!
//! The two programs are the counterparts of `train_step.py` and `gemm_products.py` in the parent folder,
//! with the same arguments and the same JSON. They time what a user of these crates would write, built
//! for the CPU they run on.

#![forbid(unsafe_code)]

mod job;
mod products;
mod random;
mod threads;
mod with_burn;
mod with_candle;

pub use job::{BATCHES, BETAS, EPSILON, Job, LEARNING_RATE, MOMENTUM, Steps, WEIGHT_DECAY, best_window};
pub use products::{Multiply, Number, Operands, system};
pub use random::Random;
pub use threads::limit_threads;
pub use with_burn::BurnSteps;
pub use with_candle::CandleSteps;
