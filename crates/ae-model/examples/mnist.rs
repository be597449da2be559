//! Trains a 784-256-128-64-32 encoder and its mirrored decoder on MNIST or other images in its format:
//!
//! `cargo run --release -p ae-model --example mnist -- train-images-idx3-ubyte.gz t10k-images-idx3-ubyte.gz`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use ae_data::{ReadOptions, read};
use ae_model::{Activation, Autoencoder, Config, Error, Optimizer, on_epoch};

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [train, test] = paths.as_slice() else {
        eprintln!("usage: mnist TRAIN-IMAGES TEST-IMAGES (IDX files, gzipped or not)");
        return ExitCode::from(2);
    };
    match run(train, test) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mnist: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(train: &str, test: &str) -> Result<(), Error> {
    let (train, test) = (read(train, &ReadOptions::default())?, read(test, &ReadOptions::default())?);
    let config = Config::builder(train.features())
        .optimizer(Optimizer::Sgd)
        .hidden_dims([256, 128, 64])
        .encoding_dim(32)
        .activation(Activation::Relu)
        .learning_rate(0.02)
        .batch_size(128)
        .epochs(20)
        .build()?;
    let mut model = Autoencoder::new(config)?;
    println!("{}", model.summary());
    let start = Instant::now();
    let mut show = on_epoch(|record, _| {
        println!("epoch {:>2}  train MSE {:.6}  {:.2} s", record.epoch, record.train_mse, record.seconds);
        ControlFlow::Continue(())
    });
    model.fit(&train, &mut [&mut show])?;
    println!("{:.1} s; test MSE {:.6}", start.elapsed().as_secs_f64(), model.mse(&test)?);
    Ok(())
}
