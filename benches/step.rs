//! Whole training steps on one thread. Criterion's elements are floating-point operations.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use ae_benches::{NETS, isas, operands, size_id};
use ae_kernels::Isa;
use ae_model::{Activation, Config, Optimizer, Trainer};
use ae_testing::naive::{self, NaiveNet, widen};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Rows per step.
const BATCHES: [usize; 2] = [32, 128];
/// Number of batches that the steps cycle through.
const TURNS: usize = 4;
const LEARNING_RATE: f64 = 1e-4;

#[allow(clippy::expect_used, reason = "a benchmark has nobody to report to")]
fn config(dims: &[usize]) -> Config {
    let builder = Config::builder(dims[0]).optimizer(Optimizer::Sgd).hidden_dims(&dims[1..dims.len() - 1]);
    let builder = builder.encoding_dim(dims[dims.len() - 1]).activation(Activation::Relu);
    let builder = builder.learning_rate(LEARNING_RATE);
    builder.build().expect("the networks are valid")
}

#[allow(clippy::expect_used, reason = "a benchmark has nobody to report to")]
fn trainer(dims: &[usize], isa: Isa) -> Trainer<f32> {
    Trainer::new(&config(dims), isa, Some(1)).expect("one thread is available")
}

/// Checks that one step changes the parameters and reports the error as the reference does.
#[allow(clippy::expect_used, reason = "a benchmark has nobody to report to")]
fn verify(dims: &[usize], isa: Isa) {
    let mut trainer = trainer(dims, isa);
    let layers = trainer.layers();
    let mut net = NaiveNet {
        dims: config(dims).layer_dims(),
        weights: layers.iter().map(|layer| widen(&layer.weights)).collect(),
        biases: layers.iter().map(|layer| widen(&layer.bias)).collect(),
        activation: naive::Activation::Relu,
    };
    let rows = operands(3 * dims[0], 0.0, 1.0);
    let error =
        trainer.enter(|session| session.train_batch(&rows, &[0, 1, 2])).expect("three rows are a batch");
    let gradients = net.step(&widen(&rows), &widen(&rows), LEARNING_RATE);
    let expected = 2.0 * gradients.loss / dims[0] as f64;
    assert!((error - expected).abs() <= 1e-5 * expected, "{dims:?} on {isa}: {error} instead of {expected}");
    for (layer, (weights, gradient)) in
        trainer.layers().iter().zip(net.weights.iter().zip(&gradients.weights))
    {
        let largest = gradient.iter().fold(0.0f64, |most, g| most.max(g.abs())) * LEARNING_RATE;
        for (got, expected) in layer.weights.iter().zip(weights) {
            let off = (f64::from(*got) - expected).abs();
            assert!(
                off <= 1e-3 * largest + f64::from(f32::EPSILON),
                "{dims:?} on {isa}: a weight is off by {off}"
            );
        }
    }
}

#[allow(clippy::expect_used, reason = "a benchmark has nobody to report to")]
fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    for dims in NETS {
        for isa in isas() {
            verify(dims, isa);
            let sizes: Vec<usize> =
                config(dims).layer_dims().windows(2).map(|pair| pair[0] * pair[1]).collect();
            let operations = 6 * sizes.iter().sum::<usize>() - 2 * sizes[0];
            for batch in BATCHES {
                let table = operands(TURNS * batch * dims[0], 0.0, 1.0);
                let batches: Vec<Vec<usize>> =
                    (0..TURNS).map(|turn| (turn * batch..(turn + 1) * batch).collect()).collect();
                let mut trainer = trainer(dims, isa);
                group.throughput(Throughput::Elements((operations * batch) as u64));
                let id = BenchmarkId::new(isa.name(), format!("{}/{batch}", size_id(dims)));
                group.bench_function(id, |b| {
                    trainer.enter(|session| {
                        let mut turns = batches.iter().cycle();
                        b.iter(|| {
                            let batch = turns.next().map_or(&[][..], Vec::as_slice);
                            session.train_batch(&table, batch).expect("the rows are there")
                        });
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
