//! The peak of the CPU: multiply-adds that never wait for memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ae_kernels::Isa;
use ae_kernels::par::Pool;
use ae_kernels::simd::{Element, Kernel, Simd};

use super::Failure;
use super::timing::best_of;

/// Loops per thread and window: enough for threads that wake up late to share the work.
const LOOPS: usize = 16;

/// Twelve independent chains of multiply-adds in registers.
struct MultiplyAdds {
    rounds: usize,
}

impl<T: Element> Kernel<T> for MultiplyAdds {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) -> f64 {
        let mut sums = [s.splat(T::ZERO); 12];
        let (a, b) = (s.splat(black_box(T::from_f64(1e-9))), s.splat(black_box(T::ONE)));
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = s.mul_add(a, b, *sum);
            }
        }
        let mut last = [T::ZERO; 16];
        for sum in sums {
            s.store(sum, &mut last);
            black_box(last);
        }
        (self.rounds * sums.len() * S::LANES * 2) as f64
    }
}

/// Measures the GFLOP/s of multiply-adds on vectors of `T`, summed over all threads.
pub(super) fn of_multiply_adds<T: Element>(
    isa: Isa,
    threads: usize,
    limit: Duration,
) -> Result<f64, Failure> {
    let pool = Pool::new(Some(threads)).map_err(ae_model::Error::from)?;
    let mut counts = vec![0.0; threads * LOOPS];
    let took = best_of(limit, || {
        let start = Instant::now();
        pool.crew().for_each_chunk(&mut counts, 1, |_, count| {
            count[0] = T::run(isa, black_box(MultiplyAdds { rounds: 20_000 }));
        });
        start.elapsed()
    });
    Ok(counts.iter().sum::<f64>() / took.as_secs_f64() / 1e9)
}

/// [`of_multiply_adds`] for a value of `--precision`; mixed precision uses the peak of `f32`.
pub(super) fn of_threads(precision: &str, isa: Isa, threads: usize, limit: Duration) -> Result<f64, Failure> {
    let limit = limit.min(Duration::from_millis(500));
    match precision {
        "f64" => of_multiply_adds::<f64>(isa, threads, limit),
        _ => of_multiply_adds::<f32>(isa, threads, limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_numbers() {
        for (precision, threads) in [("f32", 1), ("f64", 2), ("bf16", 1)] {
            assert!(of_threads(precision, Isa::best(), threads, Duration::ZERO).unwrap() > 0.0);
        }
        assert!(of_threads("f32", Isa::best(), 0, Duration::ZERO).is_err());
    }
}
