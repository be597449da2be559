//! Top-k latents: the values they keep, their gradient, and the agreement of all ways to compute them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod parameters;

use ae_data::Rows;
use ae_model::gradcheck::{self, Settings};
use ae_model::{
    Activation, Arithmetic, Autoencoder, Config, ConfigBuilder, Dropout, EarlyStopping, Error, ErrorNorm,
    Isa, Latent, LayerParameters, Loss, Optimizer, Precision, Products, Revival, ScalerKind, TopK, Trainer,
};
use ae_testing::chain;
use ae_testing::random::SplitMix64;
use parameters::{fill, flat};
use proptest::prelude::*;

/// A network `[input] -> hidden -> top k of code -> hidden -> [input]` and its rows.
#[derive(Clone, Debug)]
struct Case {
    input: usize,
    hidden: Vec<usize>,
    code: usize,
    k: usize,
    activation: Activation,
    loss: Loss,
    rows: usize,
    seed: u64,
}

impl Case {
    fn with(&self, latent: Latent, dropout: Dropout) -> Config {
        self.builder(latent, dropout).build().unwrap()
    }

    fn builder(&self, latent: Latent, dropout: Dropout) -> ConfigBuilder {
        Config::builder(self.input)
            .hidden_dims(self.hidden.clone())
            .encoding_dim(self.code)
            .activation(Activation::Tanh)
            .encoding_activation(self.activation)
            .loss(self.loss)
            .latent(latent)
            .dropout(dropout)
            .optimizer(Optimizer::ADAM)
            .learning_rate(0.01)
            .scaler(ScalerKind::None)
            .seed(self.seed)
    }

    fn config(&self) -> Config {
        self.with(Latent::top_k(self.k), Dropout::default())
    }

    fn table(&self) -> Vec<f32> {
        SplitMix64::new(self.seed).uniform_f32s(self.rows * self.input, 0.05, 0.95)
    }

    fn trainer<T: Arithmetic>(&self, config: &Config, isa: Isa, threads: usize) -> Trainer<T> {
        let mut trainer = Trainer::new(config, isa, Some(threads)).unwrap();
        trainer.set_products(Products::Plain);
        let mut random = SplitMix64::new(!self.seed);
        for (index, mut layer) in trainer.layers().into_iter().enumerate() {
            layer.bias.iter_mut().for_each(|b| *b = T::from_f32(random.uniform_in(-0.3, 0.3) as f32));
            trainer.set_layer(index, &layer).unwrap();
        }
        trainer
    }

    fn gradients(&self, config: &Config, isa: Isa) -> Vec<f64> {
        let rows: Vec<usize> = (0..self.rows).collect();
        let mut trainer = self.trainer::<f64>(config, isa, 1);
        trainer.enter(|session| flat(&session.gradients(&self.table(), &rows).unwrap().1))
    }

    /// The parameters after some updates, and the errors before each.
    fn learnt<T: Arithmetic>(
        &self,
        config: &Config,
        isa: Isa,
        threads: usize,
        products: Products,
    ) -> (Vec<f64>, Vec<f64>) {
        let mut trainer = self.trainer::<T>(config, isa, threads);
        trainer.set_products(products);
        let table = self.table();
        let errors = trainer.enter(|session| {
            let steps = (0..4).map(|step| {
                let rows: Vec<usize> = (0..self.rows - step).map(|i| (i * 7 + step) % self.rows).collect();
                session.train_batch(&table, &rows).unwrap()
            });
            steps.collect()
        });
        (flat(&trainer.layers()), errors)
    }
}

fn batch_top_k(k: usize) -> Latent {
    Latent::TopK(TopK { k, revival: None, of_batch: true })
}

