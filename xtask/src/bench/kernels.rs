//! Element-wise functions, the loss and layout changes, each on data that stays in the caches.

use std::hint::black_box;
use std::time::Duration;

use ae_kernels::activation::{Activation, Slope};
use ae_kernels::loss::{self, Loss, RowLosses};
use ae_kernels::math::{self, Function};
use ae_kernels::noise::{self, Noise, Stream};
use ae_kernels::panel::{
    Panels, PanelsMut, gather_rows, panel_len, scatter_rows, transpose_deltas, transposed_len,
};
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};
use ae_testing::random::SplitMix64;
use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::table::markdown;
use super::timing::{best_of, best_of_two, limit, time};
use super::train::rounded;

/// Number of elements that the functions are applied to.
const ELEMENTS: usize = 4096;
/// Features and rows of the batch for layout changes: an image of 28 x 28 pixels, and a block of a
/// training step.
const FEATURES: usize = 784;
const ROWS: usize = 64;
/// Runs per window.
const REPEATS: u32 = 20;

/// What to time.
#[derive(Args, Debug)]
pub(crate) struct KernelsBench {
    /// Numeric precision
    #[arg(long, default_value = "f32", value_parser = ["f32", "f64"])]
    precision: String,
    /// Seconds to time each kernel
    #[arg(long, default_value_t = 0.2)]
    seconds: f64,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

/// The time of a kernel, and that of a loop over the standard library's scalar function if there is one.
struct Timing {
    kernel: String,
    elements: usize,
    /// Bytes that the kernel reads and writes.
    bytes: usize,
    time: Duration,
    scalar: Option<Duration>,
}

impl KernelsBench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let (isa, limit) = (Isa::active()?, limit(self.seconds)?);
        let timings = match self.precision.as_str() {
            "f64" => measure::<f64>(isa, limit)?,
            _ => measure::<f32>(isa, limit)?,
        };
        let rows: Vec<Value> = timings.iter().map(|timing| timing.to_json(isa, &self.precision)).collect();
        if self.json {
            rows.iter().for_each(|row| println!("{row}"));
        } else {
            let columns =
                ["kernel", "isa", "elements", "ns_per_element", "gb_per_s", "std_ns_per_element", "ratio"];
            print!("{}", markdown(&columns, &rows));
        }
        Ok(())
    }
}

impl Timing {
    fn to_json(&self, isa: Isa, precision: &str) -> Value {
        let nanoseconds = self.time.as_secs_f64() * 1e9;
        let each = |time: Duration| rounded(time.as_secs_f64() * 1e9 / self.elements as f64, 4);
        json!({
            "kernel": self.kernel,
            "precision": precision,
            "isa": isa.name(),
            "elements": self.elements,
            "ns_per_element": each(self.time),
            "gb_per_s": rounded(self.bytes as f64 / nanoseconds, 2),
            "std_ns_per_element": self.scalar.map(each),
            "ratio": self.scalar.map(|scalar| rounded(scalar.as_secs_f64() * 1e9 / nanoseconds, 2)),
        })
    }
}

/// An element type with the standard library's functions.
trait Scalar: Element {
    fn call(self, function: Function) -> Self;
}

macro_rules! scalar {
    ($($float:ty)*) => {$(
        impl Scalar for $float {
            #[inline]
            fn call(self, function: Function) -> Self {
                match function {
                    Function::Tanh => self.tanh(),
                    Function::Sigmoid => 1.0 / (1.0 + (-self).exp()),
                    Function::Softplus => self.max(0.0) + (-self.abs()).exp().ln_1p(),
                    _ => self.exp(),
                }
            }
        }
    )*};
}
scalar!(f32 f64);

fn measure<T: Scalar>(isa: Isa, limit: Duration) -> Result<Vec<Timing>, Failure> {
    let mut timings = Vec::new();
    for function in Function::ALL {
        timings.push(function_timing::<T>(isa, function, limit)?);
    }
    for activation in Activation::ALL {
        timings.extend(activation_timings::<T>(isa, activation, limit));
    }
    timings.push(loss_timing::<T>(isa, limit)?);
    timings.extend(noise_timings::<T>(isa, limit)?);
    timings.extend(layout_timings::<T>(isa, limit)?);
    Ok(timings)
}

