//! Activations, conversions to and from panels, and checks for finite values, on every instruction set.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_kernels::activation::{Activation, Slope};
use ae_kernels::finite::{all_finite, rows_finite};
use ae_kernels::panel::{self, Affine, Panels, PanelsMut, panel_len, transposed_len};
use ae_kernels::par::{Crew, Pool};
use ae_kernels::{Element, Isa};
use ae_testing::naive;
use ae_testing::random::SplitMix64;
use ae_testing::shapes::SIZES;
use ae_testing::tolerance::{Float, Tolerance, assert_close};

fn naive_of(activation: Activation) -> naive::Activation {
    match activation {
        Activation::Relu => naive::Activation::Relu,
        Activation::Sigmoid => naive::Activation::Sigmoid,
        Activation::Tanh => naive::Activation::Tanh,
        Activation::LeakyRelu => naive::Activation::LeakyRelu,
        Activation::Elu => naive::Activation::Elu,
        Activation::Softplus => naive::Activation::Softplus,
        Activation::Gelu => naive::Activation::Gelu,
        Activation::Silu => naive::Activation::Silu,
        _ => naive::Activation::Linear,
    }
}

fn draw<T: Element>(len: usize, seed: u64) -> Vec<T> {
    SplitMix64::new(seed).uniform_f32s(len, -6.0, 6.0).into_iter().map(T::from_f32).collect()
}

/// `z Φ(z)` with `Φ = σ(2 u)`, and its slope, without subtracting nearly equal numbers.
fn gelu_in_the_tail(z: f64) -> [f64; 2] {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let twice = 2.0 * root * (z + 0.044_715 * z.powi(3));
    let cdf = 1.0 / (1.0 + (-twice).exp());
    let slope_of_twice = 2.0 * root * (1.0 + 3.0 * 0.044_715 * z * z);
    [z * cdf, cdf + z * slope_of_twice * cdf * (1.0 - cdf)]
}

#[test]
fn gelu_keeps_its_digits_where_it_is_small() {
    for isa in Isa::available() {
        let z: Vec<f32> = (0..96).map(|i| -2.0 - i as f32 / 16.0).collect();
        let (mut y, mut slopes) = (z.clone(), vec![0.0; z.len()]);
        Activation::Gelu.apply_with_slopes(isa, &mut y, &mut slopes);
        for ((z, y), slope) in z.iter().zip(y).zip(slopes) {
            let expected = gelu_in_the_tail(f64::from(*z));
            for (found, expected) in [y, slope].into_iter().zip(expected) {
                let error = (f64::from(found) - expected).abs();
                assert!(
                    error <= 3e-5 * expected.abs() + 1e-37,
                    "{isa}: {z} gives {found:e} for {expected:e}"
                );
            }
        }
    }
}

fn check_activations<T: Element + Float>() {
    for isa in Isa::available() {
        for activation in Activation::ALL {
            let reference = naive_of(activation);
            for len in SIZES {
                let z = draw::<T>(len, len as u64);
                let mut y = z.clone();
                activation.apply(isa, &mut y);
                let expected: Vec<f64> = z.iter().map(|z| reference.value(z.to_f64())).collect();
                let name = format!("{activation:?} of {len} on {isa}");
                // GELU and SiLU multiply by a factor whose rounding error is relative to 1.
                let tolerance = if activation.keeps_slope() {
                    Tolerance::Absolute(8.0 * T::EPSILON)
                } else {
                    Tolerance::Relative(6.0 * T::EPSILON)
                };
                assert_close(&name, &y, &expected, tolerance);

                let upper = draw::<T>(len, 1000 + len as u64);
                let (mut again, mut slopes) = (z.clone(), vec![T::ZERO; len]);
                activation.apply_with_slopes(isa, &mut again, &mut slopes);
                assert_eq!(again, y, "{name}");
                let mut delta = upper.clone();
                if activation.keeps_slope() {
                    Slope::Given.apply(isa, &slopes, &mut delta);
                } else {
                    Slope::Of(activation).apply(isa, &y, &mut delta);
                }
                let slope = |i: usize| reference.derivative(z[i].to_f64()) * upper[i].to_f64();
                let expected: Vec<f64> = (0..len).map(slope).collect();
                // Computing the derivative from the output loses what 1 - y² loses; y is off by at most
                // a few ulp of 1.
                assert_close(&name, &delta, &expected, Tolerance::Absolute(64.0 * T::EPSILON));
                let expected: Vec<f64> = z.iter().map(|z| reference.derivative(z.to_f64())).collect();
                assert_close(&name, &slopes, &expected, Tolerance::Absolute(16.0 * T::EPSILON));
            }
        }
    }
}

#[test]
fn activations_and_their_derivatives() {
    check_activations::<f32>();
    check_activations::<f64>();
}