fn cases(depth: usize, width: usize, rows: usize) -> impl Strategy<Value = Case> {
    let loss = prop::sample::select(vec![
        Loss::Mse,
        Loss::Mae,
        Loss::Huber { delta: 0.2 },
        Loss::Bce,
        Loss::SigmoidMse,
        Loss::GaussianNll,
    ]);
    let activation = prop::sample::select(Activation::ALL.to_vec());
    let hidden = prop::collection::vec(1..=width, 0..=depth);
    (1..=width, hidden, 1..=2 * width, any::<prop::sample::Index>(), activation, loss, 5..=rows, any::<u64>())
        .prop_map(|(input, hidden, code, k, activation, loss, rows, seed)| Case {
            input,
            hidden,
            code,
            k: 1 + k.index(code),
            activation,
            loss,
            rows,
            seed,
        })
}

/// The `k` largest of `values`, the first among equals, and zeros elsewhere; by sorting.
fn naive(values: &[f32], k: usize) -> Vec<f32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].partial_cmp(&values[*a]).unwrap().then(a.cmp(b)));
    let mut kept = vec![0.0; values.len()];
    order[..k].iter().for_each(|&index| kept[index] = values[index]);
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// With every loss and activation. The loss has a kink where a difference step changes the
    /// selection.
    #[test]
    fn gradients_agree_with_finite_differences(case in cases(1, 5, 12)) {
        let rows: Vec<usize> = (0..case.rows).collect();
        let table = case.table();
        let of_batch = case.with(batch_top_k(case.k), Dropout::default());
        for (isa, config) in Isa::available().flat_map(|isa| [(isa, case.config()), (isa, of_batch.clone())]) {
            let gradients = case.gradients(&config, isa);
            let mut trainer = case.trainer::<f64>(&config, isa, 1);
            let mut layers = trainer.layers();
            let settings = Settings { kinks: 1.0, step: 2e-5, tolerance: 3e-6 };
            let report = gradcheck::compare(&settings, &flat(&layers), &gradients, |values| {
                fill(&mut layers, values);
                layers.iter().enumerate().for_each(|(index, layer)| trainer.set_layer(index, layer).unwrap());
                trainer.enter(|session| session.gradients(&table, &rows)).unwrap().0
            });
            prop_assume!(report.kinks <= report.compared);
            prop_assert!(report.passes(&settings), "{isa}: {report:?}");
        }
    }

    /// Encodings are the largest values of those that the same encoder gives without selection, whether
    /// rows come together or alone, and reconstructions depend on nothing else.
    #[test]
    fn encodings_keep_the_largest(case in cases(1, 40, 80), double in any::<bool>()) {
        let table = case.table();
        let precision = if double { Precision::F64 } else { Precision::F32 };
        let plain = case.builder(Latent::Plain, Dropout::default()).precision(precision).build().unwrap();
        let sparse = case.builder(Latent::top_k(case.k), Dropout::default()).precision(precision).build().unwrap();
        for isa in Isa::available() {
            let rows = Rows::new(&table, case.input).unwrap();
            let model = Autoencoder::on(sparse.clone(), isa).unwrap();
            let dense = Autoencoder::on(plain.clone(), isa).unwrap();
            let codes = model.encode(&rows).unwrap();
            let all = dense.encode(&rows).unwrap();
            let pairs = codes.values().chunks(case.code).zip(all.values().chunks(case.code));
            for (codes, all) in pairs {
                if double {
                    // Values that are equal in f32 may differ in f64.
                    prop_assert!(codes.iter().filter(|x| **x != 0.0).count() <= case.k);
                    prop_assert!(codes.iter().zip(all).all(|(x, all)| *x == 0.0 || x == all));
                } else {
                    prop_assert_eq!(codes, naive(all, case.k), "{}", isa);
                }
            }
            let rebuilt = model.reconstruct(&rows).unwrap();
            if !double {
                let decoded = model.decode(&codes).unwrap();
                prop_assert_eq!(rebuilt.values(), decoded.values());
            }
            let errors = model.reconstruction_error(&rows, ErrorNorm::Sum).unwrap();
            let mut one = model.one_row().unwrap();
            let (mut code, mut row) = (vec![0.0; case.code], vec![0.0; case.input]);
            for index in 0..case.rows {
                let from = &table[index * case.input..][..case.input];
                one.encode(from, &mut code).unwrap();
                one.reconstruct(from, &mut row).unwrap();
                prop_assert_eq!(&code, &codes.values()[index * case.code..][..case.code]);
                prop_assert_eq!(&row, &rebuilt.values()[index * case.input..][..case.input]);
                prop_assert_eq!(one.error(from, ErrorNorm::Sum).unwrap(), errors[index]);
            }
        }
    }

    /// Sparse computation gives the numbers of dense computation, which negligible dropout enforces.
    #[test]
    fn sparse_steps_are_dense_steps(case in cases(0, 70, 150), relu in any::<bool>()) {
        // Sparse computation needs one of these activations and a code at least `4 k` wide.
        let activation = if relu { Activation::Relu } else { Activation::Linear };
        let case = Case { activation, code: 4 * case.code, ..case };
        let never = Dropout { input: 1e-300, hidden: 0.0 };
        let pair = |latent: Latent| (case.with(latent, Dropout::default()), case.with(latent, never));
        for (isa, latent) in Isa::available().flat_map(|isa| [(isa, Latent::top_k(case.k)), (isa, batch_top_k(case.k))]) {
            let (sparse, dense) = pair(latent);
            let learnt = case.learnt::<f32>(&sparse, isa, 1, Products::Plain);
            prop_assert_eq!(learnt, case.learnt::<f32>(&dense, isa, 1, Products::Plain), "{}", isa);
            let learnt = case.learnt::<f64>(&sparse, isa, 2, Products::Plain);
            prop_assert_eq!(learnt, case.learnt::<f64>(&dense, isa, 1, Products::Plain), "{}", isa);
        }
    }

    /// The number of threads does not change a bit.
    #[test]
    fn threads_change_nothing(case in cases(1, 60, 300)) {
        let of_batch = case.with(batch_top_k(case.k), Dropout::default());
        let ways = [Products::Plain, Products::Split];
        for (products, config) in ways.iter().flat_map(|ways| [(*ways, case.config()), (*ways, of_batch.clone())]) {
            let learnt = |threads| case.learnt::<f32>(&config, Isa::best(), threads, products);
            let first = learnt(1);
            prop_assert!(first.0.iter().all(|x| x.is_finite()));
            for threads in [2, 3] {
                prop_assert_eq!(&learnt(threads), &first, "{} threads, {:?}", threads, products);
            }
        }
    }
}

