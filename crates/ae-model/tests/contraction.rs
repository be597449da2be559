//! The contractive penalty: its value against naive formulas, its gradient against finite differences,
//! and where it is refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod parameters;

use ae_data::Dataset;
use ae_model::gradcheck::{self, Settings};
use ae_model::{
    Activation, Arithmetic, Autoencoder, CodePenalty, Config, ConfigBuilder, ConvLayer, Dropout, Isa, Latent,
    LayerParameters, Noise, Optimizer, Products, ScalerKind, Trainer,
};
use ae_testing::random::SplitMix64;
use parameters::{fill, flat};
use proptest::prelude::*;

/// The activations whose second derivative follows from their output.
const ACTIVATIONS: [Activation; 7] = [
    Activation::Linear,
    Activation::Relu,
    Activation::LeakyRelu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Elu,
    Activation::Softplus,
];

#[derive(Clone, Debug)]
struct Case {
    input: usize,
    code: usize,
    activation: Activation,
    weight: f64,
    penalty: Option<CodePenalty>,
    noise: Option<Noise>,
    dropout: f64,
    tied: bool,
    rows: usize,
    seed: u64,
}

impl Case {
    fn builder(&self) -> ConfigBuilder {
        let mut builder = Config::builder(self.input)
            .optimizer(Optimizer::Sgd)
            .encoding_dim(self.code)
            .hidden_dims([])
            .activation(self.activation)
            .tied_weights(self.tied)
            .dropout(Dropout { input: self.dropout, hidden: 0.0 })
            .scaler(ScalerKind::None)
            .learning_rate(1e-3)
            .seed(self.seed);
        if let Some(noise) = self.noise {
            builder = builder.noise(noise);
        }
        match self.penalty {
            Some(CodePenalty::Kl { .. }) if self.activation != Activation::Sigmoid => builder,
            Some(penalty) => builder.code_penalty(penalty),
            None => builder,
        }
    }

    fn config(&self) -> Config {
        self.builder().contractive(self.weight).build().unwrap()
    }

    fn table(&self) -> Vec<f32> {
        SplitMix64::new(self.seed).uniform_f32s(self.rows * self.input, 0.05, 0.95)
    }

    fn trainer<T: Arithmetic>(&self, config: &Config, isa: Isa, products: Products) -> Trainer<T> {
        let mut trainer = Trainer::new(config, isa, Some(1)).unwrap();
        trainer.set_products(products);
        let mut random = SplitMix64::new(!self.seed);
        for index in 0..2 {
            let mut layer = trainer.layers().swap_remove(index);
            layer.bias.iter_mut().for_each(|b| *b = T::from_f32(random.uniform_in(-0.3, 0.3) as f32));
            if !(self.tied && index == 1) {
                layer.weights.iter_mut().for_each(|w| *w = T::from_f32(w.to_f32()));
            }
            trainer.set_layer(index, &layer).unwrap();
        }
        trainer
    }

    fn gradients<T: Arithmetic>(&self, config: &Config, isa: Isa, products: Products) -> (f64, Vec<f64>) {
        let rows: Vec<usize> = (0..self.rows).collect();
        let mut trainer = self.trainer::<T>(config, isa, products);
        let (objective, layers) = trainer.enter(|session| session.gradients(&self.table(), &rows)).unwrap();
        (objective, flat(&layers))
    }
}

fn cases(width: usize) -> impl Strategy<Value = Case> {
    let penalty = prop_oneof![
        Just(None),
        Just(Some(CodePenalty::L1 { weight: 0.1 })),
        Just(Some(CodePenalty::Kl { weight: 0.3, target: 0.1 })),
    ];
    let noise = prop_oneof![Just(None), Just(Some(Noise::Gaussian { sigma: 0.2 }))];
    let dropout = prop_oneof![Just(0.0), Just(0.2)];
    let kind = (prop::sample::select(ACTIVATIONS.to_vec()), 0.01..1.0f64, penalty, noise, dropout);
    (1..=width, 1..=width, kind, any::<bool>(), 1..=40usize, any::<u64>()).prop_map(
        |(input, code, (activation, weight, penalty, noise, dropout), tied, rows, seed)| Case {
            input,
            code,
            activation,
            weight,
            penalty,
            noise,
            dropout,
            tied,
            rows,
            seed,
        },
    )
}

