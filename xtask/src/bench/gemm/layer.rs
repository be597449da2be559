//! A dense layer and its three products, verified before they are timed.

use std::ops::Range;

use ae_kernels::activation::Activation;
use ae_kernels::gemm::{
    BatchPanels, Blocking, Round, WeightRange, backward_input, forward, panels_per_tile, weight_gradient,
};
use ae_kernels::panel::{self, Panels, PanelsMut, panel_len};
use ae_kernels::par::{Crew, Places, Split};
use ae_kernels::update::Rule;
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};
use ae_testing::naive;
use ae_testing::random::SplitMix64;
use ae_testing::tolerance::{Float, dot_bound};

use super::{Product, Shape};
use crate::failure::Failure;

/// Tasks per thread, as in a training step whose products are shared.
const TASKS_PER_THREAD: usize = 2;
/// The most panels of outputs per task of the weight gradient: those that share inputs in L1.
const GRADIENT_PANELS: usize = 4;
/// Number of elements of each result that are compared with the reference.
const SAMPLE: usize = 64;

/// A layer with random operands, both in panels and row-major.
pub(super) struct Layer<T> {
    isa: Isa,
    pub(super) shape: Shape,
    /// `[m, k]`, `[k, n]` and `[m, n]`, row-major.
    pub(super) x: Vec<T>,
    pub(super) w: Vec<T>,
    pub(super) delta: Vec<T>,
    /// As in a training step, a block for each batch panel: of `x` and `delta` (`[features, m]`), and of
    /// the results `y` and `dx`.
    blocks: AlignedBuf<T>,
    block_len: usize,
    /// Where in a block `x`, `delta`, `y` and `dx` are.
    places: [Range<usize>; 4],
    /// `[k + 1, n]`, with a bias of zero.
    weights: AlignedBuf<T>,
    transposed: AlignedBuf<T>,
    /// The gradient, `[k + 1, n]`.
    dw: AlignedBuf<T>,
}

impl<T: Element + Float> Layer<T> {
    pub(super) fn random(isa: Isa, shape: Shape) -> Self {
        let Shape { m, n, k } = shape;
        let mut random = SplitMix64::new(0);
        let mut values =
            |len| -> Vec<T> { random.uniform_f32s(len, -1.0, 1.0).into_iter().map(T::from_f32).collect() };
        let (x, w, delta) = (values(m * k), values(k * n), values(m * n));
        let packed = |values: &[T], rows, cols| {
            let mut buf = AlignedBuf::zeroed(panel_len::<T>(rows, cols));
            panel::pack(values, PanelsMut::new(buf.as_mut_slice(), rows, cols));
            buf
        };
        let with_bias = [w.as_slice(), &vec![T::ZERO; n]].concat();
        let (x_panels, delta_panels) =
            (packed(&transposed_rows(&x, m, k), k, m), packed(&transposed_rows(&delta, m, n), n, m));
        let mut transposed = AlignedBuf::zeroed(panel::transposed_len::<T>(n, m));
        panel::transpose_deltas(isa, Panels::new(delta_panels.as_slice(), n, m), transposed.as_mut_slice());
        let mut end = 0;
        let places = [k, n, n, k].map(|lines| {
            end += lines * T::PANEL;
            end - lines * T::PANEL..end
        });
        // The same lines of several blocks must not fall into the same sets of a cache.
        let block_len = end.next_multiple_of(64 * T::PANEL) + 17 * T::PANEL;
        let mut blocks = AlignedBuf::zeroed(panel::panel_count::<T>(m) * block_len);
        for (panel, block) in blocks.as_mut_slice().chunks_exact_mut(block_len).enumerate() {
            block[places[0].clone()].copy_from_slice(Panels::new(x_panels.as_slice(), k, m).panel(panel));
            block[places[1].clone()].copy_from_slice(Panels::new(delta_panels.as_slice(), n, m).panel(panel));
        }
        let weights = packed(&with_bias, k + 1, n);
        let dw = AlignedBuf::zeroed(panel_len::<T>(k + 1, n));
        Layer { isa, shape, blocks, block_len, places, weights, transposed, dw, x, w, delta }
    }

    /// Computes one product. The weight gradient times `step` is subtracted from `dw`.
    pub(super) fn run(&mut self, crew: Crew<'_>, product: Product, step: T) {
        let Shape { m, n, k } = self.shape;
        let (isa, blocking, block_len) = (self.isa, Blocking::default(), self.block_len);
        let [x, delta, y, dx] = self.places.clone();
        let (blocks, all) = (self.blocks.as_mut_slice(), self.weights.as_slice());
        let split = Split {
            cols: m,
            pieces: TASKS_PER_THREAD * crew.threads(),
            unit: T::PANEL,
            together: panels_per_tile::<T>(isa),
        };
        match product {
            Product::Forward => {
                let places = Places { reads: [x, 0..0], writes: y, secondary: 0..0 };
                crew.for_each_part_of_panels(blocks, block_len, &places, split, |first, [x, _], y, _| {
                    let weights = &all[first * (k + 1)..][..panel_len::<T>(k + 1, y.rows())];
                    let weights = Panels::new(weights, k + 1, y.rows());
                    forward(isa, blocking, weights, x, y, Activation::Linear);
                });
            }
            Product::BackwardInput => {
                let weights = Panels::new(all, k + 1, n);
                let places = Places { reads: [delta, x], writes: dx, secondary: 0..0 };
                crew.for_each_part_of_panels(blocks, block_len, &places, split, |first, reads, dx, _| {
                    let [delta, x] = reads;
                    let below = (x.rows_from(first, dx.rows()), Activation::Linear);
                    backward_input(isa, blocking, weights, first, delta, below, dx);
                });
            }
            Product::WeightGradient => {
                let batch = |data, block_len, offset, panel_len| BatchPanels {
                    data,
                    block_len,
                    offset,
                    panel_len,
                    block_panels: 1,
                    rows: m,
                };
                let x = batch(blocks, block_len, x.start, x.len());
                let of_panel = panel::transposed_len::<T>(n, T::PANEL);
                let transposed = batch(self.transposed.as_slice(), of_panel, 0, of_panel);
                let panels = panel::panel_count::<T>(n);
                let together =
                    (panels / (TASKS_PER_THREAD * crew.threads())).clamp(2, GRADIENT_PANELS) / 2 * 2;
                crew.for_each_chunk(self.dw.as_mut_slice(), together * (k + 1) * T::PANEL, |task, dw| {
                    let first = task * together;
                    let range = WeightRange { panels: first..panels.min(first + together), rows: 0..k + 1 };
                    let rule = (Round::whole(), Rule::Sgd { step });
                    weight_gradient(isa, blocking, (k, n), &range, x, transposed, rule, dw, &mut []);
                });
            }
        }
    }