/// ReLU codes `[rows, code]` of a two-layer network, computed by hand, and the smallest of their `k`
/// largest values per row on average.
fn by_hand(layers: &[LayerParameters<f64>], table: &[f32], k: usize) -> (Vec<f64>, f64) {
    let LayerParameters { inputs, outputs, weights, bias } = &layers[0];
    let mut codes = Vec::new();
    for row in table.chunks(*inputs) {
        for feature in 0..*outputs {
            let products =
                row.iter().enumerate().map(|(i, x)| f64::from(*x) * weights[i * outputs + feature]);
            codes.push((bias[feature] + products.sum::<f64>()).max(0.0));
        }
    }
    let mut sorted: Vec<f64> = codes.iter().copied().filter(|x| *x > 0.0).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let last = (k * (table.len() / inputs)).min(sorted.len()) - 1;
    (codes, sorted[last])
}

/// The objective of a batch is that of codes reduced to the largest values of all rows together.
#[test]
fn batches_keep_the_largest_of_all_rows() {
    for (rows, code, k) in [(1, 7, 2), (17, 9, 3), (40, 33, 1), (150, 20, 20)] {
        let config = Config::builder(5).hidden_dims([]).encoding_dim(code).latent(batch_top_k(k));
        let config = config.scaler(ScalerKind::None).build().unwrap();
        let table = SplitMix64::new(9).uniform_f32s(rows * 5, 0.0, 1.0);
        for isa in Isa::available() {
            let mut trainer = Trainer::<f64>::new(&config, isa, Some(2)).unwrap();
            let layers = trainer.layers();
            let (codes, least) = by_hand(&layers, &table, k);
            let mut loss = 0.0;
            let mut counts = Vec::new();
            for (row, codes) in table.chunks(5).zip(codes.chunks(code)) {
                let kept: Vec<f64> = codes.iter().map(|x| if *x < least { 0.0 } else { *x }).collect();
                counts.push(kept.iter().filter(|x| **x > 0.0).count());
                for (i, x) in row.iter().enumerate() {
                    let products =
                        kept.iter().enumerate().map(|(j, code)| code * layers[1].weights[j * 5 + i]);
                    loss += 0.5 * (layers[1].bias[i] + products.sum::<f64>() - f64::from(*x)).powi(2);
                }
            }
            assert!(counts.iter().sum::<usize>() <= k * rows);
            assert!(rows < 17 || k == code || counts.iter().any(|count| *count != k), "{counts:?}");
            let all: Vec<usize> = (0..rows).collect();
            let (objective, _) = trainer.enter(|session| session.gradients(&table, &all)).unwrap();
            let expected = loss / rows as f64;
            assert!(
                (objective - expected).abs() < 1e-12 * (1.0 + expected),
                "{objective}, not {expected}: {isa}"
            );
        }
    }
}