#[test]
fn relu_has_slope_zero_at_zero_and_hides_no_nan() {
    for isa in Isa::available() {
        let mut delta = [1.0f32, 1.0, 1.0];
        Slope::Of(Activation::Relu).apply(isa, &[0.0, -0.0, 1e-30], &mut delta);
        assert_eq!(delta, [0.0, 0.0, 1.0], "{isa}");
        let mut z = [f32::NAN; 40];
        Activation::Relu.apply(isa, &mut z);
        assert!(z.iter().all(|z| z.is_nan()), "{isa}");
    }
}

/// In the tails, what an activation gives is a number that products handle at full speed: accurate, or
/// zero, but not subnormal. `steps` numbers from `from` down, `1 / 16` apart.
fn check_tails<T: Element + Float>(from: f64, steps: usize, least: f64) {
    let small = |x: T| x.to_f64() == 0.0 || x.to_f64().abs() >= least;
    let z: Vec<T> = (0..steps).map(|i| T::from_f64(from - i as f64 / 16.0)).collect();
    for (isa, activation) in Isa::available().flat_map(|isa| Activation::ALL.map(|a| (isa, a))) {
        let (mut y, mut slopes) = (z.clone(), vec![T::ZERO; z.len()]);
        activation.apply_with_slopes(isa, &mut y, &mut slopes);
        let mut delta = vec![T::from_f64(1e-3); z.len()];
        if activation.keeps_slope() {
            Slope::Given.apply(isa, &slopes, &mut delta);
        } else {
            Slope::Of(activation).apply(isa, &y, &mut delta);
        }
        for (i, z) in z.iter().map(|z| z.to_f64()).enumerate() {
            let [y, slope, delta] = [y[i], slopes[i], delta[i]];
            assert!(
                [y, slope, delta].into_iter().all(small),
                "{activation:?} of {z} on {isa}: {y:?}, {slope:?}"
            );
            let expected = match activation {
                Activation::Sigmoid | Activation::Softplus => z.exp(),
                Activation::Silu => z * z.exp(),
                Activation::Gelu => gelu_in_the_tail(z)[0],
                _ => continue,
            };
            let error = (y.to_f64() - expected).abs();
            assert!(error <= 1e-3 * expected.abs() + least, "{activation:?} of {z} on {isa}: {y:?}");
        }
    }
}

#[test]
fn nothing_in_the_tails_is_subnormal() {
    check_tails::<f32>(-8.0, 1600, 2f64.powi(-100));
    check_tails::<f64>(-600.0, 2400, 2f64.powi(-996));
}

/// Far from zero on either side, every activation is a line, and its slope is that of the line.
#[test]
fn slopes_are_numbers_wherever_values_are() {
    for (isa, activation) in Isa::available().flat_map(|isa| Activation::ALL.map(|a| (isa, a))) {
        for size in [1e3f32, 1e10, 1e19, 1e20, 3e38] {
            let mut values = [size, -size];
            let mut slopes = [1.0; 2];
            if activation.keeps_slope() {
                activation.apply_with_slopes(isa, &mut values, &mut slopes);
            } else {
                activation.apply(isa, &mut values);
                Slope::Of(activation).apply(isa, &values, &mut slopes);
            }
            let far = (values[0] - size).abs() <= 1e-6 * size;
            let steep = if far { 1.0 } else { 0.0 };
            assert_eq!(slopes[0], steep, "{activation:?} of {size} on {isa}");
            assert!((0.0..=1.0).contains(&slopes[1]), "{activation:?} of -{size} on {isa}: {}", slopes[1]);
            assert!(values.into_iter().all(f32::is_finite), "{activation:?} of {size} on {isa}: {values:?}");
        }
    }
}

