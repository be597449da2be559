//! Layer normalisation against naive `f64` loops, on every instruction set.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod packed;

use ae_kernels::norm::{self, EPSILON};
use ae_kernels::panel::{self, Panels, PanelsMut};
use ae_kernels::{Element, Isa};
use ae_testing::shapes;
use ae_testing::tolerance::{Float, Tolerance, assert_close, dot_bound};
use packed::{draw, pack, unpack};

fn widen<T: Element>(values: &[T]) -> Vec<f64> {
    values.iter().map(|x| x.to_f64()).collect()
}

/// Returns the normalised column and its scale.
fn naive(column: &[f64]) -> (Vec<f64>, f64) {
    let count = column.len().max(1) as f64;
    let mean = column.iter().sum::<f64>() / count;
    let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (variance + EPSILON).sqrt();
    (column.iter().map(|x| (x - mean) * scale).collect(), scale)
}

/// Computes the delta of a column through every entry of the Jacobian.
fn naive_backward(column: &[f64], dy: &[f64]) -> Vec<f64> {
    let (count, (y, scale)) = (column.len() as f64, naive(column));
    let derivative =
        |j: usize, i: usize| scale * (f64::from(u8::from(i == j)) - 1.0 / count - y[i] * y[j] / count);
    (0..column.len()).map(|i| dy.iter().enumerate().map(|(j, d)| d * derivative(j, i)).sum()).collect()
}

/// Extracts column `row` of a row-major `[features, rows]` matrix.
fn column(values: &[f64], row: usize, rows: usize) -> Vec<f64> {
    values.iter().skip(row).step_by(rows).copied().collect()
}

fn check<T: Element + Float>(low: f64, high: f64) {
    let sizes = [0, 1, 2, 3, 4, 5, 7, 16, 17, 31, 65, 131];
    for (index, features) in sizes.into_iter().enumerate() {
        for rows in [0, 1, 7, 8, 9, shapes::SIZES[index + 10]] {
            let x = draw::<T>(features * rows, low, high, 1 + features as u64);
            let dy = draw::<T>(features * rows, -1.0, 1.0, 2 + features as u64);
            let (wide_x, wide_dy) = (widen(&x), widen(&dy));
            let (packed, packed_dy) = (pack(&x, features, rows), pack(&dy, features, rows));
            let panels = panel::panel_count::<T>(rows);
            let mut results: Vec<(bool, Vec<T>, Vec<T>)> = Vec::new();
            for isa in Isa::available() {
                let what = format!("{features} features of {rows} rows in [{low}, {high}] on {isa}");
                let nan = T::from_f64(f64::NAN);
                let (mut y, mut dx) = (vec![nan; packed.len()], vec![nan; packed.len()]);
                let mut scales = vec![nan; panels * T::PANEL];
                let shape = |data| Panels::new(data, features, rows);
                norm::forward(isa, shape(&packed), PanelsMut::new(&mut y, features, rows), Some(&mut scales));
                let to = PanelsMut::new(&mut dx, features, rows);
                norm::backward(isa, shape(&y), &scales, shape(&packed_dy), to);
                let mut alone = vec![nan; packed.len()];
                norm::forward(isa, shape(&packed), PanelsMut::new(&mut alone, features, rows), None);
                assert!(alone == y, "{what}: without scales");

                let (y, dx) = (unpack(&y, features, rows), unpack(&dx, features, rows));
                for row in 0..rows {
                    let one = column(&wide_x, row, rows);
                    let (expected, scale) = naive(&one);
                    // Rounding errors of the mean and of the deviations, amplified by the scale.
                    let size = one.iter().map(|x| x.abs()).fold(1e-3, f64::max);
                    let bound = dot_bound::<T>(8 + features, 4.0 * size * scale);
                    let got = column(&widen(&y), row, rows);
                    assert_close(&what, &got, &expected, Tolerance::Absolute(bound));
                    let error = (scales[row].to_f64() - scale).abs();
                    assert!(error <= bound * scale.max(1.0), "{what}: scale {:?} for {scale}", scales[row]);
                    let expected = naive_backward(&one, &column(&wide_dy, row, rows));
                    let bound = bound * scale * (features as f64).sqrt().max(4.0);
                    let got = column(&widen(&dx), row, rows);
                    assert_close(&what, &got, &expected, Tolerance::Absolute(bound));
                }
                results.push((isa.fuses(), y, dx));
            }
            let fused: Vec<_> = results.iter().filter(|(fuses, ..)| *fuses).collect();
            assert!(fused.windows(2).all(|pair| pair[0] == pair[1]), "instruction sets that fuse differ");
        }
    }
}

#[test]
fn normalised_like_naive_loops() {
    check::<f64>(-2.0, 3.0);
    check::<f32>(-2.0, 3.0);
    // Values that are large compared with their spread, and values with hardly any spread.
    check::<f64>(99.0, 100.0);
    check::<f32>(9.0, 10.0);
    check::<f64>(-1e-4, 1e-4);
    check::<f32>(-1e-4, 1e-4);
}

/// Features that are all equal become zeros and produce nothing that is not finite.
#[test]
fn equal_features_become_zeros() {
    for isa in Isa::available() {
        let (features, rows) = (5, 3);
        let x = pack(&[0.375f32; 15], features, rows);
        let (mut y, mut scales) = (vec![f32::NAN; x.len()], vec![f32::NAN; 16]);
        norm::forward(
            isa,
            Panels::new(&x, features, rows),
            PanelsMut::new(&mut y, features, rows),
            Some(&mut scales),
        );
        assert!(unpack(&y, features, rows).iter().all(|y| *y == 0.0), "{isa}: {y:?}");
        assert!(scales[..rows].iter().all(|r| (r * 1e-5f32.sqrt() - 1.0).abs() < 1e-6), "{isa}: {scales:?}");
    }
}

/// Deviations whose squares overflow must not become zeros.
#[test]
fn features_that_are_too_large_are_no_numbers() {
    for isa in Isa::available() {
        let (features, rows) = (4, 2);
        let x = pack(&[1e20f32, 1.0, -1e20, 2.0, 1e20, 3.0, -1e20, 4.0], features, rows);
        let mut y = vec![0.0; x.len()];
        norm::forward(isa, Panels::new(&x, features, rows), PanelsMut::new(&mut y, features, rows), None);
        let y = unpack(&y, features, rows);
        assert!(y.iter().step_by(2).all(|y| y.is_nan()), "{isa}: {y:?}");
        assert!(y.iter().skip(1).step_by(2).all(|y| y.is_finite()), "{isa}: {y:?}");
    }
}

/// Neighbouring rows change no bit of a row.
#[test]
fn neighbours_change_nothing() {
    let (features, rows) = (37, 21);
    let x = draw::<f32>(features * rows, -1.0, 1.0, 9);
    for isa in Isa::available() {
        let normalised = |x: &[f32], rows: usize| {
            let packed = pack(x, features, rows);
            let mut y = vec![0.0; packed.len()];
            let to = PanelsMut::new(&mut y, features, rows);
            norm::forward(isa, Panels::new(&packed, features, rows), to, None);
            unpack(&y, features, rows)
        };
        let all = normalised(&x, rows);
        for row in 0..rows {
            let one: Vec<f32> = x.iter().skip(row).step_by(rows).copied().collect();
            let expected: Vec<f32> = all.iter().skip(row).step_by(rows).copied().collect();
            assert!(normalised(&one, 1) == expected, "row {row} on {isa}");
        }
    }
}
