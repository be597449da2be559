//! What works on the values of a single row next to each other gives the bits of what works on panels.

#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

mod packed;

use ae_kernels::activation::Activation;
use ae_kernels::gemm::{self, Blocking};
use ae_kernels::loss::{self, Loss, RowLosses};
use ae_kernels::panel::{self, Affine, Panels, PanelsMut, panel_count, panel_len};
use ae_kernels::{Element, Isa};
use packed::{draw, pack, unpack};

/// The bits of values, exact in `f64`.
fn bits<T: Element>(values: &[T]) -> Vec<u64> {
    values.iter().map(|x| x.to_f64().to_bits()).collect()
}

fn check_forward<T: Element>(isa: Isa, inputs: usize, outputs: usize, activation: Activation) {
    let weights = pack::<T>(&draw((inputs + 1) * outputs, -1.0, 1.0, 1), inputs + 1, outputs);
    let weights = Panels::new(&weights, inputs + 1, outputs);
    let x: Vec<T> = draw(inputs, -1.0, 1.0, 2);
    // The first of several equal rows.
    let of_rows = |rows: usize| -> Vec<T> {
        let x: Vec<T> = x.iter().flat_map(|x| std::iter::repeat_n(*x, rows)).collect();
        let mut y = vec![T::from_f64(f64::NAN); panel_len::<T>(outputs, rows)];
        gemm::forward(
            isa,
            Blocking::default(),
            weights,
            Panels::new(&pack(&x, inputs, rows), inputs, rows),
            PanelsMut::new(&mut y, outputs, rows),
            activation,
        );
        unpack(&y, outputs, rows).into_iter().step_by(rows).collect()
    };
    let mut y = vec![T::from_f64(f64::NAN); panel_count::<T>(outputs) * T::PANEL];
    gemm::forward_row(isa, weights, &x, &mut y, activation);
    let name = format!("{inputs} to {outputs}, {activation:?} on {isa}");
    assert_eq!(bits(&y[..outputs]), bits(&of_rows(1)), "{name}");
    // Five rows are not few.
    assert_eq!(bits(&y[..outputs]), bits(&of_rows(5)), "{name}, from five rows");
    assert!(outputs == 0 || inputs == 0 || y[..outputs].iter().any(|y| *y != T::ZERO), "{name}");
}

/// All numbers of panels that are worked on side by side, also all after one another; and more inputs than
/// a row in panels gathers at a time.
#[test]
fn products_have_the_bits_of_panels() {
    for isa in Isa::available() {
        for outputs in [0, 1, 7, 8, 9, 16, 17, 31, 33, 64, 100, 113, 128, 129, 240, 256, 305] {
            for inputs in [0, 1, 13, 40] {
                check_forward::<f32>(isa, inputs, outputs, Activation::Relu);
                check_forward::<f64>(isa, inputs, outputs, Activation::Tanh);
            }
        }
        for activation in Activation::ALL {
            check_forward::<f32>(isa, 1030, 23, activation);
            check_forward::<f64>(isa, 1030, 40, activation);
        }
    }
}

fn check_scaling<T: Element>(isa: Isa, features: usize, mapped: bool) {
    let table: Vec<f32> = draw::<f32>(features, -1.0, 1.0, 3);
    let (factor, shift) = (draw::<T>(features, -1.0, 1.0, 4), draw::<T>(features, -1.0, 1.0, 5));
    let map = mapped.then_some(Affine { factor: &factor, shift: &shift });
    let mut panels = vec![T::ZERO; panel_len::<T>(features, 1)];
    panel::gather_rows(isa, &table, &[0], map, PanelsMut::new(&mut panels, features, 1));
    let mut row = vec![T::ONE; features];
    panel::scale_row(isa, &table, map, &mut row);
    assert_eq!(bits(&row), bits(&unpack(&panels, features, 1)), "{features} features in on {isa}");

    let (mut expected, mut found) = (vec![0.0; features], vec![1.0; features]);
    panel::scatter_rows(isa, Panels::new(&panels, features, 1), map, &mut expected);
    panel::unscale_row(isa, &row, map, &mut found);
    assert_eq!(bits(&found), bits(&expected), "{features} features out on {isa}");
}

#[test]
fn scaled_rows_have_the_bits_of_panels() {
    for isa in Isa::available() {
        for features in [0, 1, 15, 16, 17, 100] {
            for mapped in [false, true] {
                check_scaling::<f32>(isa, features, mapped);
                check_scaling::<f64>(isa, features, mapped);
            }
        }
    }
}

fn check_error<T: Element>(isa: Isa, features: usize, missing: &[usize]) {
    let (output, mut target): (Vec<T>, Vec<T>) = (draw(features, -1.0, 1.0, 6), draw(features, -1.0, 1.0, 7));
    for at in missing.iter().filter(|at| **at < features) {
        target[*at] = T::from_f64(f64::NAN);
    }
    let (mut losses, mut squares) = ([T::ZERO], [T::ZERO]);
    loss::evaluate(
        isa,
        Loss::SquaredError,
        PanelsMut::new(&mut pack(&output, features, 1), features, 1),
        Panels::new(&pack(&target, features, 1), features, 1),
        None,
        RowLosses { losses: &mut losses, squares: &mut squares },
    );
    let found = loss::squared_error(isa, &output, &target);
    assert_eq!(bits(&[found]), bits(&squares), "{features} features, {missing:?} missing, on {isa}");
    let naive: f64 = output
        .iter()
        .zip(&target)
        .map(|(o, t)| (o.to_f64() - t.to_f64()).powi(2))
        .filter(|x| !x.is_nan())
        .sum();
    assert!((found.to_f64() - naive).abs() <= 1e-5 * naive, "{found:?} for {naive}");
}

#[test]
fn squared_errors_have_the_bits_of_panels() {
    for isa in Isa::available() {
        for features in [0, 1, 31, 32, 33, 500] {
            for missing in [&[][..], &[0, 40], &[0, 1, 31, 32]] {
                check_error::<f32>(isa, features, missing);
                check_error::<f64>(isa, features, missing);
            }
        }
    }
}
