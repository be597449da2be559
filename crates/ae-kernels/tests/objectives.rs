//! Losses, noise and the Gaussian latent, on every instruction set.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod packed;

use ae_kernels::latent::{self, Divergence};
use ae_kernels::loss::{self, Loss, RowLosses};
use ae_kernels::noise::{self, Noise, Stream};
use ae_kernels::panel::{self, Panels, PanelsMut, panel_len};
use ae_kernels::{Element, Isa};
use ae_testing::random::SplitMix64;
use ae_testing::tolerance::{Float, Tolerance, assert_close, dot_bound};
use packed::{draw, pack, unpack};

const SHAPES: [(usize, usize); 8] =
    [(0, 3), (1, 1), (5, 0), (7, 31), (16, 32), (17, 33), (33, 100), (64, 784)];

/// Returns the loss of a feature, its derivative with respect to each of the feature's outputs, and the
/// error of the reconstruction.
fn naive_loss(loss: Loss, o: &[f64], x: f64) -> (f64, Vec<f64>, f64) {
    let d = o[0] - x;
    match loss {
        Loss::SquaredError => (0.5 * d * d, vec![d], d),
        Loss::AbsoluteError => (d.abs(), vec![if d == 0.0 { 0.0 } else { d.signum() }], d),
        Loss::Huber { delta } if d.abs() > delta => {
            (delta * (d.abs() - 0.5 * delta), vec![delta * d.signum()], d)
        }
        Loss::Huber { .. } => (0.5 * d * d, vec![d], d),
        Loss::BinaryCrossEntropy => {
            let p = 1.0 / (1.0 + (-o[0]).exp());
            let within = x.clamp(0.0, 1.0);
            (-within * p.ln() - (1.0 - within) * (1.0 - p).ln(), vec![p - within], p - x)
        }
        Loss::SigmoidSquaredError => {
            let p = 1.0 / (1.0 + (-o[0]).exp());
            (0.5 * (p - x) * (p - x), vec![(p - x) * p * (1.0 - p)], p - x)
        }
        Loss::GaussianNll => {
            let v = o[1].clamp(-30.0, 20.0);
            let inside = if v == o[1] { 1.0 } else { 0.0 };
            let excess = d * d * (-v).exp();
            let value = 0.5 * ((2.0 * std::f64::consts::PI).ln() + v + excess);
            (value, vec![d * (-v).exp(), inside * 0.5 * (1.0 - excess)], d)
        }
        _ => panic!("{loss:?} has no reference"),
    }
}

fn check_losses<T: Element + Float>() {
    let all = [
        Loss::SquaredError,
        Loss::AbsoluteError,
        Loss::Huber { delta: 0.7 },
        Loss::BinaryCrossEntropy,
        Loss::SigmoidSquaredError,
        Loss::GaussianNll,
    ];
    for (loss, weighted) in all.into_iter().flat_map(|loss| [(loss, false), (loss, true)]) {
        for isa in Isa::available() {
            for (rows, features) in SHAPES {
                let outputs = loss.outputs(features);
                let mut x = draw::<T>(rows * features, 0.0, 1.0, 1);
                let mut y = draw::<T>(rows * outputs, -2.0, 2.0, 2);
                let weights = draw::<T>(features, 0.1, 3.0, 3);
                // Exact hits, values at the far ends, and missing targets.
                for i in (0..x.len()).step_by(11) {
                    x[i] = y[i];
                }
                for i in (3..x.len()).step_by(7) {
                    x[i] = T::from_f64(f64::NAN);
                }
                if loss == Loss::GaussianNll && outputs > 0 && rows > 0 {
                    y[features * rows] = T::from_f64(-31.0);
                    y[outputs * rows - 1] = T::from_f64(21.0);
                }
                let (target, mut output) = (pack(&x, features, rows), pack(&y, outputs, rows));
                let nan = T::from_f64(f64::NAN);
                let (mut losses, mut squares) = (vec![nan; rows], vec![nan; rows]);
                loss::evaluate(
                    isa,
                    loss,
                    PanelsMut::new(&mut output, outputs, rows),
                    Panels::new(&target, features, rows),
                    weighted.then_some(&weights),
                    RowLosses { losses: &mut losses, squares: &mut squares },
                );
                let deltas = unpack(&output, outputs, rows);
                let name = format!("{loss:?}, {rows} rows of {features} on {isa}");
                let mut expected = vec![0.0; outputs * rows];
                for r in 0..rows {
                    let (mut value, mut square, mut size) = (0.0, 0.0, 0.0);
                    for f in 0..features {
                        let target = x[f * rows + r].to_f64();
                        if target.is_nan() {
                            continue;
                        }
                        let o: Vec<f64> =
                            (f..outputs).step_by(features).map(|j| y[j * rows + r].to_f64()).collect();
                        let weight = if weighted { weights[f].to_f64() } else { 1.0 };
                        let (one, slopes, error) = naive_loss(loss, &o, target);
                        value += weight * one;
                        size += weight * one.abs() + 1.0;
                        square += error * error;
                        for (k, slope) in slopes.iter().enumerate() {
                            expected[(k * features + f) * rows + r] = weight * slope;
                        }
                    }
                    let bound = dot_bound::<T>(44 + features / 32, size);
                    let error = (losses[r].to_f64() - value).abs();
                    assert!(error <= bound, "{name}, row {r}: {:?} for {value}", losses[r]);
                    let error = (squares[r].to_f64() - square).abs();
                    assert!(error <= bound, "{name}, row {r}: {:?} for {square}", squares[r]);
                }
                let bounds: Vec<f64> = expected.iter().map(|d| 16.0 * T::EPSILON * (d.abs() + 1.0)).collect();
                assert_close(&name, &deltas, &expected, Tolerance::Each(&bounds));
            }
        }
    }
}

