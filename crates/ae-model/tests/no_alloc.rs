//! Once warm, neither a training step nor the processing of a single row allocates, on one thread or
//! several, as counted by the global allocator.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use std::alloc::System;

use ae_model::{Autoencoder, Config, ErrorNorm, ImageLayers, Isa, Latent, Optimizer, Session, TopK, Trainer};
use ae_testing::random::SplitMix64;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The number of allocations so far, on all threads.
fn calls() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// A program instead of a test: the thread of a test harness allocates when it reports a slow test.
fn main() {
    a_warm_step_allocates_nothing();
    single_rows_allocate_nothing();
    println!("steps and single rows allocate nothing");
}

fn a_warm_step_allocates_nothing() {
    const STEPS: usize = 100;
    let table = SplitMix64::new(1).uniform_f32s(256 * 200, 0.0, 1.0);
    for threads in [1, 2, 3, 10] {
        // The steps of the larger network are shared among the threads, and run on tiles if the CPU has
        // them; those of the smaller one do neither. Convolutions and sparse latents take other paths.
        let deep = |hidden: usize| Config::builder(200).hidden_dims([hidden]).encoding_dim(10);
        let sparse = Config::builder(200).encoding_dim(900).latent(Latent::top_k(7));
        let batch_top_k = Latent::TopK(TopK { of_batch: true, ..TopK::new(7) });
        let of_batch = Config::builder(200).encoding_dim(300).latent(batch_top_k);
        let ImageLayers(layers) = "20 3 s2, pool 2, 24 3 g4".parse().unwrap();
        let conv = Config::builder(200)
            .optimizer(Optimizer::Sgd)
            .image(10, 20, 1)
            .conv_layers(layers)
            .encoding_dim(10);
        let kinds = [
            ("40 hidden units", deep(40)),
            ("600", deep(600)),
            ("normalised and tied", deep(600).layer_norm(true).tied_weights(true)),
            (
                "contractive",
                Config::builder(200).optimizer(Optimizer::Sgd).encoding_dim(300).contractive(0.1),
            ),
            ("vectors of norm 1", sparse.clone().unit_norm(true)),
            ("top-k", sparse),
            ("top-k of batches", of_batch),
            ("convolutions", conv),
        ];
        // With more threads than panels of rows, products are shared.
        let kinds =
            kinds.into_iter().filter(|(kind, _)| threads < 10 || ["600", "convolutions"].contains(kind));
        for (kind, builder) in kinds {
            let config = builder.learning_rate(1e-4).build();
            let mut trainer = Trainer::<f32>::new(&config.unwrap(), Isa::best(), Some(threads)).unwrap();
            let full: Vec<usize> = (0..128).collect();
            let short: Vec<usize> = (128..201).collect();
            let allocations = trainer.enter(|session| {
                let steps = |session: &mut Session<'_, f32>, count: usize| {
                    for step in 0..count {
                        let indices = if step % 4 == 3 { &short } else { &full };
                        session.train_batch(&table, indices).unwrap();
                        session.evaluate(&table, &short).unwrap();
                    }
                };
                // The pool's threads may start late on a busy machine, and starting one allocates. Steps
                // are warm once all have started.
                let mut quiet = 0;
                for _ in 0..200 {
                    let before = calls();
                    steps(session, 30);
                    quiet = if calls() == before { quiet + 1 } else { 0 };
                    if quiet == 3 {
                        break;
                    }
                }
                let before = calls();
                steps(session, STEPS);
                calls() - before
            });
            assert_eq!(allocations, 0, "{threads} threads, {kind}, {STEPS} steps");
        }
    }
}

fn single_rows_allocate_nothing() {
    let table = SplitMix64::new(1).uniform_f32s(256 * 200, 0.0, 1.0);
    let model = Autoencoder::new(Config::builder(200).encoding_dim(10).build().unwrap()).unwrap();
    let (mut one, mut code) = (model.one_row().unwrap(), [0.0; 10]);
    let mut all_rows = || {
        let before = calls();
        for row in table.chunks_exact(200) {
            one.encode(row, &mut code).unwrap();
            one.error(row, ErrorNorm::Sum).unwrap();
        }
        calls() - before
    };
    // The threads of the pools above may still be shutting down.
    let quietest = (0..10).map(|_| all_rows()).min();
    assert_eq!(quietest, Some(0), "rows one by one");
}
