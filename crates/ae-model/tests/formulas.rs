//! The objective and the updates, against explicit formulas: losses, feature weights, noise, optimizer
//! update rules, and learning-rate schedules. (`kinds.rs` checks gradients by finite differences.)

#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

mod parameters;

use std::f64::consts::PI;

use ae_data::{Dataset, HeldOut};
use ae_model::{
    Activation, Autoencoder, Config, ConfigBuilder, Gaussian, Isa, Latent, LayerParameters, Loss, Noise,
    Optimizer, ScalerKind, Schedule, Trainer,
};
use ae_testing::random::SplitMix64;
use parameters::flat;

const INPUT: usize = 4;
const ROWS: usize = 7;

fn base() -> ConfigBuilder {
    Config::builder(INPUT)
        .hidden_dims([])
        .encoding_dim(2)
        .activation(Activation::Tanh)
        .optimizer(Optimizer::Sgd)
        .scaler(ScalerKind::None)
        .learning_rate(0.05)
        .seed(4)
}

/// A trainer with nonzero biases.
fn trainer(builder: ConfigBuilder) -> Trainer<f64> {
    let mut trainer = Trainer::<f64>::new(&builder.build().unwrap(), Isa::best(), Some(1)).unwrap();
    let mut random = SplitMix64::new(9);
    for (index, mut layer) in trainer.layers().into_iter().enumerate() {
        layer.bias = random.uniform_f64s(layer.bias.len(), -0.5, 0.5);
        trainer.set_layer(index, &layer).unwrap();
    }
    trainer
}

fn dense(x: &[f64], layer: &LayerParameters<f64>) -> Vec<f64> {
    let sum = |out: usize| {
        let products = x.iter().enumerate().map(|(from, x)| x * layer.weights[from * layer.outputs + out]);
        layer.bias[out] + products.sum::<f64>()
    };
    (0..layer.outputs).map(sum).collect()
}

/// The outputs of the network of `base` for a row.
fn outputs(x: &[f64], layers: &[LayerParameters<f64>]) -> Vec<f64> {
    let code: Vec<f64> = dense(x, &layers[0]).into_iter().map(f64::tanh).collect();
    dense(&code, &layers[1])
}

fn sigmoid(o: f64) -> f64 {
    1.0 / (1.0 + (-o).exp())
}

/// The loss of feature `j` for the target `x`.
fn loss_of(loss: Loss, o: &[f64], j: usize, x: f64) -> f64 {
    let (by, p) = (o[j] - x, sigmoid(o[j]));
    match loss {
        Loss::Mse => 0.5 * by * by,
        Loss::Mae => by.abs(),
        Loss::Huber { delta } if by.abs() <= delta => 0.5 * by * by,
        Loss::Huber { delta } => delta * (by.abs() - 0.5 * delta),
        Loss::Bce => -x * p.ln() - (1.0 - x) * (1.0 - p).ln(),
        Loss::SigmoidMse => 0.5 * (p - x) * (p - x),
        _ => {
            let variance = o[INPUT + j].exp();
            0.5 * ((2.0 * PI).ln() + o[INPUT + j] + by * by / variance)
        }
    }
}

const LOSSES: [Loss; 6] =
    [Loss::Mse, Loss::Mae, Loss::Huber { delta: 0.3 }, Loss::Bce, Loss::SigmoidMse, Loss::GaussianNll];

/// Within [0, 1] where the loss needs it.
fn table(loss: Loss, seed: u64) -> Vec<f32> {
    let (low, high) = if matches!(loss, Loss::Bce | Loss::SigmoidMse) { (0.0, 1.0) } else { (-2.0, 2.0) };
    SplitMix64::new(seed).uniform_f32s(ROWS * INPUT, low, high)
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|x| f64::from(*x)).collect()
}

/// `(1/m) Σ_rows Σ_features w loss` of rows and their targets.
fn objective(
    loss: Loss,
    layers: &[LayerParameters<f64>],
    rows: &[f32],
    targets: &[f32],
    weights: &[f64],
) -> f64 {
    let of_row = |(row, target): (&[f32], &[f32])| {
        let o = outputs(&wide(row), layers);
        (0..INPUT).map(|j| weights[j] * loss_of(loss, &o, j, target[j].into())).sum::<f64>()
    };
    rows.chunks(INPUT).zip(targets.chunks(INPUT)).map(of_row).sum::<f64>() / ROWS as f64
}

