//! Pooling and upsampling of awkward shapes on every instruction set, against naive f64 loops.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod batches;

use ae_kernels::panel::{Panels, PanelsMut, panel_len};
use ae_kernels::pool::{PoolShape, Pooling};
use ae_kernels::{Element, Isa};
use ae_testing::naive;
use ae_testing::random::SplitMix64;
use ae_testing::tolerance::{Float, Tolerance, assert_close, dot_bound};
use batches::{batch, nan};

/// `[height, width, channels, size]`
const SHAPES: [[usize; 4]; 9] = [
    [1, 1, 1, 1],
    [4, 6, 3, 2],
    [5, 7, 2, 2],
    [7, 7, 1, 3],
    [3, 11, 17, 3],
    [5, 5, 4, 5],
    [8, 5, 5, 4],
    [6, 4, 16, 1],
    [13, 3, 7, 2],
];
const ROWS: [usize; 6] = [0, 1, 7, 16, 17, 33];

struct Case {
    shape: [usize; 4],
    pool: PoolShape,
    rows: usize,
    /// `[rows, large]`, with few distinct values, so that the largest occurs several times.
    large: Vec<f64>,
    /// `[rows, small]`
    small: Vec<f64>,
}

impl Case {
    fn new(shape: [usize; 4], rows: usize) -> Case {
        let [height, width, channels, size] = shape;
        let pool = PoolShape::new(height, width, channels, size).unwrap();
        let mut random = SplitMix64::new((rows * 1_009 + height * 31 + width) as u64);
        let large = (0..rows * pool.large()).map(|_| random.below(4) as f64 - 2.5).collect();
        let small = naive::widen(&random.uniform_f32s(rows * pool.small(), -1.0, 1.0));
        Case { shape, pool, rows, large, small }
    }

    fn name(&self, what: &str, isa: Isa) -> String {
        format!("{what} {:?} of {} rows on {isa}", self.shape, self.rows)
    }

    /// For each value of the small image, the positions of its square in the large one, by rows. If
    /// `whole`, pixels left over at the edges belong to the nearest square.
    fn squares(&self, whole: bool) -> Vec<Vec<usize>> {
        let [height, width, channels, size] = self.shape;
        let (rows, columns) = (height / size, width / size);
        let mut squares = vec![Vec::new(); self.pool.small()];
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            if !whole && (y / size >= rows || x / size >= columns) {
                continue;
            }
            let pixel = (y / size).min(rows - 1) * columns + (x / size).min(columns - 1);
            for channel in 0..channels {
                squares[pixel * channels + channel].push((y * width + x) * channels + channel);
            }
        }
        squares
    }

    /// Applies `each` to every square of every row: `[rows, small]`.
    fn of_squares(&self, whole: bool, each: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        let squares = self.squares(whole);
        let rows = (0..self.rows).map(|row| &self.large[row * self.pool.large()..]);
        let of_row = |row: &[f64]| -> Vec<f64> {
            squares.iter().map(|square| each(&square.iter().map(|at| row[*at]).collect::<Vec<_>>())).collect()
        };
        rows.flat_map(of_row).collect()
    }

    /// Writes the results of `each` to the values of every square of every row: `[rows, large]`, zero
    /// elsewhere.
    fn to_squares(&self, whole: bool, each: impl Fn(&[f64], f64) -> Vec<f64>) -> Vec<f64> {
        let (large, small) = (self.pool.large(), self.pool.small());
        let mut out = vec![0.0; self.rows * large];
        let squares = self.squares(whole);
        for row in 0..self.rows {
            let values = &self.large[row * large..];
            for (index, square) in squares.iter().enumerate() {
                let inside: Vec<f64> = square.iter().map(|at| values[*at]).collect();
                let given = each(&inside, self.small[row * small + index]);
                square.iter().zip(given).for_each(|(at, value)| out[row * large + at] = value);
            }
        }
        out
    }
}