/// The threshold in the file is the mean of the smallest values that the batches kept. Encodings reach
/// it, whatever rows they are computed with.
#[test]
fn encodings_of_batches_reach_a_threshold() {
    let (rows, input, code, k) = (60, 6, 24, 3);
    let config = Config::builder(input).hidden_dims([]).encoding_dim(code).latent(batch_top_k(k)).epochs(2);
    let config = config.scaler(ScalerKind::None).batch_size(rows).precision(Precision::F64).build().unwrap();
    let table = SplitMix64::new(2).uniform_f32s(rows * input, 0.0, 1.0);
    let all: Vec<usize> = (0..rows).collect();
    let mut trainer = Trainer::<f64>::new(&config, Isa::best(), Some(1)).unwrap();
    let first = by_hand(&trainer.layers(), &table, k).1;
    trainer.enter(|session| session.train_batch(&table, &all)).unwrap();
    let second = by_hand(&trainer.layers(), &table, k).1;

    let mut model = Autoencoder::new(config).unwrap();
    let data = Rows::new(&table, input).unwrap();
    model.fit(&data, &mut []).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("latent.threshold").unwrap();
    assert_eq!(tensor.shape(), [1]);
    let threshold = f64::from_le_bytes(tensor.data().try_into().unwrap());
    assert!((threshold - (first + second) / 2.0).abs() < 1e-12, "{threshold} of {first} and {second}");

    let loaded = Autoencoder::load(&path).unwrap();
    let codes = loaded.encode(&data).unwrap();
    assert_eq!(codes.values(), model.encode(&data).unwrap().values());
    let active = codes.values().iter().filter(|x| **x != 0.0);
    assert!(active.clone().count() > rows && active.clone().count() < 2 * k * rows);
    assert!(active.into_iter().all(|x| f64::from(*x) >= threshold * (1.0 - 1e-6)));
    let mut one = loaded.one_row().unwrap();
    let mut alone = vec![0.0; code];
    for (row, together) in table.chunks(input).zip(codes.values().chunks(code)) {
        one.encode(row, &mut alone).unwrap();
        assert_eq!(alone, together);
    }

    // A file that lacks the threshold, and one that has it but should not.
    let json =
        |of_batch: &str| format!("\"latent\":{{\"top-k\":{{\"k\":3{of_batch}}}}}").replace('"', "\\\"");
    let (with, without) = (json(",\"of_batch\":true"), json(""));
    let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
    assert!(text.contains(&with), "{}", &text[..600]);
    let pad = " ".repeat(with.len() - without.len());
    let at = bytes.windows(with.len()).position(|window| window == with.as_bytes()).unwrap();
    let mut changed = bytes.clone();
    changed[at..at + with.len()].copy_from_slice(format!("{without}{pad}").as_bytes());
    std::fs::write(&path, changed).unwrap();
    let error = chain(&Autoencoder::load(&path).unwrap_err());
    assert!(error.contains("latent.threshold"), "{error}");
}

