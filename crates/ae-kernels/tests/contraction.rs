//! The contractive penalty against finite differences and naive `f64` loops, on every instruction set.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod packed;

use ae_kernels::activation::Activation;
use ae_kernels::contraction;
use ae_kernels::panel::{Panels, PanelsMut, panel_count};
use ae_kernels::{Element, Isa};
use ae_testing::tolerance::{Float, Tolerance, assert_close, dot_bound};
use packed::{draw, pack, unpack};

const SHAPES: [(usize, usize); 9] =
    [(0, 3), (1, 1), (3, 0), (2, 7), (7, 8), (16, 16), (17, 33), (33, 17), (65, 131)];

/// The activations whose slopes follow from their outputs.
fn activations() -> impl Iterator<Item = Activation> {
    Activation::ALL.into_iter().filter(|activation| !activation.keeps_slope())
}

/// `act` at `z`.
fn output(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Linear => z,
        Activation::Relu => z.max(0.0),
        Activation::LeakyRelu => z.max(0.01 * z),
        Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
        Activation::Tanh => z.tanh(),
        Activation::Elu => {
            if z > 0.0 {
                z
            } else {
                z.exp_m1()
            }
        }
        Activation::Softplus => z.exp().ln_1p(),
        _ => panic!("{activation:?} has no reference"),
    }
}

/// Computes `act'(z)` by fourth-order finite differences.
fn slope(activation: Activation, z: f64) -> f64 {
    let h = 1e-3;
    let f = |z: f64| output(activation, z);
    (8.0 * (f(z + h) - f(z - h)) - (f(z + 2.0 * h) - f(z - 2.0 * h))) / (12.0 * h)
}

/// Returns the penalty and the delta of a single value with `weight` and `n_j` equal to 1: `s²` and
/// `2 s s'`.
fn of_one(isa: Isa, activation: Activation, z: f64) -> (f64, f64) {
    let y = pack(&[output(activation, z)], 1, 1);
    let (mut delta, mut losses) = (vec![0.0; y.len()], [0.0]);
    contraction::penalise(isa, activation, 1.0, &[1.0], Panels::new(&y, 1, 1), &mut delta, &mut losses);
    (losses[0], delta[0])
}

/// The slopes match the activation, and the second derivatives match the slopes.
#[test]
fn second_derivatives_agree_with_differences() {
    for isa in Isa::available() {
        for activation in activations() {
            for index in -40..=40 {
                // Never at a kink.
                let z = f64::from(index) * 0.137 + 0.011;
                let (cost, delta) = of_one(isa, activation, z);
                let expected = slope(activation, z).powi(2);
                assert!(
                    (cost - expected).abs() <= 1e-9,
                    "{activation:?} at {z} on {isa}: {cost} for {expected}"
                );
                let h = 1e-3;
                let f = |z: f64| of_one(isa, activation, z).0;
                let expected = (8.0 * (f(z + h) - f(z - h)) - (f(z + 2.0 * h) - f(z - 2.0 * h))) / (12.0 * h);
                assert!(
                    (delta - expected).abs() <= 1e-9,
                    "{activation:?} at {z} on {isa}: {delta} for {expected}"
                );
            }
        }
    }
}

