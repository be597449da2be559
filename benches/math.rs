//! The vector functions on a slice that fits into the L1 cache.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use ae_benches::{isas, operands};
use ae_kernels::math::{self, Function};
use ae_testing::exhaustive::worst_over_f32;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ELEMENTS: usize = 4096;

fn reference(function: Function, x: f64) -> f64 {
    match function {
        Function::Tanh => x.tanh(),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        _ => x.exp(),
    }
}

fn functions(c: &mut Criterion) {
    let inputs = operands(ELEMENTS, -10.0, 10.0);
    for function in Function::ALL {
        let mut group = c.benchmark_group(function.name());
        group.throughput(Throughput::Elements(ELEMENTS as u64));
        for isa in isas() {
            let apply = |values: &mut [f32]| math::apply(isa, function, values);
            let worst = worst_over_f32(&inputs, |x| reference(function, x), apply);
            assert!(worst.ulps <= function.ulp_bound::<f32>(), "{} on {isa}: {worst}", function.name());
            group.bench_function(BenchmarkId::new(isa.name(), ELEMENTS), |b| {
                b.iter_batched_ref(
                    || inputs.clone(),
                    |values| math::apply(isa, function, black_box(values)),
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, functions);
criterion_main!(benches);