const ALL: [usize; ROWS] = [0, 1, 2, 3, 4, 5, 6];

#[test]
fn objectives_are_the_losses_of_the_features_by_their_weights() {
    for loss in LOSSES {
        let (rows, targets) = (table(loss, 1), table(loss, 2));
        for weights in [None, Some(vec![2.0, 0.0, 1.0, 0.25])] {
            let builder = base().loss(loss).feature_weights(weights.clone());
            let weights = weights.unwrap_or(vec![1.0; INPUT]);
            let mut trainer = trainer(builder);
            let layers = trainer.layers();
            let found = trainer.enter(|session| session.gradients(&rows, &ALL)).unwrap().0;
            let expected = objective(loss, &layers, &rows, &rows, &weights);
            assert!(
                (found - expected).abs() < 1e-12 * expected.abs().max(1.0),
                "{loss:?}: {found} {expected}"
            );
            let found = trainer.enter(|session| session.gradients_of_pairs(&rows, &targets, &ALL)).unwrap().0;
            let expected = objective(loss, &layers, &rows, &targets, &weights);
            assert!(
                (found - expected).abs() < 1e-12 * expected.abs().max(1.0),
                "{loss:?}: {found} {expected}"
            );
        }
    }
}

/// A feature of weight 0 affects the errors, but not what is learnt.
#[test]
fn a_feature_without_weight_teaches_nothing() {
    let rows = table(Loss::Mse, 1);
    let mut others = rows.clone();
    // Other targets for the first feature, whose weight is 0.
    others.iter_mut().step_by(INPUT).for_each(|x| *x += 100.0);
    let learnt = |targets: &[f32]| {
        let mut trainer = trainer(base().feature_weights(vec![0.0, 1.0, 1.0, 3.0]));
        trainer.enter(|session| session.train_pairs(&rows, targets, &ALL)).unwrap();
        flat(&trainer.layers())
    };
    assert_eq!(learnt(&rows), learnt(&others));
    let config = base().feature_weights(vec![0.0, 1.0, 1.0, 3.0]).build().unwrap();
    let layers: Vec<LayerParameters<f64>> = trainer(base()).layers();
    let model = |config: Config| {
        Autoencoder::from_layers(config, ae_model::Scaler::identity(INPUT), &layers).unwrap()
    };
    let data = Dataset::new(rows.clone(), INPUT).unwrap();
    let plain = model(base().build().unwrap()).mse(&data).unwrap();
    assert_eq!(model(config).mse(&data).unwrap(), plain);
}

#[test]
fn weights_that_cannot_be_are_refused() {
    for weights in [vec![1.0; 3], vec![0.0; 4], vec![1.0, -0.1, 1.0, 1.0], vec![1.0, f64::NAN, 1.0, 1.0]] {
        let said = base().feature_weights(weights).build().unwrap_err().to_string();
        assert!(said.contains("feature_weights is") && said.contains("4 weights"), "{said}");
    }
    // Feature weights survive a file.
    let config = base().feature_weights(vec![1.0, 2.0, 0.5, 0.0]).build().unwrap();
    let again =
        Autoencoder::from_bytes(&Autoencoder::new(config.clone()).unwrap().to_bytes().unwrap()).unwrap();
    assert_eq!(again.config().feature_weights(), config.feature_weights());
}

/// Noise changes the input, not the target.
#[test]
fn targets_of_noisy_rows_are_clean() {
    let rows = table(Loss::Mse, 1);
    let found = |noise: Noise, seed: u64| {
        let mut trainer = trainer(base().noise(noise).seed(seed));
        // The initial weights also depend on the seed.
        let layers = trainer.layers();
        (trainer.enter(|session| session.gradients(&rows[..INPUT], &[0])).unwrap().0, layers)
    };
    let of_inputs = |input: [f32; INPUT], layers: &[LayerParameters<f64>]| {
        let o = outputs(&wide(&input), layers);
        (0..INPUT).map(|j| loss_of(Loss::Mse, &o, j, rows[j].into())).sum::<f64>()
    };
    let (nothing, layers) = found(Noise::Masking { fraction: 1.0 }, 4);
    assert!((nothing - of_inputs([0.0; INPUT], &layers)).abs() < 1e-12);
    // Every input value is 0 or 1, and draws differ.
    let mut seen = [false; 1 << INPUT];
    for seed in 0..12 {
        let (objective, layers) = found(Noise::SaltAndPepper { fraction: 1.0 }, seed);
        let drawn = (0..1 << INPUT).find(|bits| {
            let input = [0, 1, 2, 3].map(|j| (bits >> j & 1) as f32);
            (objective - of_inputs(input, &layers)).abs() < 1e-12
        });
        seen[drawn.unwrap()] = true;
    }
    assert!(seen.iter().filter(|seen| **seen).count() > 3, "{seen:?}");
}