fn check_panels<T: Element + Float>() {
    for isa in Isa::available() {
        for rows in SIZES {
            for features in [1, 2, 7, 8, 9, 15, 16, 17, 33, 64] {
                let mut random = SplitMix64::new((rows * 100 + features) as u64);
                let table = random.uniform_f32s((rows + 1) * features, -1.0, 1.0);
                let indices: Vec<usize> = (0..rows).map(|_| random.below(rows + 1)).collect();
                let factor: Vec<T> = (0..features).map(|f| T::from_f64(0.5 + f as f64)).collect();
                let shift: Vec<T> = (0..features).map(|f| T::from_f64(f as f64 / 4.0)).collect();
                let map = Affine { factor: &factor, shift: &shift };
                let name = format!("{rows} rows of {features} on {isa}");

                let mut panels = vec![T::from_f64(f64::NAN); panel_len::<T>(features, rows)];
                panel::gather_rows(isa, &table, &indices, None, PanelsMut::new(&mut panels, features, rows));
                let view = Panels::new(&panels, features, rows);
                for (column, &row) in indices.iter().enumerate() {
                    for f in 0..features {
                        assert_eq!(view.get(f, column), T::from_f32(table[row * features + f]), "{name}");
                    }
                }
                assert!(panels.iter().all(IsFinite::is_finite), "the padding is zero, {name}");

                let mut back = vec![f32::NAN; rows * features];
                panel::scatter_rows(isa, view, None, &mut back);
                let picked = indices.iter().flat_map(|row| &table[row * features..][..features]);
                assert!(back.iter().eq(picked), "{name}");

                let mut transposed = vec![T::from_f64(f64::NAN); transposed_len::<T>(features, rows)];
                panel::transpose_deltas(isa, view, &mut transposed);
                for row in 0..rows {
                    for f in 0..features {
                        let (panel, line) = (row / T::PANEL, row % T::PANEL);
                        let square = panel * (features.div_ceil(T::PANEL) | 1) + f / T::PANEL;
                        let place = (square * T::PANEL + line) * T::PANEL + f % T::PANEL;
                        assert_eq!(transposed[place], view.get(f, row), "{name}");
                    }
                }
                // Only the spare square is left untouched.
                let sum =
                    |values: &[T]| values.iter().map(|x| x.to_f64()).filter(|x| !x.is_nan()).sum::<f64>();
                assert!((sum(&transposed) - sum(&panels)).abs() < 1e-9, "the padding is zero, {name}");

                panel::gather_rows(
                    isa,
                    &table,
                    &indices,
                    Some(map),
                    PanelsMut::new(&mut panels, features, rows),
                );
                panel::scatter_rows(
                    isa,
                    Panels::new(&panels, features, rows),
                    Some(Affine {
                        factor: &factor.iter().map(|x| T::ONE / *x).collect::<Vec<_>>(),
                        shift: &shift,
                    }),
                    &mut back,
                );
                let picked: Vec<f64> = indices
                    .iter()
                    .flat_map(|row| &table[row * features..][..features])
                    .map(|x| f64::from(*x))
                    .collect();
                assert_close(&name, &back, &picked, Tolerance::Absolute(1e-4));
            }
        }
    }
}

#[test]
fn rows_travel_into_panels_and_back() {
    check_panels::<f32>();
    check_panels::<f64>();
}

#[test]
fn what_is_not_finite_is_found_wherever_it_is() {
    for isa in Isa::available() {
        for len in SIZES {
            let mut values = SplitMix64::new(len as u64).uniform_f32s(len, -1.0, 1.0);
            if let Some(first) = values.first_mut() {
                *first = f32::MAX;
            }
            assert!(all_finite(isa, &values), "{len} values on {isa}");
            for at in 0..len {
                for wrong in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
                    let fine = std::mem::replace(&mut values[at], wrong);
                    assert!(!all_finite(isa, &values), "{wrong} at {at} of {len} on {isa}");
                    values[at] = fine;
                }
            }
        }
    }
}

#[test]
fn rows_that_are_not_finite_are_found_among_others() {
    for isa in Isa::available() {
        for features in [1, 7, 16, 33] {
            let fine = SplitMix64::new(3).uniform_f32s(6 * features, -1.0, 1.0);
            let rows = [5, 0, 3, 3];
            let at = (isa, Crew::SOLO);
            assert!(rows_finite(at, &fine, features, &rows) && rows_finite(at, &fine, features, &[]));
            for at in 0..fine.len() {
                for wrong in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                    let mut table = fine.clone();
                    table[at] = wrong;
                    let among = rows.contains(&(at / features));
                    assert_eq!(
                        rows_finite((isa, Crew::SOLO), &table, features, &rows),
                        !among,
                        "{at} of {features} on {isa}"
                    );
                }
            }
        }
    }
}

/// Every row of several tasks, and a shorter last task.
#[test]
fn rows_are_looked_at_whoever_does_it() {
    const FEATURES: usize = 700;
    let pool = Pool::new(Some(3)).unwrap();
    let rows: Vec<usize> = (0..250).rev().collect();
    let mut table = SplitMix64::new(4).uniform_f32s(rows.len() * FEATURES, -1.0, 1.0);
    let at = (Isa::best(), pool.crew());
    assert!(rows_finite(at, &table, FEATURES, &rows));
    for row in 0..rows.len() {
        let fine = std::mem::replace(&mut table[row * FEATURES + row], f32::NAN);
        assert!(!rows_finite(at, &table, FEATURES, &rows), "row {row}");
        table[row * FEATURES + row] = fine;
    }
}

trait IsFinite {
    fn is_finite(&self) -> bool;
}

impl<T: Element> IsFinite for T {
    fn is_finite(&self) -> bool {
        self.to_f64().is_finite()
    }
}