#[test]
fn losses_and_their_deltas() {
    check_losses::<f32>();
    check_losses::<f64>();
}

#[test]
fn absolute_values_cost_their_weight() {
    for isa in Isa::available() {
        for (rows, features) in SHAPES {
            let mut a = draw::<f64>(rows * features, -1.0, 1.0, 4);
            a.iter_mut().step_by(5).for_each(|a| *a = 0.0);
            let d = draw::<f64>(rows * features, -1.0, 1.0, 5);
            let (values, delta) = (pack(&a, features, rows), pack(&d, features, rows));
            let (mut dx, mut losses) = (vec![0.0; values.len()], vec![1.0; rows]);
            loss::add_l1_penalty(
                isa,
                0.3,
                Panels::new(&values, features, rows),
                &delta,
                &mut dx,
                &mut losses,
            );
            let dx = unpack(&dx, features, rows);
            for r in 0..rows {
                let sum: f64 = (0..features).map(|f| a[f * rows + r].abs()).sum();
                assert!((losses[r] - 1.0 - 0.3 * sum).abs() < 1e-12 * (1.0 + sum), "{isa}");
            }
            for (i, dx) in dx.iter().enumerate() {
                let slope = if a[i] == 0.0 { 0.0 } else { 0.3 * a[i].signum() };
                assert!((dx - d[i] - slope).abs() < 1e-15, "{isa}");
            }
        }
    }
}

/// Returns the losses and squares of two rows of one feature, and what their outputs are overwritten
/// with.
fn of_two_rows(isa: Isa, loss: Loss, output: &[f32], target: [f32; 2]) -> ([f32; 2], [f32; 2], Vec<f32>) {
    let mut output = pack(output, loss.outputs(1), 2);
    let target = pack(&target, 1, 2);
    let (mut losses, mut squares) = ([0.0; 2], [0.0; 2]);
    let rows = RowLosses { losses: &mut losses, squares: &mut squares };
    let output_panels = PanelsMut::new(&mut output, loss.outputs(1), 2);
    loss::evaluate(isa, loss, output_panels, Panels::new(&target, 1, 2), None, rows);
    (losses, squares, output)
}

#[test]
fn an_output_that_is_not_a_number_is_not_hidden() {
    for isa in Isa::available() {
        for loss in [
            Loss::SquaredError,
            Loss::AbsoluteError,
            Loss::Huber { delta: 1.0 },
            Loss::BinaryCrossEntropy,
            Loss::SigmoidSquaredError,
        ] {
            let (losses, squares, output) = of_two_rows(isa, loss, &[f32::NAN, 1.0], [0.5; 2]);
            assert!(losses[0].is_nan() && squares[0].is_nan() && output[0].is_nan(), "{loss:?} on {isa}");
            assert!(losses[1].is_finite() && output[1].is_finite(), "{loss:?} on {isa}");
        }
    }
}