/// `act'` at `z`.
fn slope(activation: Activation, z: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-z).exp());
    match activation {
        Activation::Linear => 1.0,
        Activation::Relu => f64::from(u8::from(z > 0.0)),
        Activation::LeakyRelu => {
            if z > 0.0 {
                1.0
            } else {
                0.01
            }
        }
        Activation::Sigmoid => sigmoid * (1.0 - sigmoid),
        Activation::Tanh => 1.0 - z.tanh().powi(2),
        Activation::Elu => z.min(0.0).exp(),
        Activation::Softplus => sigmoid,
        _ => panic!("{activation:?} has no reference"),
    }
}

/// The mean over the rows of `‖∂h/∂x‖²`, entry by entry of the Jacobians.
fn naive(case: &Case, encoder: &LayerParameters<f64>) -> f64 {
    let LayerParameters { inputs, outputs, weights, bias } = encoder;
    let of_row = |row: &[f32]| -> f64 {
        let of_one = |j: usize| -> f64 {
            let sum: f64 = (0..*inputs).map(|i| weights[i * outputs + j] * f64::from(row[i])).sum();
            let slope = slope(case.activation, sum + bias[j]);
            (0..*inputs).map(|i| (slope * weights[i * outputs + j]).powi(2)).sum()
        };
        (0..*outputs).map(of_one).sum()
    };
    case.table().chunks_exact(*inputs).map(of_row).sum::<f64>() / case.rows as f64
}

/// `‖a - b‖ / ‖b‖`
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// What the penalty adds to the objective.
    #[test]
    fn the_penalty_is_the_norm_of_the_jacobian(case in cases(40)) {
        let case = Case { noise: None, dropout: 0.0, ..case };
        let (config, without) = (case.config(), case.builder().build().unwrap());
        for isa in Isa::available() {
            let (with, _) = case.gradients::<f64>(&config, isa, Products::Plain);
            let (plain, _) = case.gradients::<f64>(&without, isa, Products::Plain);
            let encoder = case.trainer::<f64>(&config, isa, Products::Plain).layers().swap_remove(0);
            let expected = case.weight * naive(&case, &encoder);
            let error = (with - plain - expected).abs();
            prop_assert!(error <= 1e-11 * (1.0 + with.abs()), "{isa}: {} for {expected}", with - plain);
        }
    }

    /// Every parameter of small networks, with and without noise, other penalties and tied weights.
    #[test]
    fn its_gradient_agrees_with_differences(case in cases(6)) {
        let (config, table) = (case.config(), case.table());
        let rows: Vec<usize> = (0..case.rows).collect();
        for isa in Isa::available() {
            let (_, gradients) = case.gradients::<f64>(&config, isa, Products::Plain);
            let mut trainer = case.trainer::<f64>(&config, isa, Products::Plain);
            let mut layers = trainer.layers();
            let settings = Settings { step: 2e-5, tolerance: 3e-6, kinks: 0.5 };
            let report = gradcheck::compare(&settings, &flat(&layers), &gradients, |values| {
                fill(&mut layers, values);
                trainer.set_layer(0, &layers[0]).unwrap();
                let mut decoder = layers[1].clone();
                if case.tied {
                    decoder.weights = trainer.layers().swap_remove(1).weights;
                }
                trainer.set_layer(1, &decoder).unwrap();
                trainer.enter(|session| session.gradients(&table, &rows)).unwrap().0
            });
            prop_assume!(report.kinks <= report.compared);
            prop_assert!(report.passes(&settings), "{isa}: {report:?}");
        }
    }

    /// Single precision, plain and split, against double precision.
    #[test]
    fn single_precision_stays_near_double(case in cases(50)) {
        let smooth = [Activation::Sigmoid, Activation::Tanh, Activation::Softplus];
        prop_assume!(smooth.contains(&case.activation));
        let case = Case { penalty: None, ..case };
        let config = case.config();
        let (_, exact) = case.gradients::<f64>(&config, Isa::best(), Products::Plain);
        for isa in Isa::available() {
            for products in [Products::Plain, Products::Split] {
                let (_, gradients) = case.gradients::<f32>(&config, isa, products);
                let error = distance(&gradients, &exact);
                prop_assert!(error <= 2f64.powi(-15), "{products:?} on {isa}: {error:e}");
            }
        }
    }

    /// The number of threads does not change a bit of the result.
    #[test]
    fn threads_change_nothing(case in cases(40)) {
        let case = Case { rows: 131, ..case };
        let (config, table) = (case.config(), case.table());
        for products in [Products::Plain, Products::Split, Products::Bf16] {
            let learnt = |threads: usize| {
                let mut trainer = Trainer::<f32>::new(&config, Isa::best(), Some(threads)).unwrap();
                trainer.set_products(products);
                trainer.enter(|session| {
                    for step in 0..3 {
                        let rows: Vec<usize> = (0..97).map(|i| (i * 7 + step * 31) % 131).collect();
                        session.train_batch(&table, &rows).unwrap();
                    }
                });
                flat(&trainer.layers())
            };
            let one = learnt(1);
            prop_assert!(one.iter().all(|x| x.is_finite()), "{products:?}");
            prop_assert!(learnt(2) == one && learnt(3) == one, "{products:?}");
        }
    }
}