/// The update rules as defined in their papers and in PyTorch, over three updates, also where all
/// gradients are needed before the first parameter changes.
#[test]
fn optimizers_move_parameters_by_their_formulas() {
    let (b1, b2, epsilon, decay, momentum, rate) = (0.8, 0.95, 1e-3, 0.1, 0.7, 0.05);
    let rows = table(Loss::Mse, 1);
    for optimizer in [
        Optimizer::Sgd,
        Optimizer::Momentum { momentum },
        Optimizer::Nesterov { momentum },
        Optimizer::Adam { beta1: b1, beta2: b2, epsilon },
        Optimizer::AdamW { beta1: b1, beta2: b2, epsilon, weight_decay: decay },
    ] {
        for clip in [None, Some(1e9)] {
            let mut trainer = trainer(base().optimizer(optimizer).learning_rate(rate).clip_norm(clip));
            let mut w = flat(&trainer.layers());
            let (mut m, mut v) = (vec![0.0; w.len()], vec![0.0; w.len()]);
            for step in 1..=3 {
                let g = flat(&trainer.enter(|session| session.gradients(&rows, &ALL)).unwrap().1);
                trainer.enter(|session| session.train_batch(&rows, &ALL)).unwrap();
                for i in 0..w.len() {
                    let adam = |m: &mut f64, v: &mut f64| {
                        *m = b1 * *m + (1.0 - b1) * g[i];
                        *v = b2 * *v + (1.0 - b2) * g[i] * g[i];
                        let (m, v) = (*m / (1.0 - b1.powi(step)), *v / (1.0 - b2.powi(step)));
                        rate * m / (v.sqrt() + epsilon)
                    };
                    match optimizer {
                        Optimizer::Sgd => w[i] -= rate * g[i],
                        Optimizer::Adam { .. } => w[i] -= adam(&mut m[i], &mut v[i]),
                        Optimizer::AdamW { .. } => {
                            w[i] *= 1.0 - rate * decay;
                            w[i] -= adam(&mut m[i], &mut v[i]);
                        }
                        _ => {
                            v[i] = momentum * v[i] + g[i];
                            let ahead = matches!(optimizer, Optimizer::Nesterov { .. });
                            w[i] -= rate * if ahead { g[i] + momentum * v[i] } else { v[i] };
                        }
                    }
                }
                let found = flat(&trainer.layers());
                for (found, expected) in found.iter().zip(&w) {
                    assert!(
                        (found - expected).abs() < 1e-12,
                        "{optimizer:?} {clip:?} {step}: {found} {expected}"
                    );
                }
            }
        }
    }
}

/// The learning rate of every epoch, at its last update.
#[test]
fn learning_rates_follow_their_schedule() {
    let rows = Dataset::new(SplitMix64::new(1).uniform_f32s(12 * INPUT, 0.0, 1.0), INPUT).unwrap();
    let (epochs, batches) = (10, 3);
    let cosine = |from: f64, to: f64, at: f64| to + (from - to) * 0.5 * (1.0 + (PI * at).cos());
    let at = |epoch: usize| (epoch * batches - 1) as f64 / (epochs * batches - 1) as f64;
    let one_cycle = |at: f64| match at {
        at if at < 0.25 => cosine(0.04, 1.0, at / 0.25),
        at => cosine(1.0, 4e-6, (at - 0.25) / 0.75),
    };
    for schedule in [Schedule::Constant, Schedule::Cosine { end: 0.1 }, Schedule::OneCycle { warm_up: 0.25 }]
    {
        let factor = |epoch: usize| match schedule {
            Schedule::Cosine { end } => cosine(1.0, end, at(epoch)),
            Schedule::OneCycle { .. } => one_cycle(at(epoch)),
            _ => 1.0,
        };
        let config = base().schedule(schedule).epochs(epochs).batch_size(4).build().unwrap();
        let history = Autoencoder::new(config).unwrap().fit(&rows, &mut []).unwrap();
        for record in &history.epochs {
            let expected = 0.05 * factor(record.epoch);
            let found = record.learning_rate;
            assert!((found - expected).abs() < 1e-12, "{schedule:?} {}: {found} {expected}", record.epoch);
        }
    }
}

