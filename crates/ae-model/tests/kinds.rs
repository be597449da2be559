//! Gradients of every kind of autoencoder against finite differences of its own objective, whose values
//! are tied to formulas by the kernels' tests and `by_hand.rs`; and the agreement of the two ways to
//! compute a step.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod parameters;

use ae_model::gradcheck::{self, Report, Settings};
use ae_model::{
    Activation, Arithmetic, CodePenalty, Config, ConfigBuilder, Dropout, Gaussian, Isa, Latent,
    LayerParameters, Loss, Noise, Optimizer, Products, ScalerKind, Trainer, WeightPenalty,
};
use ae_testing::random::SplitMix64;
use parameters::{fill, flat};
use proptest::prelude::*;

/// A random kind of autoencoder.
#[derive(Clone, Debug)]
struct Kind {
    widths: Vec<usize>,
    activation: Activation,
    loss: Loss,
    noise: Option<Noise>,
    latent: Latent,
    penalty: Option<CodePenalty>,
    dropout: Dropout,
    weights: WeightPenalty,
    layer_norm: bool,
    missing: bool,
    /// Whether rows have targets other than themselves.
    paired: bool,
    /// Whether features have different weights, the first of them 0.
    weighted: bool,
    rows: usize,
    seed: u64,
}

impl Kind {
    fn config(&self) -> Config {
        let [input, hidden @ .., code] = self.widths.as_slice() else { unreachable!("two widths at least") };
        let mut builder: ConfigBuilder = Config::builder(*input)
            .optimizer(Optimizer::Sgd)
            .hidden_dims(hidden)
            .encoding_dim(*code)
            .activation(self.activation)
            .loss(self.loss)
            .latent(self.latent)
            .dropout(self.dropout)
            .weight_penalty(self.weights)
            .layer_norm(self.normalises())
            .mask_missing(self.missing)
            .scaler(ScalerKind::None)
            // Far from the data, with dropout, a variance may be 10^-6 of the squared error.
            .learning_rate(if self.loss == Loss::GaussianNll { 1e-7 } else { 1e-4 })
            .seed(self.seed);
        if self.weighted && *input > 1 {
            let weights = (0..*input).map(|feature| 0.5 * (feature % 4) as f64).collect::<Vec<_>>();
            builder = builder.feature_weights(weights);
        }
        if let Some(noise) = self.noise {
            builder = builder.noise(noise);
        }
        if let (Some(penalty), Latent::Plain) = (self.penalty, self.latent) {
            builder = builder.code_penalty(penalty);
            if matches!(penalty, CodePenalty::Kl { .. }) {
                builder = builder.encoding_activation(Activation::Sigmoid);
            }
        }
        builder.build().unwrap()
    }

    /// Whether hidden layers are normalised, which needs at least 3 values in each.
    fn normalises(&self) -> bool {
        let hidden = &self.widths[1..self.widths.len() - 1];
        self.layer_norm && !hidden.is_empty() && hidden.iter().all(|width| *width >= 3)
    }

    /// `[rows, input]`, within [0, 1] where the loss needs it.
    fn table(&self) -> Vec<f32> {
        let (low, high) = match self.loss {
            Loss::Bce | Loss::SigmoidMse => (0.05, 0.95),
            _ => (-1.0, 1.0),
        };
        let mut table = SplitMix64::new(self.seed).uniform_f32s(self.rows * self.widths[0], low, high);
        if self.missing {
            table.iter_mut().step_by(5).for_each(|x| *x = f32::NAN);
        }
        table
    }

    /// The targets, if they are not the rows themselves.
    fn targets(&self) -> Option<Vec<f32>> {
        self.paired.then(|| Kind { seed: self.seed ^ 0xbeef, ..self.clone() }.table())
    }