/// Early stopping restores the threshold that belongs to the weights.
#[test]
fn a_threshold_follows_its_weights() {
    let table = SplitMix64::new(5).uniform_f32s(80 * 6, 0.0, 1.0);
    let data = Rows::new(&table, 6).unwrap();
    let config = Config::builder(6).hidden_dims([]).encoding_dim(24).latent(batch_top_k(2)).epochs(60);
    let config = config.optimizer(Optimizer::ADAM).learning_rate(0.03).validation(0.2).batch_size(16);
    let fitted = |config: ConfigBuilder| {
        let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
        let history = model.fit(&data, &mut []).unwrap();
        (history, model.encode(&data).unwrap().values().to_vec())
    };
    let (stopped, codes) = fitted(config.clone().early_stopping(EarlyStopping::after(3)));
    assert!(stopped.kept_epoch < stopped.epochs.len());
    assert_eq!(codes, fitted(config.epochs(stopped.kept_epoch)).1);
}

/// Of equal values the first are kept, on every instruction set and for any number of them.
#[test]
fn of_equals_the_first_are_kept() {
    for (code, k) in [(5, 2), (300, 7), (4000, 33), (40, 40)] {
        let config = Config::builder(1).encoding_dim(code).latent(Latent::top_k(k)).scaler(ScalerKind::None);
        for isa in Isa::available() {
            let mut trainer = Trainer::<f32>::new(&config.clone().build().unwrap(), isa, Some(1)).unwrap();
            let mut layers = trainer.layers();
            layers[0].weights.fill(1.0);
            layers[0].bias.fill(0.5);
            layers[1].weights.fill(1.0);
            trainer.set_layer(0, &layers[0]).unwrap();
            trainer.set_layer(1, &layers[1]).unwrap();
            let gradients = trainer.enter(|session| session.gradients(&[1.0], &[0]).unwrap().1);
            // Every kept value is 1.5; only the biases of kept values have a gradient.
            let kept: Vec<bool> = gradients[0].bias.iter().map(|g| *g != 0.0).collect();
            assert!(kept[..k].iter().all(|kept| *kept), "{isa}: {k} of {code}");
            assert!(!kept[k..].iter().any(|kept| *kept), "{isa}: {k} of {code}");
            assert!((f64::from(gradients[1].bias[0]) - (1.5 * k as f64 - 1.0)).abs() < 1e-4 * k as f64);
        }
    }
}

/// A gradient that ignores the selection must not pass.
#[test]
fn a_gradient_through_all_values_is_found() {
    let case = Case {
        input: 6,
        hidden: vec![5],
        code: 8,
        k: 2,
        activation: Activation::Tanh,
        loss: Loss::Mse,
        rows: 19,
        seed: 3,
    };
    let with = case.gradients(&case.config(), Isa::best());
    let without = case.gradients(&case.with(Latent::Plain, Dropout::default()), Isa::best());
    let difference: f64 = with.iter().zip(&without).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = with.iter().map(|a| a * a).sum();
    assert!(difference > 1e-3 * norm, "{difference:e} of {norm:e}");
}

