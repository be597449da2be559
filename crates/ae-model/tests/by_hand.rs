//! One update of a network small enough to compute by hand.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_data::Rows;
use ae_model::{Activation, CodePenalty, Config, ErrorNorm, Isa, LayerParameters, Optimizer, Trainer};

/// 2 inputs, 1 code, 2 outputs, ReLU: `code = max(0, w x + b)`, `x̂ = v code + c`.
fn network() -> Trainer<f64> {
    let config = Config::builder(2)
        .optimizer(Optimizer::Sgd)
        .hidden_dims([])
        .encoding_dim(1)
        .activation(Activation::Relu)
        .learning_rate(0.5)
        .build()
        .unwrap();
    let mut trainer = Trainer::new(&config, Isa::best(), Some(1)).unwrap();
    let encoder = LayerParameters { inputs: 2, outputs: 1, weights: vec![1.0, 0.5], bias: vec![0.25] };
    let decoder = LayerParameters { inputs: 1, outputs: 2, weights: vec![0.5, -1.0], bias: vec![0.0, 1.0] };
    trainer.set_layer(0, &encoder).unwrap();
    trainer.set_layer(1, &decoder).unwrap();
    trainer
}

/// The rows (1, 0.5) and (-2, 0): codes 1.5 and max(0, -1.75) = 0.
const TABLE: [f32; 4] = [1.0, 0.5, -2.0, 0.0];

#[test]
fn gradients_by_hand() {
    // x̂ = (0.75, -0.5), (0, 1); δ = x̂ - x = (-0.25, -1), (2, 1); J = ½ (0.0625 + 1 + 4 + 1) / 2.
    let (objective, gradients) = network().enter(|session| session.gradients(&TABLE, &[0, 1])).unwrap();
    assert_eq!(objective, 0.5 * 6.0625 / 2.0);
    // ∂J/∂v = code δ / 2 (only the first row has a code), ∂J/∂c = (δ₁ + δ₂) / 2.
    assert_eq!(gradients[1].weights, [1.5 * -0.25 / 2.0, -1.5 / 2.0]);
    assert_eq!(gradients[1].bias, [1.75 / 2.0, 0.0]);
    // δ of the code: row 1: 0.5 · -0.25 + -1 · -1 = 0.875; row 2: ReLU is off.
    assert_eq!(gradients[0].weights, [0.875 / 2.0, 0.875 * 0.5 / 2.0]);
    assert_eq!(gradients[0].bias, [0.875 / 2.0]);
}

/// What penalties on the encoding add to the objective.
#[test]
fn penalties_by_hand() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let layers = [
        LayerParameters { inputs: 2, outputs: 1, weights: vec![1.0, 0.5], bias: vec![0.25] },
        LayerParameters { inputs: 1, outputs: 2, weights: vec![0.5, -1.0], bias: vec![0.0, 1.0] },
    ];
    let objective = |penalty: Option<CodePenalty>| {
        let mut config = Config::builder(2)
            .optimizer(Optimizer::Sgd)
            .hidden_dims([])
            .encoding_dim(1)
            .activation(Activation::Sigmoid);
        if let Some(penalty) = penalty {
            config = config.code_penalty(penalty);
        }
        let mut trainer = Trainer::<f64>::new(&config.build().unwrap(), Isa::best(), Some(1)).unwrap();
        (0..2).for_each(|index| trainer.set_layer(index, &layers[index]).unwrap());
        trainer.enter(|session| session.gradients(&TABLE, &[0, 1])).unwrap().0
    };
    let codes = [sigmoid(1.5), sigmoid(-1.75)];
    let without = objective(None);
    // 0.3 |a|, averaged over the rows.
    let l1 = objective(Some(CodePenalty::L1 { weight: 0.3 }));
    assert!((l1 - without - 0.3 * (codes[0] + codes[1]) / 2.0).abs() < 1e-12, "{l1} {without}");
    // 0.7 KL(0.1 ‖ ρ), where ρ is the mean of the code.
    let rho = (codes[0] + codes[1]) / 2.0;
    let divergence = 0.1 * (0.1 / rho).ln() + 0.9 * (0.9 / (1.0 - rho)).ln();
    let kl = objective(Some(CodePenalty::Kl { weight: 0.7, target: 0.1 }));
    assert!((kl - without - 0.7 * divergence).abs() < 1e-12, "{kl} {without}");
}

#[test]
fn an_update_is_a_step_against_the_gradient() {
    let mut trainer = network();
    let mse = trainer.enter(|session| session.train_batch(&TABLE, &[0, 1])).unwrap();
    assert_eq!(mse, 6.0625 / 4.0, "mean over 2 rows and 2 features, before the update");
    let layers = trainer.layers();
    assert_eq!(layers[0].weights, [1.0 - 0.5 * 0.4375, 0.5 - 0.5 * 0.21875]);
    assert_eq!(layers[1].bias, [0.0 - 0.5 * 0.875, 1.0]);
}

#[test]
fn bad_batches_are_errors() {
    let mut trainer = network();
    let messages: Vec<String> = trainer.enter(|session| {
        let results = [
            session.train_batch(&TABLE, &[]),
            session.train_batch(&TABLE, &[2]),
            session.train_batch(&TABLE[..3], &[0]),
        ];
        results.into_iter().map(|result| result.unwrap_err().to_string()).collect()
    });
    assert!(messages[0].starts_with("there are no rows"), "{messages:?}");
    assert_eq!(messages[1], "row index 2 is out of range for a table of 2 rows");
    assert!(messages[2].contains("whole rows of 2"), "{messages:?}");
}

/// The error norms, on an untrained network with an identity scaler.
#[test]
fn error_norms() {
    let config = Config::builder(2)
        .optimizer(Optimizer::Sgd)
        .encoding_dim(1)
        .scaler(ae_model::ScalerKind::None)
        .build()
        .unwrap();
    let model = ae_model::Autoencoder::new(config).unwrap();
    let rows = Rows::new(&TABLE, 2).unwrap();
    let rebuilt = model.reconstruct(&rows).unwrap();
    let square = |i: usize| f64::from(rebuilt.values()[i] - TABLE[i]).powi(2);
    let sums = model.reconstruction_error(&rows, ErrorNorm::Sum).unwrap();
    let means = model.reconstruction_error(&rows, ErrorNorm::Mean).unwrap();
    for row in 0..2 {
        let expected = square(2 * row) + square(2 * row + 1);
        assert!((sums[row] - expected).abs() <= 1e-6 * expected);
        assert_eq!(means[row], sums[row] / 2.0);
    }
    let mse = (sums[0] + sums[1]) / 4.0;
    assert!((model.mse(&rows).unwrap() - mse).abs() < 1e-12);
    assert_eq!(model.score(&rows).unwrap(), -model.mse(&rows).unwrap());
    let per_feature = model.feature_error(&rows).unwrap();
    assert!((per_feature.iter().sum::<f64>() / 2.0 - mse).abs() < 1e-6);
}
