//! Trains an 8-4-2-4-8 network on five samples, small enough to follow by hand. Prints the loss at
//! epochs 1, 10, 20 and 50, then reconstructs a sample that the network has not seen.
//!
//! `cargo run --release -p ae-model --example by_hand`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::ops::ControlFlow;

use ae_data::{Dataset, Rows};
use ae_model::{Activation, Autoencoder, Config, Error, ErrorNorm, Optimizer, on_epoch};

fn main() -> Result<(), Error> {
    // Two motifs, the left half or the right half switched on, and mixtures of both: two numbers
    // describe each sample.
    let samples: [[f32; 8]; 5] = [
        [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        [0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5],
    ];
    let rows = Dataset::new(samples.as_flattened().to_vec(), 8)?;

    let config = Config::builder(8)
        .optimizer(Optimizer::Sgd)
        .hidden_dims([4])
        .encoding_dim(2)
        .activation(Activation::Tanh)
        .learning_rate(0.1)
        .batch_size(1)
        .epochs(50)
        .seed(1)
        .build()?;
    let mut model = Autoencoder::new(config)?;
    println!("{}\n", model.summary());

    println!("epoch   J = ½ Σ (x̂ - x)² a sample   MSE");
    let mut show = on_epoch(|record, _| {
        if [1, 10, 20, 50].contains(&record.epoch) {
            // The objective sums half the squared errors of eight features; the MSE is the mean of the
            // squares.
            println!(
                "{:>5}   {:>26.6}   {:.6}",
                record.epoch,
                record.train_mse * 8.0 / 2.0,
                record.train_mse
            );
        }
        ControlFlow::Continue(())
    });
    model.fit(&rows, &mut [&mut show])?;

    let new = [0.75, 0.75, 0.75, 0.75, 0.25, 0.25, 0.25, 0.25];
    let new = Rows::new(&new, 8)?;
    let code = model.encode(&new)?;
    let rebuilt = model.reconstruct(&new)?;
    let error = model.reconstruction_error(&new, ErrorNorm::Mean)?[0];
    println!("\na new sample   {}", numbers(&[0.75, 0.75, 0.75, 0.75, 0.25, 0.25, 0.25, 0.25]));
    println!("its encoding   {}", numbers(code.values()));
    println!("rebuilt        {}", numbers(rebuilt.values()));
    println!("error          {error:.6} (mean of the squares)");
    Ok(())
}

fn numbers(values: &[f32]) -> String {
    values.iter().map(|x| format!("{x:>6.3}")).collect::<Vec<_>>().join(" ")
}