#[test]
fn sparsity_by_hand() {
    // One input, three features with the values x, 2 x - 1 and x - 5, of which one is kept. The
    // reconstruction is half of the second.
    let config = Config::builder(1).encoding_dim(3).latent(Latent::top_k(1)).scaler(ScalerKind::None);
    let new = Autoencoder::new(config.build().unwrap()).unwrap();
    let layer = |inputs, outputs, weights: [f64; 3], bias: &[f64]| LayerParameters {
        inputs,
        outputs,
        weights: weights.to_vec(),
        bias: bias.to_vec(),
    };
    let layers = [layer(1, 3, [1.0, 2.0, 1.0], &[0.0, -1.0, -5.0]), layer(3, 1, [0.0, 0.5, 0.0], &[0.0])];
    let model = Autoencoder::from_layers(new.config().clone(), new.scaler().clone(), &layers).unwrap();
    // Rows 0 (nothing is above zero), 0.5 (the first feature), 2 and 4 (the second): reconstructed as 0,
    // 0, 1.5 and 3.5.
    let rows = [0.0, 0.5, 2.0, 4.0];
    let sparsity = model.sparsity(&Rows::new(&rows, 1).unwrap()).unwrap();
    assert!(model.is_sparse());
    assert_eq!(sparsity.active, 0.75);
    assert!((sparsity.dead - 1.0 / 3.0).abs() < 1e-12);
    let mean = 6.5 / 4.0;
    let spread: f64 = rows.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
    assert!((sparsity.variance_explained - (1.0 - 0.75 / spread)).abs() < 1e-6, "{sparsity:?}");
    // Rows that are all the same have no variance to explain.
    assert!(model.sparsity(&Rows::new(&[2.0; 4], 1).unwrap()).unwrap().variance_explained.is_nan());
}

#[test]
fn settings_are_checked_and_saved() {
    let base = |k| Config::builder(6).encoding_dim(9).latent(Latent::top_k(k));
    let revival = Some(Revival { k: 2, weight: 0.1, dead_after: 9, bias_lift: 0.0 });
    let both = Latent::TopK(TopK { k: 2, revival, of_batch: true });
    let error = base(2).latent(both).hidden_dims([]).build().unwrap_err().to_string();
    assert!(error.contains("of_batch"), "{error}");
    assert!(base(0).build().is_err() && base(10).build().is_err() && base(9).build().is_ok());
    let config = base(3).seed(4).build().unwrap();
    assert_eq!(config.encoding_activation(), Activation::Relu);
    assert_eq!(config.layer_dims(), [6, 9, 6]);
    let model = Autoencoder::new(config.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    let loaded = Autoencoder::load(&path).unwrap();
    assert_eq!(loaded.config(), &config);
    let table = SplitMix64::new(1).uniform_f32s(20 * 6, 0.0, 1.0);
    let rows = Rows::new(&table, 6).unwrap();
    let codes = model.encode(&rows).unwrap();
    assert_eq!(loaded.encode(&rows).unwrap().values(), codes.values());
    assert!(codes.values().chunks(9).all(|code| code.iter().filter(|x| **x != 0.0).count() <= 3));
    assert!(codes.values().iter().any(|x| *x != 0.0));
}

/// Codes that overflow all equal the largest, so more of them reach it than there is room for. This must
/// be an error, as for any divergence, and not a panic.
#[test]
fn infinite_codes_of_a_batch_are_a_divergence() {
    let latent = Latent::TopK(TopK { k: 2, revival: None, of_batch: true });
    for isa in Isa::available() {
        let config = Config::builder(4).encoding_dim(64).latent(latent).hidden_dims([]).build().unwrap();
        let mut trainer = Trainer::<f32>::new(&config, isa, Some(2)).unwrap();
        let mut encoder = trainer.layers().swap_remove(0);
        encoder.weights.fill(f32::NAN);
        assert!(matches!(trainer.set_layer(0, &encoder), Err(Error::Parameter { layer: 0, index: 0 })));
        encoder.weights.fill(f32::MAX);
        trainer.set_layer(0, &encoder).unwrap();
        let indices: Vec<usize> = (0..64).collect();
        let loss = trainer.enter(|session| session.train_batch(&[1.0f32; 4 * 64], &indices));
        assert!(matches!(loss, Err(Error::LossNotFinite { .. })), "{loss:?} on {isa}");
    }
}