/// Returns the panels of `features` features filled by `write`, as a table.
fn made<T: Element>(rows: usize, features: usize, write: impl FnOnce(PanelsMut<'_, T>)) -> Vec<T> {
    let mut buffer = nan::<T>(panel_len::<T>(features, rows));
    write(PanelsMut::new(buffer.as_mut_slice(), features, rows));
    let panels = Panels::new(buffer.as_slice(), features, rows);
    (0..rows).flat_map(|row| (0..features).map(move |feature| panels.get(feature, row))).collect()
}

fn check<T: Element + Float>() {
    for isa in Isa::available() {
        for case in SHAPES.into_iter().flat_map(|shape| ROWS.map(|rows| Case::new(shape, rows))) {
            let Case { pool, rows, .. } = case;
            let (large, small) = (pool.large(), pool.small());
            let of_large = batch::<T>(&case.large, rows, large);
            let of_small = batch::<T>(&case.small, rows, small);
            let x = || Panels::new(of_large.as_slice(), large, rows);
            let delta = || Panels::new(of_small.as_slice(), small, rows);
            let same = |what: &str, got: &[T], expected: &[f64]| {
                let expected: Vec<T> = expected.iter().map(|value| T::from_f64(*value)).collect();
                assert_eq!(got, expected, "{}", case.name(what, isa));
            };
            let close = |what: &str, got: &[T], expected: &[f64], terms: usize| {
                let bounds = vec![dot_bound::<T>(terms + 1, 2.5 * terms as f64); expected.len()];
                assert_close(&case.name(what, isa), got, expected, Tolerance::Each(&bounds));
            };
            let area = case.shape[3] * case.shape[3];
            let most = |square: &[f64]| square.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mean = |square: &[f64]| square.iter().sum::<f64>() / area as f64;

            let pooled = made::<T>(rows, small, |y| pool.down(isa, Pooling::Max, x(), y));
            same("max", &pooled, &case.of_squares(false, most));
            let wide: Vec<f64> = pooled.iter().map(|value| value.to_f64()).collect();
            let of_pooled = batch::<T>(&wide, rows, small);
            let y = || Panels::new(of_pooled.as_slice(), small, rows);
            let back =
                made::<T>(rows, large, |dx| pool.down_backward(isa, Pooling::Max, (x(), y()), delta(), dx));
            let to_first = |square: &[f64], delta: f64| {
                let first = square.iter().position(|value| *value == most(square));
                (0..square.len()).map(|at| if Some(at) == first { delta } else { 0.0 }).collect()
            };
            same("max back", &back, &case.to_squares(false, to_first));

            let pooled = made::<T>(rows, small, |y| pool.down(isa, Pooling::Mean, x(), y));
            close("mean", &pooled, &case.of_squares(false, mean), area);
            let back =
                made::<T>(rows, large, |dx| pool.down_backward(isa, Pooling::Mean, (x(), y()), delta(), dx));
            let equally = |square: &[f64], delta: f64| vec![delta / area as f64; square.len()];
            close("mean back", &back, &case.to_squares(false, equally), 1);

            let up = made::<T>(rows, large, |y| pool.up_sample(isa, delta(), y));
            same("up", &up, &case.to_squares(true, |square, value| vec![value; square.len()]));
            let back = made::<T>(rows, small, |dx| pool.up_sample_backward(isa, x(), dx));
            let most_terms = (2 * case.shape[3]).pow(2);
            close("up back", &back, &case.of_squares(true, |square| square.iter().sum()), most_terms);
        }
    }
}

#[test]
fn pooling_in_single_precision() {
    check::<f32>();
}

#[test]
fn pooling_in_double_precision() {
    check::<f64>();
}

#[test]
fn sizes() {
    assert_eq!(PoolShape::new(7, 9, 3, 2).unwrap().small_size(), [3, 4]);
    assert_eq!(PoolShape::new(7, 9, 3, 7).unwrap().small(), 3);
    for [height, width, channels, size] in [[7, 9, 3, 8], [0, 9, 3, 1], [7, 9, 0, 2], [7, 9, 3, 0]] {
        assert_eq!(PoolShape::new(height, width, channels, size), None);
    }
    assert_eq!(PoolShape::new(usize::MAX, 2, 1, 1), None);
}

#[test]
#[should_panic(expected = "down between images of 35 and 6 values: [36, 1] and [6, 1]")]
fn shapes_that_do_not_fit_are_named() {
    let (x, mut y) = (nan::<f32>(36 * 16), nan::<f32>(6 * 16));
    let pool = PoolShape::new(5, 7, 1, 2).unwrap();
    let y = PanelsMut::new(y.as_mut_slice(), 6, 1);
    pool.down(Isa::best(), Pooling::Max, Panels::new(x.as_slice(), 36, 1), y);
}
