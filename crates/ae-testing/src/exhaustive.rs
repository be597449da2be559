//! The worst error of a function, over every `f32` or over chosen inputs.

use std::sync::atomic::{AtomicU32, Ordering};
use std::{fmt, thread};

use crate::precise::Precise;
use crate::ulp::{ulp_distance, ulp_distance_precise};

/// The input at which a function is furthest from its reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst<T = f32> {
    /// The input.
    pub input: T,
    /// The result of the function.
    pub got: T,
    /// The result of the reference, in `f64`.
    pub expected: f64,
    /// The distance between the two; infinite if one is NaN or infinite and the other is not, never NaN.
    pub ulps: f64,
}

impl<T: fmt::LowerExp> fmt::Display for Worst<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Worst { input, got, expected, ulps } = self;
        write!(f, "{ulps:.3} ulp at {input:e}: got {got:e}, expected {expected:e}")
    }
}

/// Number of inputs passed to `apply` at a time: enough to keep vector units busy, few enough for the L1
/// cache.
const CHUNK: u32 = 4096;
const CHUNKS: u32 = (1 << 31) / CHUNK * 2;

/// Returns the worst error over all 2^32 bit patterns of `f32`, NaNs included, of `apply`, which
/// replaces every element of a slice by the function's value. Of equally bad inputs, the first by bit
/// pattern is reported, whatever the number of threads.
///
/// # Panics
/// If `threads` is 0.
#[track_caller]
pub fn worst_over_all_f32(
    reference: impl Fn(f64) -> f64 + Sync,
    apply: impl Fn(&mut [f32]) + Sync,
    threads: usize,
) -> Worst {
    worst_over_chunks(0..CHUNKS, &reference, &apply, threads)
}

#[track_caller]
fn worst_over_chunks(
    chunks: std::ops::Range<u32>,
    reference: &(impl Fn(f64) -> f64 + Sync),
    apply: &(impl Fn(&mut [f32]) + Sync),
    threads: usize,
) -> Worst {
    assert!(threads > 0, "no threads to run on");
    let next = AtomicU32::new(chunks.start);
    let work = || {
        let mut worst: Option<Worst> = None;
        let mut inputs = vec![0.0; CHUNK as usize];
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            if chunk >= chunks.end {
                return worst;
            }
            for (input, i) in inputs.iter_mut().zip(0..CHUNK) {
                *input = f32::from_bits(chunk * CHUNK + i);
            }
            worst = worse(worst, worst_over_f32(&inputs, reference, apply));
        }
    };
    let worst = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().fold(None, |worst, thread| match thread.join() {
            Ok(Some(found)) => worse(worst, found),
            Ok(None) => worst,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    });
    worst.unwrap_or_else(|| unreachable!("there are chunks"))
}

fn worse(worst: Option<Worst>, found: Worst) -> Option<Worst> {
    match worst {
        Some(worst)
            if worst.ulps > found.ulps
                || (worst.ulps == found.ulps && worst.input.to_bits() < found.input.to_bits()) =>
        {
            Some(worst)
        }
        _ => Some(found),
    }
}

/// Returns the worst error of `apply` over the given inputs; the first of equals.
///
/// # Panics
/// If there are no inputs.
#[track_caller]
pub fn worst_over_f32(
    inputs: &[f32],
    reference: impl Fn(f64) -> f64,
    apply: impl FnOnce(&mut [f32]),
) -> Worst {
    let mut results = inputs.to_vec();
    apply(&mut results);
    worst_of(inputs, &results, |input, got| {
        let expected = reference(f64::from(input));
        (ulp_distance(got, expected), expected)
    })
}

/// Like [`worst_over_f32`], for `f64` and a reference of higher precision.
///
/// # Panics
/// If there are no inputs.
#[track_caller]
pub fn worst_over_f64(
    inputs: &[f64],
    reference: impl Fn(f64) -> Precise,
    apply: impl FnOnce(&mut [f64]),
) -> Worst<f64> {
    let mut results = inputs.to_vec();
    apply(&mut results);
    worst_of(inputs, &results, |input, got| {
        let expected = reference(input);
        (ulp_distance_precise(got, expected), expected.to_f64())
    })
}