/// The larger the penalty, the less the encoding changes.
#[test]
fn encodings_contract() {
    let rows = Dataset::new(SplitMix64::new(5).uniform_f32s(400 * 12, 0.0, 1.0), 12).unwrap();
    let spread = |weight: Option<f64>| {
        let builder = Config::builder(12).encoding_dim(8).hidden_dims([]).activation(Activation::Sigmoid);
        let builder = builder.optimizer(Optimizer::ADAM).learning_rate(0.01).epochs(60).batch_size(50);
        let config = weight.map_or(builder.clone(), |weight| builder.contractive(weight)).build().unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        model.fit(&rows, &mut []).unwrap();
        let (encoder, scaled) = (model.layers().swap_remove(0), model.scaled(&rows).unwrap());
        let mut table = vec![0.0; 400 * 12];
        ae_data::BatchSource::read_rows(&scaled, &(0..400).collect::<Vec<_>>(), &mut table).unwrap();
        let LayerParameters { inputs, outputs, weights, bias } = encoder;
        table
            .chunks_exact(inputs)
            .flat_map(|row| {
                let (weights, bias) = (&weights, &bias);
                (0..outputs).map(move |j| {
                    let column = || (0..inputs).map(|i| weights[i * outputs + j]);
                    let z: f64 = bias[j] + column().zip(row).map(|(w, x)| w * f64::from(*x)).sum::<f64>();
                    slope(Activation::Sigmoid, z).powi(2) * column().map(|w| w * w).sum::<f64>()
                })
            })
            .sum::<f64>()
            / 400.0
    };
    let spreads = [None, Some(0.03), Some(0.3)].map(spread);
    assert!(spreads[0] > 1.5 * spreads[1] && spreads[1] > 1.5 * spreads[2], "{spreads:?}");
}

#[test]
fn where_it_is_not_exact_it_is_refused() {
    let base = || Config::builder(50).encoding_dim(3).contractive(0.1);
    let says = |builder: ConfigBuilder| builder.build().unwrap_err().to_string();
    let config = base().build().unwrap();
    assert!(config.hidden_dims().is_empty(), "none by default");
    assert_eq!(
        says(base().hidden_dims([20])),
        "contractive is 0.1, but must be left out with hidden layers or convolutions: it is for an encoder of one \
         dense layer"
    );
    let images = base().image(10, 5, 1).conv_layers([ConvLayer::new(2, 3, 2)]);
    assert!(says(images).contains("one dense layer"));
    assert!(says(base().latent(Latent::gaussian())).contains("Gaussian or top-k latent"));
    assert!(says(base().latent(Latent::top_k(2))).contains("Gaussian or top-k latent"));
    for activation in [Activation::Gelu, Activation::Silu] {
        assert!(says(base().activation(activation)).contains("gelu or silu"));
        assert!(base().activation(activation).encoding_activation(Activation::Tanh).build().is_ok());
    }
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(says(base().contractive(weight)).contains("above 0 and at most 1000000"));
    }
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    assert!(json.contains("\"contractive\":0.1"));
    let plain = Config::builder(50).encoding_dim(3).build().unwrap();
    assert!(!serde_json::to_string(&plain).unwrap().contains("contractive"));
}