/// What remains of the error when a target is nearly reached keeps its precision, for a target of one as
/// for zero.
#[test]
fn cross_entropy_judges_ones_as_finely_as_zeros() {
    for isa in Isa::available() {
        for size in [3.0f32, 8.0, 12.0, 15.0, 20.0, 60.0] {
            let (losses, _, deltas) = of_two_rows(isa, Loss::BinaryCrossEntropy, &[size, -size], [1.0, 0.0]);
            let rest = (-f64::from(size)).exp();
            let (loss, delta) = (rest.ln_1p(), rest / (1.0 + rest));
            let deltas = unpack(&deltas, 1, 2);
            for (found, expected) in
                [(losses[0], loss), (losses[1], loss), (deltas[0], -delta), (deltas[1], delta)]
            {
                let error = (f64::from(found) - expected).abs();
                assert!(error <= 1e-6 * expected.abs(), "{isa}, {size}: {found:e} for {expected:e}");
            }
        }
    }
}

#[test]
fn an_infinite_target_is_not_taken_for_a_missing_one() {
    for (isa, x) in Isa::available().flat_map(|isa| [f32::INFINITY, f32::NEG_INFINITY].map(|x| (isa, x))) {
        for loss in [
            Loss::SquaredError,
            Loss::AbsoluteError,
            Loss::Huber { delta: 1.0 },
            Loss::BinaryCrossEntropy,
            Loss::SigmoidSquaredError,
            Loss::GaussianNll,
        ] {
            let (losses, squares, _) = of_two_rows(isa, loss, &vec![0.5; 2 * loss.outputs(1)], [x, 0.5]);
            let is_bounded = loss == Loss::BinaryCrossEntropy;
            assert!(losses[0].is_finite() == is_bounded, "{loss:?} of {x} on {isa}");
            assert!(!squares[0].is_finite(), "{loss:?} of {x} on {isa}");
            assert!(losses[1].is_finite() && squares[1].is_finite(), "{loss:?} on {isa}");
        }
    }
}

fn corrupted<T: Element>(
    isa: Isa,
    noise: Noise,
    stream: Stream,
    x: &[T],
    features: usize,
    rows: usize,
) -> Vec<T> {
    let src = pack(x, features, rows);
    let mut dst = vec![T::ONE; src.len()];
    noise::corrupt(
        isa,
        noise,
        stream,
        Panels::new(&src, features, rows),
        PanelsMut::new(&mut dst, features, rows),
    );
    unpack(&dst, features, rows)
}

#[test]
fn noise_is_what_it_says() {
    let (features, rows) = (97, 500);
    let n = (features * rows) as f64;
    let x = draw::<f64>(features * rows, 0.2, 0.8, 5);
    let stream = Stream { key: 11, first_row: 0, draw_index: 0 };
    let isa = Isa::best();

    let y = corrupted(isa, Noise::Gaussian { sigma: 0.5 }, stream, &x, features, rows);
    let d: Vec<f64> = y.iter().zip(&x).map(|(y, x)| (y - x) / 0.5).collect();
    let moment = |k: i32| d.iter().map(|d| d.powi(k)).sum::<f64>() / n;
    for (k, expected, spread) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0f64)] {
        let error = (moment(k) - expected).abs();
        assert!(error < 5.0 * (spread / n).sqrt(), "moment {k}: {}", moment(k));
    }
    // Neighbouring values are uncorrelated.
    for step in [1, rows, 4 * rows] {
        let pairs = d.iter().zip(&d[step..]).map(|(a, b)| a * b).sum::<f64>() / n;
        assert!(pairs.abs() < 5.0 / n.sqrt(), "cells {step} apart: {pairs}");
    }

    let y = corrupted(isa, Noise::Masking { fraction: 0.3 }, stream, &x, features, rows);
    let masked = y.iter().filter(|y| **y == 0.0).count() as f64 / n;
    assert!((masked - 0.3).abs() < 5.0 * (0.21 / n).sqrt(), "{masked}");
    assert!(y.iter().zip(&x).all(|(y, x)| *y == 0.0 || y == x));

    let y = corrupted(isa, Noise::SaltAndPepper { fraction: 0.4 }, stream, &x, features, rows);
    for extreme in [0.0, 1.0] {
        let fraction = y.iter().filter(|y| **y == extreme).count() as f64 / n;
        assert!((fraction - 0.2).abs() < 5.0 * (0.16 / n).sqrt(), "{extreme}: {fraction}");
    }

    let mut kept = vec![0.0; panel_len::<f64>(features, rows)];
    let ones = pack(&vec![1.0; features * rows], features, rows);
    let dst = PanelsMut::new(&mut kept, features, rows);
    noise::drop_out(isa, 0.2, stream, Panels::new(&ones, features, rows), dst);
    let kept = unpack(&kept, features, rows);
    let dropped = kept.iter().filter(|y| **y == 0.0).count() as f64 / n;
    assert!((dropped - 0.2).abs() < 5.0 * (0.16 / n).sqrt(), "{dropped}");
    assert!(kept.iter().all(|y| *y == 0.0 || *y == 1.25));

    // NaN stays NaN unless it is dropped: zeros in its place would hide that a network has diverged.
    let mut kept = vec![0.0; panel_len::<f64>(features, rows)];
    let nan = pack(&vec![f64::NAN; features * rows], features, rows);
    let dst = PanelsMut::new(&mut kept, features, rows);
    noise::drop_out(isa, 0.2, stream, Panels::new(&nan, features, rows), dst);
    let kept = unpack(&kept, features, rows);
    assert!(kept.iter().filter(|y| **y == 0.0).count() as f64 / n == dropped);
    assert!(kept.iter().all(|y| *y == 0.0 || y.is_nan()));
}