#[track_caller]
fn worst_of<T: Copy>(inputs: &[T], results: &[T], compare: impl Fn(T, T) -> (f64, f64)) -> Worst<T> {
    assert!(!inputs.is_empty(), "the worst of no inputs");
    let measure = |i: usize| {
        let (ulps, expected) = compare(inputs[i], results[i]);
        Worst { input: inputs[i], got: results[i], expected, ulps }
    };
    (1..inputs.len()).map(measure).fold(measure(0), |worst, found| {
        // `ulps` is never NaN; see `ulp_distance`.
        if found.ulps > worst.ulps { found } else { worst }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precise;

    /// Chunks around 1.0.
    const SOME: std::ops::Range<u32> = 0x3f7f_0000 / CHUNK..0x3f81_0000 / CHUNK;

    fn double(values: &mut [f32]) {
        for v in values {
            *v *= 2.0;
        }
    }

    #[test]
    fn every_input_is_seen_once() {
        assert_eq!(u64::from(CHUNKS) * u64::from(CHUNK), 1 << 32);
        let seen = std::sync::Mutex::new(Vec::new());
        let note = |values: &mut [f32]| {
            if let Ok(mut seen) = seen.lock() {
                seen.extend(values.iter().map(|v| v.to_bits()));
            }
        };
        worst_over_chunks(CHUNKS - 3..CHUNKS, &|x| x, &note, 3);
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(u32::MAX - (3 * CHUNK - 1)..=u32::MAX));
    }

    #[test]
    fn an_exact_function_has_no_error() {
        for threads in [1, 2, 5] {
            assert_eq!(worst_over_chunks(SOME, &|x| 2.0 * x, &double, threads).ulps, 0.0);
        }
        // NaN for NaN, infinities, and the largest values.
        assert_eq!(worst_over_chunks(CHUNKS - 5_000..CHUNKS, &|x| 2.0 * x, &double, 2).ulps, 0.0);
    }

    /// A single wrong value among the inputs is found, whichever thread meets it and wherever it is.
    #[test]
    fn a_planted_fault_is_found() {
        for (fault, ulps) in [(f32::NAN, f64::INFINITY), (0.0, 8_388_608.0), (2.000_000_7, 3.0)] {
            for threads in [1, 3] {
                let planted = |values: &mut [f32]| {
                    for v in values {
                        *v = if *v == 1.0 { fault } else { *v * 2.0 };
                    }
                };
                let worst = worst_over_chunks(SOME, &|x| 2.0 * x, &planted, threads);
                assert_eq!((worst.input, worst.expected, worst.ulps), (1.0, 2.0, ulps));
                assert_eq!(worst.got.to_bits(), fault.to_bits());
            }
        }
    }

    #[test]
    fn the_first_of_equals_is_reported() {
        let off = |values: &mut [f32]| values.fill(f32::NAN);
        for threads in [1, 4] {
            let worst = worst_over_chunks(SOME, &|x| x, &off, threads);
            assert_eq!(worst.input.to_bits(), SOME.start * CHUNK);
        }
    }

    #[test]
    fn chosen_inputs() {
        let inputs = [0.5, 1.0, f64::NAN, -3.0];
        let std = |values: &mut [f64]| {
            for v in values {
                *v = v.tanh();
            }
        };
        assert!(worst_over_f64(&inputs, precise::tanh, std).ulps < 2.0);
        let off = |values: &mut [f64]| values.copy_from_slice(&[0.5f64.tanh(), 0.0, f64::NAN, -3f64.tanh()]);
        let worst = worst_over_f64(&inputs, precise::tanh, off);
        assert!(worst.input == 1.0 && worst.ulps > 1e15, "{worst}");
    }

    #[test]
    #[should_panic(expected = "the worst of no inputs")]
    fn no_inputs() {
        worst_over_f32(&[], |x| x, double);
    }
}
