//! A dense layer and its three products, verified before they are timed.

use ae_kernels::activation::Activation;
use ae_kernels::gemm::{BatchPanels, Blocking, Round, WeightRange, backward_input, forward, weight_gradient};
use ae_kernels::panel::{self, Panels, PanelsMut, panel_len};
use ae_kernels::par::Crew;
use ae_kernels::update::Rule;
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};
use ae_testing::naive;
use ae_testing::random::SplitMix64;
use ae_testing::tolerance::{Float, dot_bound};

use super::{Product, Shape};
use crate::failure::Failure;

/// Batch panels per task of the forward and backward products, as in a training step.
const TASK_PANELS: usize = 4;
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
    /// `x` and `delta` as `[features, m]`, `w` as `[k + 1, n]` with a bias of zero.
    x_panels: AlignedBuf<T>,
    w_panels: AlignedBuf<T>,
    delta_panels: AlignedBuf<T>,
    transposed: AlignedBuf<T>,
    /// Results: `[n, m]`, `[k, m]` and `[k + 1, n]`.
    y: AlignedBuf<T>,
    dx: AlignedBuf<T>,
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
        let delta_panels = packed(&transposed_rows(&delta, m, n), n, m);
        let mut transposed = AlignedBuf::zeroed(panel::transposed_len::<T>(n, m));
        panel::transpose_deltas(isa, Panels::new(delta_panels.as_slice(), n, m), transposed.as_mut_slice());
        Layer {
            isa,
            shape,
            x_panels: packed(&transposed_rows(&x, m, k), k, m),
            w_panels: packed(&with_bias, k + 1, n),
            delta_panels,
            transposed,
            y: AlignedBuf::zeroed(panel_len::<T>(n, m)),
            dx: AlignedBuf::zeroed(panel_len::<T>(k, m)),
            dw: AlignedBuf::zeroed(panel_len::<T>(k + 1, n)),
            x,
            w,
            delta,
        }
    }

    /// Computes one product. The weight gradient times `step` is subtracted from `dw`.
    pub(super) fn run(&mut self, crew: Crew<'_>, product: Product, step: T) {
        let Shape { m, n, k } = self.shape;
        let (isa, blocking) = (self.isa, Blocking::default());
        let x = self.x_panels.as_slice();
        let weights = Panels::new(self.w_panels.as_slice(), k + 1, n);
        let delta = self.delta_panels.as_slice();
        // The batch rows of a task, and the elements of `width` features that belong to them.
        let task_rows = TASK_PANELS * T::PANEL;
        let rows_of = |task: usize| task * task_rows..m.min((task + 1) * task_rows);
        let part =
            |task: usize, len: usize, width: usize| task * task_rows * width..task * task_rows * width + len;
        match product {
            Product::Forward => crew.for_each_chunk(self.y.as_mut_slice(), task_rows * n, |task, y| {
                let rows = rows_of(task).len();
                let x = &x[part(task, panel_len::<T>(k, rows), k)];
                let y = PanelsMut::new(y, n, rows);
                forward(isa, blocking, weights, Panels::new(x, k, rows), y, Activation::Linear);
            }),
            Product::BackwardInput => {
                crew.for_each_chunk(self.dx.as_mut_slice(), task_rows * k, |task, dx| {
                    let rows = rows_of(task).len();
                    let delta = &delta[part(task, panel_len::<T>(n, rows), n)];
                    let below = (Panels::new(&x[part(task, dx.len(), k)], k, rows), Activation::Linear);
                    let dx = PanelsMut::new(dx, k, rows);
                    backward_input(isa, blocking, weights, 0, Panels::new(delta, n, rows), below, dx);
                });
            }
            Product::WeightGradient => {
                let batch = |data, panel_len| BatchPanels {
                    data,
                    block_len: 0,
                    offset: 0,
                    panel_len,
                    block_panels: panel::panel_count::<T>(m),
                    rows: m,
                };
                let x = batch(x, k * T::PANEL);
                let transposed = batch(self.transposed.as_slice(), panel::transposed_len::<T>(n, T::PANEL));
                crew.for_each_chunk(self.dw.as_mut_slice(), (k + 1) * T::PANEL, |panel, dw| {
                    let range = WeightRange { panels: panel..panel + 1, rows: 0..k + 1 };
                    weight_gradient(
                        isa,
                        Blocking::default(),
                        (k, n),
                        &range,
                        x,
                        transposed,
                        (Round::whole(), Rule::Sgd { step }),
                        dw,
                        &mut [],
                    );
                });
            }
        }
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
                    let y = Panels::new(self.y.as_slice(), n, m);
                    (y.get(output, row), (0..k).map(|i| (x(row, i), w(i, output))).collect())
                }
                Product::BackwardInput => {
                    let dx = Panels::new(self.dx.as_slice(), k, m);
                    (dx.get(input, row), (0..n).map(|o| (d(row, o), w(input, o))).collect())
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
                    Product::Forward => Panels::new(layer.y.as_slice(), 23, 19).get(c, r),
                    Product::BackwardInput => Panels::new(layer.dx.as_slice(), 29, 19).get(c, r),
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