    /// Element `(line, row)` of a matrix of `lines` features, by its number in `places`.
    fn value(&self, place: usize, lines: usize, line: usize, row: usize) -> T {
        let block = &self.blocks.as_slice()[row / T::PANEL * self.block_len..][..self.block_len];
        Panels::new(&block[self.places[place].clone()], lines, T::PANEL).get(line, row % T::PANEL)
    }

    /// Compares a sample of the elements of the result with dot products in `f64`.
    pub(super) fn verify(&mut self, crew: Crew<'_>, product: Product) -> Result<(), Failure> {
        self.dw.as_mut_slice().fill(T::ZERO);
        self.run(crew, product, T::ONE);
        let Shape { m, n, k } = self.shape;
        let mut random = SplitMix64::new(1);
        for _ in 0..SAMPLE {
            let (row, output, input) = (random.below(m), random.below(n), random.below(k));
            let x = |row: usize, input: usize| self.x[row * k + input].to_f64();
            let w = |input: usize, output: usize| self.w[input * n + output].to_f64();
            let d = |row: usize, output: usize| self.delta[row * n + output].to_f64();
            let (got, terms): (T, Vec<(f64, f64)>) = match product {
                Product::Forward => {
                    (self.value(2, n, output, row), (0..k).map(|i| (x(row, i), w(i, output))).collect())
                }
                Product::BackwardInput => {
                    (self.value(3, k, input, row), (0..n).map(|o| (d(row, o), w(input, o))).collect())
                }
                Product::WeightGradient => {
                    let dw = Panels::new(self.dw.as_slice(), k + 1, n);
                    (dw.get(input, output), (0..m).map(|r| (x(r, input), -d(r, output))).collect())
                }
            };
            let (a, b): (Vec<f64>, Vec<f64>) = terms.into_iter().unzip();
            let expected = naive::matmul([1, a.len(), 1], &a, &b)[0];
            let magnitude = a.iter().zip(&b).map(|(a, b)| (a * b).abs()).sum();
            let error = (got.to_f64() - expected).abs();
            if !(error <= dot_bound::<T>(a.len(), magnitude)) {
                let place = format!("row {row}, output {output}, input {input} of {:?}", self.shape);
                return Err(Failure::Wrong(format!(
                    "{}: {got:?} instead of {expected} at {place}",
                    product.name()
                )));
            }
        }
        Ok(())
    }
}

/// Transposes a row-major `[rows, cols]` matrix.
fn transposed_rows<T: Copy>(values: &[T], rows: usize, cols: usize) -> Vec<T> {
    (0..rows * cols).map(|i| values[i % rows * cols + i / rows]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every product is right at awkward sizes, and a wrong operand is detected.
    #[test]
    fn results_are_verified() {
        let shapes =
            [Shape { m: 1, n: 1, k: 1 }, Shape { m: 70, n: 17, k: 33 }, Shape { m: 129, n: 40, k: 7 }];
        for isa in Isa::available() {
            for shape in shapes {
                for product in Product::ALL {
                    let mut layer = Layer::<f32>::random(isa, shape);
                    layer.verify(Crew::SOLO, product).unwrap();
                    layer.x.fill(5.0);
                    layer.delta.fill(5.0);
                    assert!(layer.verify(Crew::SOLO, product).is_err(), "{isa} {shape:?} {product:?}");
                }
            }
        }
    }

    /// The yardstick multiplies the same matrices.
    #[test]
    fn the_yardstick_agrees() {
        let shape = Shape { m: 19, n: 23, k: 29 };
        let mut layer = Layer::<f64>::random(Isa::best(), shape);
        for product in Product::ALL {
            layer.dw.as_mut_slice().fill(0.0);
            layer.run(Crew::SOLO, product, -1.0);
            let mut yardstick = layer.yardstick(product);
            yardstick.run();
            for ((r, c), &expected) in yardstick.c.indexed_iter() {
                let got = match product {
                    Product::Forward => layer.value(2, 23, c, r),
                    Product::BackwardInput => layer.value(3, 29, c, r),
                    Product::WeightGradient => Panels::new(layer.dw.as_slice(), 30, 23).get(r, c),
                };
                assert!(
                    (got - expected).abs() < 1e-12,
                    "{product:?} [{r}, {c}]: {got} instead of {expected}"
                );
            }
        }
    }
}