/// Errors in the training history count known values only.
#[test]
fn errors_of_epochs_are_means_over_known_values() {
    let mut values = SplitMix64::new(3).uniform_f32s(60 * INPUT, 0.0, 1.0);
    values.iter_mut().step_by(3).for_each(|x| *x = f32::NAN);
    let rows = Dataset::new(values, INPUT).unwrap();
    let config = base().mask_missing(true).epochs(2).batch_size(50).learning_rate(1e-30).build().unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    let history = model.fit(&HeldOut::last(&rows, 10).unwrap(), &mut []).unwrap();
    let of = |range: std::ops::Range<usize>| {
        model.mse(&rows.select_rows(&range.collect::<Vec<_>>()).unwrap()).unwrap()
    };
    let record = &history.epochs[1];
    let validation = record.validation_mse.unwrap();
    // Nothing is learnt at this rate, so the training error is that of the same weights.
    assert!((record.train_mse - of(0..50)).abs() < 1e-6, "{} {}", record.train_mse, of(0..50));
    assert!((validation - of(50..60)).abs() < 1e-6, "{validation} {}", of(50..60));
}

/// The losses that early stopping monitors, for each loss and with feature weights.
#[test]
fn validation_losses_are_those_of_the_loss() {
    let weights = vec![1.0, 3.0, 0.0, 0.5];
    for loss in LOSSES {
        let rows = table(loss, 1);
        let data = Dataset::new(rows.clone(), INPUT).unwrap();
        let config = base().loss(loss).feature_weights(weights.clone()).epochs(1).learning_rate(1e-30);
        let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
        let held_out = 3;
        let history = model.fit(&HeldOut::last(&data, held_out).unwrap(), &mut []).unwrap();
        let last = &rows[(ROWS - held_out) * INPUT..];
        let of_row = |row: &[f32]| {
            let o = outputs(&wide(row), &model.layers());
            (0..INPUT).map(|j| weights[j] * loss_of(loss, &o, j, row[j].into())).sum::<f64>()
        };
        let expected = last.chunks(INPUT).map(of_row).sum::<f64>() / held_out as f64;
        let found = history.epochs[0].validation_loss.unwrap();
        assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{loss:?}: {found} {expected}");
    }
}

/// The weight of the divergence grows linearly with the updates, from nothing to its full value.
#[test]
fn a_warm_up_is_a_straight_line() {
    let rows = Dataset::new(table(Loss::Mse, 1), INPUT).unwrap();
    // At this rate nothing is learnt, and all runs draw the same samples: losses differ by the
    // divergence alone.
    let losses = |warm_up: usize, beta: f64| -> Vec<f64> {
        let config = base()
            .latent(Latent::Gaussian(Gaussian { beta, warm_up, ..Gaussian::default() }))
            .epochs(6)
            .batch_size(ROWS);
        let mut model = Autoencoder::new(config.learning_rate(1e-30).build().unwrap()).unwrap();
        let history = model.fit(&rows, &mut []).unwrap();
        history.epochs.iter().map(|record| record.train_loss).collect()
    };
    let (without, whole, rising) = (losses(0, 0.0), losses(0, 1.0), losses(4, 1.0));
    for epoch in 0..6 {
        let divergence = whole[epoch] - without[epoch];
        let fraction = (rising[epoch] - without[epoch]) / divergence;
        let expected = (epoch as f64 / 4.0).min(1.0);
        assert!(divergence > 0.0 && (fraction - expected).abs() < 1e-4, "{epoch}: {fraction} {expected}");
    }
}
