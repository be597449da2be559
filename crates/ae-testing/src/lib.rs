//! Support for the tests of the workspace: naive references summed in `f64`, distances in ulp,
//! tolerances that NaN fails, awkward shapes, seeded random data, and a check of an `f32` function over
//! all 2^32 values.
//!
//! Nothing here depends on the crates under test, so that a bug cannot be in both the code and its
//! expectation.

#![forbid(unsafe_code)]

pub mod exhaustive;
pub mod naive;
pub mod precise;
pub mod random;
pub mod shapes;
pub mod tolerance;
pub mod ulp;

/// The message of an error and those of its sources, joined by ": ".
pub fn chain(error: &dyn std::error::Error) -> String {
    let messages = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    messages.collect::<Vec<_>>().join(": ")
}