    /// The objective over all rows, and its gradients.
    fn gradients_by<T: Arithmetic>(&self, trainer: &mut Trainer<T>) -> (f64, Vec<LayerParameters<T>>) {
        let (table, rows) = (self.table(), (0..self.rows).collect::<Vec<_>>());
        trainer
            .enter(|session| match self.targets() {
                Some(targets) => session.gradients_of_pairs(&table, &targets, &rows),
                None => session.gradients(&table, &rows),
            })
            .unwrap()
    }

    fn trainer<T: Arithmetic>(&self, isa: Isa, products: Products) -> Trainer<T> {
        let mut trainer = Trainer::new(&self.config(), isa, Some(1)).unwrap();
        trainer.set_products(products);
        let mut random = SplitMix64::new(!self.seed);
        for (index, mut layer) in trainer.layers().into_iter().enumerate() {
            layer.bias.iter_mut().for_each(|b| *b = T::from_f32(random.uniform_in(-0.3, 0.3) as f32));
            layer.weights.iter_mut().for_each(|w| *w = T::from_f32(w.to_f32()));
            trainer.set_layer(index, &layer).unwrap();
        }
        trainer
    }

    fn gradients<T: Arithmetic>(&self, isa: Isa, products: Products) -> (f64, Vec<f64>) {
        let (objective, layers) = self.gradients_by(&mut self.trainer::<T>(isa, products));
        (objective, flat(&layers))
    }

    /// How far the gradients move, in double precision, if each parameter moves by up to 64 units in the
    /// last place of single precision. Normalisation of a few values that are nearly equal magnifies
    /// rounding as it does this.
    fn sensitivity(&self, exact: &[f64]) -> f64 {
        let mut trainer = self.trainer::<f64>(Isa::best(), Products::Plain);
        let mut random = SplitMix64::new(self.seed ^ 0xf00d);
        for (index, mut layer) in trainer.layers().into_iter().enumerate() {
            let parameters = layer.weights.iter_mut().chain(&mut layer.bias);
            parameters.for_each(|x| *x *= 1.0 + random.uniform_in(-1.0, 1.0) * 2f64.powi(-18));
            trainer.set_layer(index, &layer).unwrap();
        }
        distance(&flat(&self.gradients_by(&mut trainer).1), exact)
    }
}

fn kinds(depth: std::ops::RangeInclusive<usize>, width: usize) -> impl Strategy<Value = Kind> {
    let fraction = 0.1..0.6f64;
    let noise = prop_oneof![
        Just(None),
        (0.05..0.5f64).prop_map(|sigma| Some(Noise::Gaussian { sigma })),
        fraction.clone().prop_map(|fraction| Some(Noise::Masking { fraction })),
        fraction.clone().prop_map(|fraction| Some(Noise::SaltAndPepper { fraction })),
        fraction.prop_map(|fraction| Some(Noise::Swap { fraction })),
    ];
    let loss = prop_oneof![
        Just(Loss::Mse),
        Just(Loss::Mae),
        Just(Loss::Huber { delta: 0.2 }),
        Just(Loss::Bce),
        Just(Loss::SigmoidMse),
        Just(Loss::GaussianNll),
    ];
    let plain = Gaussian::default();
    let latent = prop_oneof![
        Just(Latent::Plain),
        Just(Latent::Plain),
        (0.1..3.0f64).prop_map(move |beta| Latent::Gaussian(Gaussian { beta, ..plain })),
        Just(Latent::Gaussian(Gaussian { free_bits: 0.05, ..plain })),
        (2..5usize).prop_map(move |samples| Latent::Gaussian(Gaussian { samples, ..plain })),
    ];
    let penalty = prop_oneof![
        Just(None),
        Just(Some(CodePenalty::L1 { weight: 0.1 })),
        Just(Some(CodePenalty::Kl { weight: 0.3, target: 0.1 })),
    ];
    let dropout = prop_oneof![
        Just(Dropout::default()),
        Just(Dropout { input: 0.2, hidden: 0.0 }),
        Just(Dropout { input: 0.1, hidden: 0.4 }),
    ];
    let weights = prop_oneof![
        Just(WeightPenalty::default()),
        Just(WeightPenalty { l1: 0.01, l2: 0.0 }),
        Just(WeightPenalty { l1: 0.002, l2: 0.1 }),
    ];
    let widths = prop::collection::vec(1..=width, *depth.start() + 1..=*depth.end() + 1);
    let activation = prop::sample::select(Activation::ALL.to_vec());
    let kind = (activation, loss, noise, latent, penalty, dropout, weights);
    (widths, kind, any::<[bool; 4]>(), 1..=40usize, any::<u64>()).prop_map(
        |(widths, kind, [layer_norm, missing, paired, weighted], rows, seed)| {
            let (activation, loss, noise, latent, penalty, dropout, weights) = kind;
            Kind {
                widths,
                activation,
                loss,
                noise,
                latent,
                penalty,
                dropout,
                weights,
                layer_norm,
                missing,
                paired,
                weighted,
                rows,
                seed,
            }
        },
    )
}