fn check<T: Element + Float>() {
    for (index, (features, rows)) in SHAPES.into_iter().enumerate() {
        let inputs = [1, 0, 5, 16, 37][index % 5];
        for isa in Isa::available() {
            for activation in activations() {
                let what = format!("{activation:?}, [{inputs}, {features}], {rows} rows on {isa}");
                // Away from kinks, where there is no slope to compare with.
                let away = |z: &f64| if z.abs() < 0.01 { z + 0.02 } else { *z };
                let z: Vec<f64> = draw::<f64>(features * rows, -2.0, 2.0, 5).iter().map(away).collect();
                let y: Vec<T> = z.iter().map(|z| T::from_f64(output(activation, *z))).collect();
                let before = draw::<T>(features * rows, -1.0, 1.0, 6);
                let weights = draw::<T>((inputs + 1) * features, -1.0, 1.0, 7);
                let packed = pack(&weights, inputs + 1, features);
                let weight = T::from_f64(0.3);

                let mut squares = vec![T::from_f64(f64::NAN); panel_count::<T>(features) * T::PANEL];
                contraction::column_squares(isa, Panels::new(&packed, inputs + 1, features), &mut squares);
                let column = |j: usize| (0..inputs).map(move |i| i * features + j);
                let norms: Vec<f64> =
                    (0..features).map(|j| column(j).map(|at| weights[at].to_f64().powi(2)).sum()).collect();
                let bound = dot_bound::<T>(inputs, inputs as f64);
                assert_close(&what, &squares[..features], &norms, Tolerance::Absolute(bound));

                // Fewer losses than rows: the other rows have none.
                let counted = rows - rows / 3;
                let (mut delta, mut losses) =
                    (pack(&before, features, rows), draw::<T>(counted, 0.0, 1.0, 8));
                let start = losses.clone();
                let packed_y = pack(&y, features, rows);
                let shape = Panels::new(&packed_y, features, rows);
                contraction::penalise(isa, activation, weight, &squares, shape, &mut delta, &mut losses);
                let delta = unpack(&delta, features, rows);
                let slopes: Vec<f64> = z.iter().map(|z| slope(activation, *z)).collect();
                for row in 0..counted {
                    let cost: f64 = (0..features).map(|j| slopes[j * rows + row].powi(2) * norms[j]).sum();
                    let expected = start[row].to_f64() + weight.to_f64() * cost;
                    let error = (losses[row].to_f64() - expected).abs();
                    let bound = dot_bound::<T>(40 + features + inputs, 1.0 + cost) + 1e-8;
                    assert!(error <= bound, "{what}, row {row}: {:?} for {expected}", losses[row]);
                }
                for (at, delta) in delta.iter().enumerate() {
                    let (h, j) = (1e-4, at / rows);
                    let f = |z: f64| slope(activation, z).powi(2);
                    let curve = (f(z[at] + h) - f(z[at] - h)) / (2.0 * h);
                    let expected = before[at].to_f64() + weight.to_f64() * norms[j] * curve;
                    let bound = dot_bound::<T>(40 + inputs, 1.0 + norms[j]) + 1e-6 * (1.0 + norms[j]);
                    let error = (delta.to_f64() - expected).abs();
                    assert!(error <= bound, "{what}, {at}: {delta:?} for {expected}");
                }

                let mut sums = vec![T::ZERO; features * T::PANEL];
                contraction::add_slopes(isa, activation, shape, counted, &mut sums);
                let g = draw::<T>((inputs + 1) * features, -1.0, 1.0, 9);
                let mut gradients = pack(&g, inputs + 1, features);
                let panels = Panels::new(&packed, inputs + 1, features);
                let to = PanelsMut::new(&mut gradients, inputs + 1, features);
                contraction::add_gradient(isa, weight, &sums, panels, to);
                let gradients = unpack(&gradients, inputs + 1, features);
                for (at, got) in gradients.iter().enumerate() {
                    let (i, j) = (at / features, at % features);
                    let sum: f64 = slopes[j * rows..][..counted].iter().map(|s| s * s).sum();
                    let own = if i < inputs { weight.to_f64() * sum * weights[at].to_f64() } else { 0.0 };
                    let expected = g[at].to_f64() + own;
                    let bound = dot_bound::<T>(40 + rows, 1.0 + sum) + 1e-8 * (1.0 + sum);
                    let error = (got.to_f64() - expected).abs();
                    assert!(error <= bound, "{what}, gradient {at}: {got:?} for {expected}");
                }
            }
        }
    }
}

#[test]
fn penalised_like_naive_loops() {
    check::<f64>();
    check::<f32>();
}

/// A batch processed in parts has the bits of one processed at once.
#[test]
fn parts_of_a_batch_change_nothing() {
    let (features, rows) = (5, 16 * 4 + 3);
    let y = draw::<f32>(features * rows, 0.0, 1.0, 3);
    for isa in Isa::available() {
        let sums = |cuts: &[usize]| {
            let mut sums = vec![0.0f32; features * 16];
            for part in cuts.windows(2).map(|pair| pair[0]..pair[1]) {
                let rows_of = part.len();
                let values: Vec<f32> =
                    (0..features).flat_map(|f| y[f * rows..][part.clone()].to_vec()).collect();
                let packed = pack(&values, features, rows_of);
                let shape = Panels::new(&packed, features, rows_of);
                contraction::add_slopes(isa, Activation::Sigmoid, shape, rows_of, &mut sums);
            }
            sums
        };
        assert_eq!(sums(&[0, rows]), sums(&[0, 16, 48, rows]), "{isa}");
    }
}