/// Swapped values come from other rows in the same feature, in about the expected number, and from
/// nearly all donors.
#[test]
fn swapped_values_stay_in_their_feature() {
    let (features, rows) = (7, 600);
    // The feature and the row can be read off each value.
    let table: Vec<f32> = (0..rows * features).map(|i| (i % features * 1000 + i / features) as f32).collect();
    let all: Vec<usize> = (0..rows).collect();
    let mut src = vec![0f32; panel_len::<f32>(features, rows)];
    panel::gather_rows(Isa::best(), &table, &all, None, PanelsMut::new(&mut src, features, rows));
    let mut dst = vec![0f32; src.len()];
    let donors = noise::Donors { table: &table, indices: &all[100..300], map: None };
    let stream = Stream { key: 5, first_row: 0, draw_index: 0 };
    let (from, to) = (Panels::new(&src, features, rows), PanelsMut::new(&mut dst, features, rows));
    noise::swap(0.25, stream, donors, from, to);
    let swapped = unpack(&dst, features, rows);
    let (mut changed, mut seen) = (0, vec![false; rows]);
    for (i, value) in swapped.iter().enumerate() {
        let (feature, row, donor) = (i / rows, i % rows, *value as usize % 1000);
        assert_eq!(*value as usize / 1000, feature);
        if donor != row {
            assert!((100..300).contains(&donor));
            changed += 1;
            seen[donor] = true;
        }
    }
    let fraction = f64::from(changed) / (features * rows) as f64;
    assert!((fraction - 0.25).abs() < 0.04, "{fraction}");
    assert!(seen.iter().filter(|seen| **seen).count() > 190);
}

/// Noise is the same on every instruction set, in either element type, and whichever rows are computed
/// together; another key gives other numbers.
#[test]
fn noise_depends_on_its_place_alone() {
    let (features, rows) = (9, 50);
    let x = draw::<f32>(features * rows, 0.25, 0.75, 6);
    let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    for noise in [Noise::Masking { fraction: 0.5 }, Noise::Gaussian { sigma: 1.0 }] {
        let stream = Stream { key: 3, first_row: 0, draw_index: 0 };
        let all = corrupted(Isa::best(), noise, stream, &x, features, rows);
        for isa in Isa::available() {
            assert_eq!(corrupted(isa, noise, stream, &x, features, rows), all, "{isa}");
            let of_wide = corrupted(isa, noise, stream, &wide, features, rows);
            assert!(of_wide.iter().zip(&all).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-6), "{isa}");
        }
        let other =
            corrupted(Isa::best(), noise, Stream { key: 4, first_row: 0, draw_index: 0 }, &x, features, rows);
        assert_ne!(other, all);
        // The last 18 rows on their own.
        let tail: Vec<f32> = x.chunks(rows).flat_map(|line| &line[32..]).copied().collect();
        let part = corrupted(
            Isa::best(),
            noise,
            Stream { key: 3, first_row: 32, draw_index: 0 },
            &tail,
            features,
            18,
        );
        let expected: Vec<f32> = all.chunks(rows).flat_map(|line| &line[32..]).copied().collect();
        assert_eq!(part, expected);
    }
}

