//! The three matrix products of training, on operands in panels. Criterion's elements are floating-point
//! operations.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use ae_benches::{LAYERS, isas, operands, size_id};
use ae_kernels::Isa;
use ae_kernels::activation::Activation;
use ae_kernels::gemm::{BatchPanels, Blocking, Round, WeightRange, backward_input, forward, weight_gradient};
use ae_kernels::panel::{self, Panels, PanelsMut, panel_count, panel_len, transposed_len};
use ae_kernels::update::Rule;
use ae_kernels::workspace::AlignedBuf;
use ae_testing::naive::{matmul, widen};
use ae_testing::tolerance::{Tolerance, assert_close, matmul_bound};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const PANEL: usize = 16;

/// A layer on one instruction set, with a batch.
struct Layer {
    isa: Isa,
    rows: usize,
    inputs: usize,
    outputs: usize,
    /// `[inputs + 1, outputs]`, with a bias of zero.
    weights: AlignedBuf<f32>,
    /// `[inputs, rows]`
    x: AlignedBuf<f32>,
    /// `[outputs, rows]`, and repacked by [`panel::transpose_deltas`].
    delta: AlignedBuf<f32>,
    transposed: AlignedBuf<f32>,
    /// Results: `[outputs, rows]`, `[inputs, rows]` and `[inputs + 1, outputs]`.
    y: AlignedBuf<f32>,
    dx: AlignedBuf<f32>,
    updated: AlignedBuf<f32>,
}

impl Layer {
    fn new(isa: Isa, [rows, inputs, outputs]: [usize; 3]) -> Layer {
        let packed = |values: &[f32], rows, cols| {
            let mut buf = AlignedBuf::zeroed(panel_len::<f32>(rows, cols));
            panel::pack(values, PanelsMut::new(buf.as_mut_slice(), rows, cols));
            buf
        };
        let weights = [operands(inputs * outputs, -1.0, 1.0), vec![0.0; outputs]].concat();
        let delta = packed(&operands(outputs * rows, -1.0, 1.0), outputs, rows);
        let mut transposed = AlignedBuf::zeroed(transposed_len::<f32>(outputs, rows));
        panel::transpose_deltas(isa, Panels::new(delta.as_slice(), outputs, rows), transposed.as_mut_slice());
        Layer {
            isa,
            rows,
            inputs,
            outputs,
            weights: packed(&weights, inputs + 1, outputs),
            x: packed(&operands(inputs * rows, -1.0, 1.0), inputs, rows),
            delta,
            transposed,
            y: AlignedBuf::zeroed(panel_len::<f32>(outputs, rows)),
            dx: AlignedBuf::zeroed(panel_len::<f32>(inputs, rows)),
            updated: AlignedBuf::zeroed(panel_len::<f32>(inputs + 1, outputs)),
        }
    }

    fn forward(&mut self) {
        let weights = Panels::new(self.weights.as_slice(), self.inputs + 1, self.outputs);
        let x = Panels::new(self.x.as_slice(), self.inputs, self.rows);
        let y = PanelsMut::new(self.y.as_mut_slice(), self.outputs, self.rows);
        forward(self.isa, Blocking::default(), weights, x, y, Activation::Linear);
    }

    fn backward_input(&mut self) {
        let weights = Panels::new(self.weights.as_slice(), self.inputs + 1, self.outputs);
        let delta = Panels::new(self.delta.as_slice(), self.outputs, self.rows);
        let below = (Panels::new(self.x.as_slice(), self.inputs, self.rows), Activation::Linear);
        let dx = PanelsMut::new(self.dx.as_mut_slice(), self.inputs, self.rows);
        backward_input(self.isa, Blocking::default(), weights, 0, delta, below, dx);
    }