impl Kind {
    /// Compares a gradient with finite differences of the objective.
    fn check(&self, isa: Isa, gradients: &[f64]) -> (Report, Settings) {
        let mut trainer = self.trainer::<f64>(isa, Products::Plain);
        let mut layers = trainer.layers();
        let parameters = flat(&layers);
        // Normalisation stretches a layer whose values are nearly equal, and its curvature with it. An
        // L1 penalty on weights has a kink at weights that are nearly zero.
        let of_weights = if self.weights.l1 > 0.0 { 0.5 } else { 0.0 };
        let (step, kinks) =
            if has_kinks(self) || self.normalises() { (2e-5, 1.0) } else { (1e-4, of_weights) };
        let settings = Settings { kinks, step, tolerance: 3e-6 };
        let report = gradcheck::compare(&settings, &parameters, gradients, |values| {
            fill(&mut layers, values);
            layers.iter().enumerate().for_each(|(index, layer)| trainer.set_layer(index, layer).unwrap());
            self.gradients_by(&mut trainer).0
        });
        (report, settings)
    }
}

/// `‖a - b‖ / ‖b‖`
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

/// Whether the objective has kinks, where single precision may land on the other side.
fn has_kinks(kind: &Kind) -> bool {
    matches!(kind.activation, Activation::Relu | Activation::LeakyRelu | Activation::Elu)
        || matches!(kind.loss, Loss::Mae | Loss::Huber { .. })
        || matches!(kind.penalty, Some(CodePenalty::L1 { .. }))
        || matches!(kind.latent, Latent::Gaussian(Gaussian { free_bits, .. }) if free_bits > 0.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Every parameter of small networks. Both use the noise of the first update.
    #[test]
    fn every_kind_agrees_with_finite_differences(kind in kinds(1..=4, 6)) {
        for isa in Isa::available() {
            let (_, gradients) = kind.gradients::<f64>(isa, Products::Plain);
            let (report, settings) = kind.check(isa, &gradients);
            prop_assume!(report.kinks <= report.compared);
            prop_assert!(report.passes(&settings), "{isa}: {report:?}");
        }
    }

    /// Larger networks in single precision, plain and split, against double precision.
    #[test]
    fn single_precision_stays_near_double(kind in kinds(1..=4, 50)) {
        prop_assume!(!has_kinks(&kind));
        let (objective, exact) = kind.gradients::<f64>(Isa::best(), Products::Plain);
        let tolerance = kind.sensitivity(&exact).max(2f64.powi(-15));
        for isa in Isa::available() {
            for products in [Products::Plain, Products::Split] {
                let (of_single, gradients) = kind.gradients::<f32>(isa, products);
                let error = distance(&gradients, &exact);
                prop_assert!(error <= tolerance, "{products:?} on {isa}: {error:e}, {tolerance:e}");
                let error = (of_single - objective).abs() / (1.0 + objective.abs());
                prop_assert!(error <= 1e-5, "{products:?} on {isa}: objective off by {error:e}");
            }
        }
    }

    /// The number of threads does not change a bit of the result.
    #[test]
    fn threads_change_nothing(kind in kinds(1..=3, 40)) {
        let kind = Kind { rows: 131, ..kind };
        let (table, targets) = (kind.table(), kind.targets());
        for products in [Products::Plain, Products::Split] {
            let learnt: Vec<Vec<f64>> = [1, 2, 3]
                .into_iter()
                .map(|threads| {
                    let config = kind.config();
                    let mut trainer = Trainer::<f32>::new(&config, Isa::best(), Some(threads)).unwrap();
                    trainer.set_products(products);
                    trainer.enter(|session| {
                        for step in 0..3 {
                            let rows: Vec<usize> = (0..97).map(|i| (i * 7 + step * 31) % 131).collect();
                            match &targets {
                                Some(targets) => session.train_pairs(&table, targets, &rows).unwrap(),
                                None => session.train_batch(&table, &rows).unwrap(),
                            };
                        }
                    });
                    flat(&trainer.layers())
                })
                .collect();
            prop_assert!(learnt.windows(2).all(|pair| pair[0] == pair[1]), "{products:?}");
            prop_assert!(learnt[0].iter().all(|x| x.is_finite()), "{products:?}");
        }
    }
}

/// A gradient that leaves out any one piece, that of the same network without it, must not pass.
#[test]
fn leaving_out_a_piece_is_found() {
    let base = Kind {
        widths: vec![6, 5, 3],
        activation: Activation::Silu,
        loss: Loss::Mse,
        noise: None,
        latent: Latent::Plain,
        penalty: None,
        dropout: Dropout::default(),
        weights: WeightPenalty::default(),
        layer_norm: false,
        missing: false,
        paired: false,
        weighted: false,
        rows: 19,
        seed: 3,
    };
    let variational = |settings: Gaussian| Kind { latent: Latent::Gaussian(settings), ..base.clone() };
    let plain = Gaussian::default();
    let pieces = [
        Kind { activation: Activation::Gelu, ..base.clone() },
        Kind { loss: Loss::Huber { delta: 0.1 }, ..base.clone() },
        Kind { noise: Some(Noise::Gaussian { sigma: 0.1 }), ..base.clone() },
        Kind { penalty: Some(CodePenalty::L1 { weight: 0.01 }), ..base.clone() },
        Kind { dropout: Dropout { input: 0.0, hidden: 0.1 }, ..base.clone() },
        Kind { weights: WeightPenalty { l1: 0.0, l2: 0.01 }, ..base.clone() },
        Kind { layer_norm: true, ..base.clone() },
        Kind { missing: true, ..base.clone() },
        Kind { paired: true, ..base.clone() },
        Kind { weighted: true, ..base.clone() },
    ];
    let mut cases: Vec<(Kind, Kind)> = pieces.into_iter().map(|piece| (base.clone(), piece)).collect();
    let simple = variational(plain);
    cases.extend([
        (simple.clone(), variational(Gaussian { beta: 1.5, ..plain })),
        (simple.clone(), variational(Gaussian { free_bits: 0.5, ..plain })),
        (simple.clone(), variational(Gaussian { samples: 3, ..plain })),
        (simple.clone(), Kind { loss: Loss::Bce, ..simple.clone() }),
    ]);
    for (without, with) in cases {
        let of = |kind: &Kind| kind.gradients::<f64>(Isa::best(), Products::Plain).1;
        let (right, settings) = with.check(Isa::best(), &of(&with));
        assert!(right.passes(&settings), "{with:?}: {right:?}");
        let (wrong, _) = with.check(Isa::best(), &of(&without));
        assert!(!wrong.passes(&settings), "{with:?}: the gradient without it passes: {wrong:?}");
    }
}