/// A latent of `d` dimensions for a few rows, to be computed naively from the noise that the kernel
/// drew.
struct Case<T> {
    d: usize,
    rows: usize,
    samples: usize,
    h: Vec<T>,
    packed: Vec<T>,
    noise: Vec<T>,
    codes: Vec<T>,
}

impl<T: Element> Case<T> {
    fn new(isa: Isa, d: usize, rows: usize, samples: usize) -> Self {
        let mut h = draw::<T>(2 * d * rows, -1.5, 1.5, 8);
        if h.len() > 1 {
            // Beyond either bound of the log-variances.
            h[2 * d * rows - 1] = T::from_f64(25.0);
            h[d * rows] = T::from_f64(-40.0);
        }
        let packed = pack(&h, 2 * d, rows);
        let len = packed.len() / 2 * samples;
        let (mut noise, mut codes) = (vec![T::ZERO; len], vec![T::ZERO; len]);
        let stream = Stream { key: 77, first_row: 3, draw_index: 0 };
        latent::sample(isa, stream, samples, Panels::new(&packed, 2 * d, rows), &mut noise, &mut codes);
        Case { d, rows, samples, h, packed, noise, codes }
    }
    fn view(&self) -> Panels<'_, T> {
        Panels::new(&self.packed, 2 * self.d, self.rows)
    }
    /// Returns the index of dimension `j` of sample `s` of row `r`.
    fn at(&self, j: usize, r: usize, s: usize) -> usize {
        ((r / T::PANEL * self.samples + s) * self.d + j) * T::PANEL + r % T::PANEL
    }
    /// Returns the mean and the clamped log-variance of dimension `j` of row `r`, and 1 if it was within
    /// its bounds, else 0.
    fn posterior(&self, j: usize, r: usize) -> (f64, f64, f64) {
        let v = self.h[(self.d + j) * self.rows + r].to_f64();
        let clamped = v.clamp(-30.0, 20.0);
        (self.h[j * self.rows + r].to_f64(), clamped, if v == clamped { 1.0 } else { 0.0 })
    }
}