/// Reproducible values in [-4, 4).
fn inputs<T: Element>(len: usize) -> Vec<T> {
    SplitMix64::new(0).uniform_f32s(len, -4.0, 4.0).into_iter().map(T::from_f32).collect()
}

/// Times `work` on a slice that is first reset to `fresh`; the reset is not timed.
fn on_fresh<T: Copy>(fresh: &[T], values: &mut [T], work: impl FnOnce(&mut [T])) -> Duration {
    values.copy_from_slice(fresh);
    let mut work = Some(work);
    time(1, || {
        if let Some(work) = work.take() {
            work(black_box(&mut *values));
        }
    })
}

fn function_timing<T: Scalar>(isa: Isa, function: Function, limit: Duration) -> Result<Timing, Failure> {
    let fresh: Vec<T> = inputs(ELEMENTS);
    let mut results = fresh.clone();
    math::apply(isa, function, &mut results);
    let epsilon = if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    for (x, y) in fresh.iter().zip(&results) {
        let expected = x.to_f64().call(function);
        if !((y.to_f64() - expected).abs() <= 4.0 * epsilon * expected.abs()) {
            return Err(Failure::Wrong(format!(
                "{} of {x:?} is {y:?} instead of {expected}",
                function.name()
            )));
        }
    }
    let (mut ours, mut theirs) = (fresh.clone(), fresh.clone());
    let [time, scalar] = best_of_two(
        limit,
        || on_fresh(&fresh, &mut ours, |values| math::apply(isa, function, values)),
        || on_fresh(&fresh, &mut theirs, |values| values.iter_mut().for_each(|x| *x = x.call(function))),
    );
    let bytes = 2 * ELEMENTS * size_of::<T>();
    Ok(Timing { kernel: function.name().to_owned(), elements: ELEMENTS, bytes, time, scalar: Some(scalar) })
}

fn activation_timings<T: Element>(isa: Isa, activation: Activation, limit: Duration) -> [Timing; 2] {
    let elements = FEATURES * ROWS;
    let fresh: Vec<T> = inputs(elements);
    let mut y = fresh.clone();
    let apply = best_of(limit, || on_fresh(&fresh, &mut y, |values| activation.apply(isa, values)));
    let mut delta = fresh.clone();
    // Given slopes are read rather than computed; the time does not depend on their values.
    let slope = if activation.keeps_slope() { Slope::Given } else { Slope::Of(activation) };
    let grad = best_of(limit, || on_fresh(&fresh, &mut delta, |delta| slope.apply(isa, &y, delta)));
    let name = format!("{activation:?}").to_lowercase();
    let timing = |kernel, passes, time| {
        let bytes = passes * elements * size_of::<T>();
        Timing { kernel, elements, bytes, time, scalar: None }
    };
    [timing(format!("{name}.apply"), 2, apply), timing(format!("{name}.apply_grad"), 3, grad)]
}

fn loss_timing<T: Element>(isa: Isa, limit: Duration) -> Result<Timing, Failure> {
    let len = panel_len::<T>(FEATURES, ROWS);
    let (fresh, target): (Vec<T>, Vec<T>) = (inputs(len), inputs::<T>(len + 1).split_off(1));
    let mut output = AlignedBuf::zeroed(len);
    let (mut losses, mut errors) = (vec![T::ZERO; ROWS], vec![T::ZERO; ROWS]);
    let time = best_of(limit, || {
        on_fresh(&fresh, output.as_mut_slice(), |output| {
            let output = PanelsMut::new(output, FEATURES, ROWS);
            let target = Panels::new(&target, FEATURES, ROWS);
            let rows = RowLosses { losses: &mut losses, squares: &mut errors };
            loss::evaluate(isa, Loss::SquaredError, output, target, None, rows);
        })
    });
    let expected: f64 = fresh.iter().zip(&target).map(|(y, t)| (y.to_f64() - t.to_f64()).powi(2)).sum();
    let got: f64 = errors.iter().map(|error| error.to_f64()).sum();
    if !((got - expected).abs() <= 1e-5 * expected) {
        return Err(Failure::Wrong(format!("the squared error sums to {got} instead of {expected}")));
    }
    let bytes = 3 * len * size_of::<T>();
    Ok(Timing { kernel: "squared_error".to_owned(), elements: len, bytes, time, scalar: None })
}