    /// Subtracts the gradient times `step` from `updated`.
    fn weight_gradient(&mut self, step: f32) {
        let batch = |data, panel_len| BatchPanels {
            data,
            block_len: 0,
            offset: 0,
            panel_len,
            block_panels: panel_count::<f32>(self.rows),
            rows: self.rows,
        };
        let x = batch(self.x.as_slice(), self.inputs * PANEL);
        let delta = batch(self.transposed.as_slice(), transposed_len::<f32>(self.outputs, PANEL));
        for (panel, weights) in self.updated.as_mut_slice().chunks_mut((self.inputs + 1) * PANEL).enumerate()
        {
            let range = WeightRange { panels: panel..panel + 1, rows: 0..self.inputs + 1 };
            weight_gradient(
                self.isa,
                Blocking::default(),
                (self.inputs, self.outputs),
                &range,
                x,
                delta,
                (Round::whole(), Rule::Sgd { step }),
                weights,
                &mut [],
            );
        }
    }

    /// Returns row `row` of a `[rows, cols]` matrix in panels, in `f64`.
    fn row(buf: &AlignedBuf<f32>, rows: usize, cols: usize, row: usize) -> Vec<f64> {
        let matrix = Panels::new(buf.as_slice(), rows, cols);
        (0..cols).map(|col| f64::from(matrix.get(row, col))).collect()
    }

    fn all(buf: &AlignedBuf<f32>, rows: usize, cols: usize) -> Vec<f64> {
        let mut values = vec![0.0; rows * cols];
        panel::unpack(Panels::new(buf.as_slice(), rows, cols), &mut values);
        widen(&values)
    }

    /// Compares the last row of each result with the reference; of the weights, the last row before the
    /// biases.
    fn verify(&mut self) {
        let Layer { rows, inputs, outputs, .. } = *self;
        self.forward();
        self.backward_input();
        self.updated.as_mut_slice().fill(0.0);
        self.weight_gradient(-1.0);
        let weights = Self::all(&self.weights, inputs + 1, outputs);
        let check = |what: &str, got: Vec<f64>, [k, n]: [usize; 2], a: &[f64], b: &[f64]| {
            let got: Vec<f32> = got.into_iter().map(|value| value as f32).collect();
            let (expected, bound) = (matmul([1, k, n], a, b), matmul_bound::<f32>([1, k, n], a, b));
            assert_close(&format!("{what} on {}", self.isa), &got, &expected, Tolerance::Each(&bound));
        };
        let column: Vec<f64> = (0..inputs).map(|input| weights[input * outputs + outputs - 1]).collect();
        let x = Self::all(&self.x, inputs, rows);
        check("forward", Self::row(&self.y, outputs, rows, outputs - 1), [inputs, rows], &column, &x);
        let line = &weights[(inputs - 1) * outputs..inputs * outputs];
        let delta = Self::all(&self.delta, outputs, rows);
        check("backward_input", Self::row(&self.dx, inputs, rows, inputs - 1), [outputs, rows], line, &delta);
        let line = &x[(inputs - 1) * rows..];
        let across: Vec<f64> = (0..rows * outputs).map(|i| delta[i % outputs * rows + i / outputs]).collect();
        let updated = Self::row(&self.updated, inputs + 1, outputs, inputs - 1);
        check("weight_gradient", updated, [rows, outputs], line, &across);
    }
}

fn products(c: &mut Criterion) {
    type Product = (&'static str, fn(&mut Layer));
    let products: [Product; 3] = [
        ("forward", Layer::forward),
        ("backward_input", Layer::backward_input),
        ("weight_gradient", |layer| layer.weight_gradient(1e-9)),
    ];
    for (name, product) in products {
        let mut group = c.benchmark_group(name);
        for sizes in LAYERS {
            group.throughput(Throughput::Elements(2 * sizes.iter().product::<usize>() as u64));
            for isa in isas() {
                let mut layer = Layer::new(isa, sizes);
                layer.verify();
                group.bench_function(BenchmarkId::new(isa.name(), size_id(&sizes)), |b| {
                    b.iter(|| product(black_box(&mut layer)));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