fn check_latent<T: Element + Float>() {
    for isa in Isa::available() {
        for (d, rows, samples) in [(1, 1, 1), (3, 16, 2), (5, 17, 3), (33, 33, 1), (2, 9, 7)] {
            let case = Case::<T>::new(isa, d, rows, samples);
            let name = format!("{d} dimensions, {rows} rows, {samples} samples on {isa}");
            let close = |what: &str, got: T, expected: f64| {
                let error = (got.to_f64() - expected).abs();
                assert!(
                    error <= 64.0 * T::EPSILON * (1.0 + expected.abs()),
                    "{name}, {what}: {got:?} for {expected}"
                );
            };
            let draws = case.noise.iter().map(|x| x.to_f64()).sum::<f64>() / case.noise.len().max(1) as f64;
            assert!(draws.abs() < 6.0 / (case.noise.len() as f64).sqrt(), "{name}: mean {draws}");

            let mut divergences = vec![T::ONE; rows];
            let unit = Divergence { weight: T::from_f64(2.0), free_nats: T::from_f64(0.4) };
            latent::add_divergence(isa, unit, case.view(), &mut divergences);
            let (mut dz, mut ratios) = (case.noise.clone(), vec![T::ZERO; case.codes.len() / d]);
            SplitMix64::new(5)
                .uniform_f64s(dz.len(), -1.0, 1.0)
                .iter()
                .zip(&mut dz)
                .for_each(|(x, dz)| *dz = T::from_f64(*x));
            latent::log_ratio(isa, samples, case.view(), &case.noise, &case.codes, &mut ratios);
            let weights = draw::<T>(ratios.len(), 0.0, 1.0, 6);
            let mut dh = vec![T::ZERO; case.packed.len()];
            let codes = [&case.noise[..], &case.codes[..]];
            let to = PanelsMut::new(&mut dh, 2 * d, rows);
            latent::backward_importance(isa, samples, case.view(), codes, &weights, &dz, to);
            let by_importance = unpack(&dh, 2 * d, rows);
            let one = case.noise.len() / samples;
            let divergence = Divergence { weight: T::from_f64(0.7), free_nats: T::from_f64(0.4) };
            if samples == 1 {
                let to = PanelsMut::new(&mut dh, 2 * d, rows);
                latent::backward(isa, divergence, case.view(), &case.noise[..one], &dz[..one], to);
            }
            let plain = unpack(&dh, 2 * d, rows);
            let mut scaled = dz.clone();
            latent::scale_columns(isa, d, &weights, &mut scaled);
            for r in 0..rows {
                let (mut nats, mut sizes) = (0.0, 0.0);
                for j in 0..d {
                    let (mean, v, inside) = case.posterior(j, r);
                    let one = 0.5 * (mean * mean + v.exp() - v - 1.0);
                    nats += one.max(0.4);
                    sizes += one.abs() + 3.0;
                    let (mut of_mean, mut of_noise) = (0.0, 0.0);
                    for s in 0..samples {
                        let at = case.at(j, r, s);
                        let (noise, z, dz) =
                            (case.noise[at].to_f64(), case.codes[at].to_f64(), dz[at].to_f64());
                        close("code", case.codes[at], mean + (0.5 * v).exp() * noise);
                        let weight = weights[at / (d * T::PANEL) * T::PANEL + r % T::PANEL].to_f64();
                        close("scaled", scaled[at], weight * dz);
                        of_mean += dz + weight * z;
                        of_noise += (dz + weight * z) * noise;
                        if samples == 1 {
                            let pull = if one > 0.4 { 0.7 } else { 0.0 };
                            close("d mean", plain[j * rows + r], dz + pull * mean);
                            let expected =
                                inside * (0.5 * (0.5 * v).exp() * noise * dz + 0.5 * pull * (v.exp() - 1.0));
                            close("d variance", plain[(d + j) * rows + r], expected);
                        }
                    }
                    close("d mean of the bound", by_importance[j * rows + r], of_mean);
                    let expected = inside * (0.5 * (0.5 * v).exp() * of_noise - 0.5);
                    let error = (by_importance[(d + j) * rows + r].to_f64() - expected).abs();
                    let size = samples as f64 * (0.5 * v).exp() * (1.0 + of_mean.abs());
                    assert!(error <= 256.0 * T::EPSILON * (1.0 + size), "{name}: {error}");
                }
                let nats = 1.0 + 2.0 * nats;
                let error = (divergences[r].to_f64() - nats).abs();
                assert!(
                    error <= 64.0 * T::EPSILON * sizes,
                    "{name}, row {r}: {:?} for {nats}",
                    divergences[r]
                );
                for s in 0..samples {
                    let (mut ratio, mut size) = (0.0, 1.0);
                    for j in 0..d {
                        let at = case.at(j, r, s);
                        let (noise, z) = (case.noise[at].to_f64(), case.codes[at].to_f64());
                        let (_, v, _) = case.posterior(j, r);
                        ratio += 0.5 * (noise * noise + v - z * z);
                        size += noise * noise + v.abs() + z * z;
                    }
                    let got = ratios[(r / T::PANEL * samples + s) * T::PANEL + r % T::PANEL].to_f64();
                    assert!((got - ratio).abs() <= 64.0 * T::EPSILON * size, "{name}: {got} for {ratio}");
                }
            }
        }
    }
}

#[test]
fn gaussian_latents() {
    check_latent::<f32>();
    check_latent::<f64>();
}

/// The prior pulls at means however close they are: the divergence is rounded to nothing there, but its
/// derivative is not.
#[test]
fn the_prior_pulls_at_means_beside_it() {
    for isa in Isa::available() {
        let means: Vec<f32> = (1..=32).map(|i| i as f32 * 1e-5).collect();
        let (rows, h) =
            (means.len(), pack(&[means.clone(), vec![0.0; means.len()]].concat(), 2, means.len()));
        let zeros = vec![0.0; h.len() / 2];
        let mut dh = vec![0.0; h.len()];
        let divergence = Divergence { weight: 1.0, free_nats: 0.0 };
        let to = PanelsMut::new(&mut dh, 2, rows);
        latent::backward(isa, divergence, Panels::new(&h, 2, rows), &zeros, &zeros, to);
        assert_eq!(unpack(&dh, 2, rows)[..rows], means, "{isa}");
    }
}