fn noise_timings<T: Element>(isa: Isa, limit: Duration) -> Result<[Timing; 2], Failure> {
    let len = panel_len::<T>(FEATURES, ROWS);
    let (clean, mut noisy) = (inputs::<T>(len), AlignedBuf::<T>::zeroed(len));
    let mut timing = |kernel: &str, noise| {
        let time = best_of(limit, || {
            time(REPEATS, || {
                let stream = Stream { key: 1, first_row: 0, draw_index: 0 };
                let dst = PanelsMut::new(noisy.as_mut_slice(), FEATURES, ROWS);
                noise::corrupt(isa, noise, stream, Panels::new(black_box(&clean), FEATURES, ROWS), dst);
            })
        });
        let bytes = 2 * len * size_of::<T>();
        let changed = clean.iter().zip(noisy.as_slice()).filter(|(x, y)| x != y).count();
        (Timing { kernel: kernel.to_owned(), elements: len, bytes, time, scalar: None }, changed)
    };
    let (gaussian, all) = timing("gaussian_noise", Noise::Gaussian { sigma: 0.3 });
    let (masking, quarter) = timing("masking_noise", Noise::Masking { fraction: 0.25 });
    if all < len / 10 * 9 || !(len / 5..len / 3).contains(&quarter) {
        return Err(Failure::Wrong(format!("noise changes {all} and {quarter} of {len} values")));
    }
    Ok([gaussian, masking])
}

fn layout_timings<T: Element>(isa: Isa, limit: Duration) -> Result<[Timing; 3], Failure> {
    // Rows of a larger table, out of order.
    let table: Vec<f32> = inputs(FEATURES * ROWS * 4);
    let indices: Vec<usize> = (0..ROWS).map(|i| i * 37 % (ROWS * 4)).collect();
    let mut panels = AlignedBuf::<T>::zeroed(panel_len::<T>(FEATURES, ROWS));
    let gather = best_of(limit, || {
        time(REPEATS, || {
            let dst = PanelsMut::new(panels.as_mut_slice(), FEATURES, ROWS);
            gather_rows(isa, black_box(&table), &indices, None, dst);
        })
    });
    let gathered = Panels::new(panels.as_slice(), FEATURES, ROWS);
    let mut rows = vec![0.0; FEATURES * ROWS];
    let scatter = best_of(limit, || {
        time(REPEATS, || scatter_rows(isa, black_box(gathered), None, black_box(&mut rows)))
    });
    let expected = indices.iter().flat_map(|&index| &table[index * FEATURES..][..FEATURES]);
    if !rows.iter().eq(expected) {
        return Err(Failure::Wrong("scatter_rows does not undo gather_rows".to_owned()));
    }
    let mut transposed = AlignedBuf::<T>::zeroed(transposed_len::<T>(FEATURES, ROWS));
    let transpose_time = best_of(limit, || {
        time(REPEATS, || transpose_deltas(isa, black_box(gathered), black_box(transposed.as_mut_slice())))
    });
    let timing = |kernel: &str, bytes_each, time| {
        let elements = FEATURES * ROWS;
        Timing { kernel: kernel.to_owned(), elements, bytes: elements * bytes_each, time, scalar: None }
    };
    let (narrow, own) = (size_of::<f32>(), size_of::<T>());
    Ok([
        timing("gather_rows", narrow + own, gather),
        timing("scatter_rows", own + narrow, scatter),
        timing("turn", 2 * own, transpose_time),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_is_right_and_timed_on_every_isa() {
        for isa in Isa::available() {
            for timings in [measure::<f32>(isa, Duration::ZERO), measure::<f64>(isa, Duration::ZERO)] {
                let timings = timings.unwrap();
                assert_eq!(timings.len(), Function::ALL.len() + 2 * Activation::ALL.len() + 1 + 2 + 3);
                assert!(timings.iter().all(|timing| timing.time > Duration::ZERO));
            }
        }
    }
}
