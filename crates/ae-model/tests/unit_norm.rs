//! Decoder vectors at unit norm: they stay there under every update rule, and updates match naive
//! formulas, in dense and sparse computation.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_data::Dataset;
use ae_kernels::Element;
use ae_model::{
    Activation, Arithmetic, Autoencoder, CodePenalty, Config, ConfigBuilder, ConvLayer, Isa, Latent,
    LayerParameters, Loss, Optimizer, Products, Revival, ScalerKind, TopK, Trainer, WeightPenalty,
};
use ae_testing::random::SplitMix64;

const INPUT: usize = 13;
const ROWS: usize = 60;

fn table() -> Vec<f32> {
    SplitMix64::new(6).uniform_f32s(ROWS * INPUT, -1.0, 1.0)
}

/// A dictionary computed sparsely, one too narrow for it, and one with a penalty on its codes.
fn dictionaries() -> [(&'static str, ConfigBuilder); 3] {
    let base = || {
        Config::builder(INPUT)
            .optimizer(Optimizer::Sgd)
            .unit_norm(true)
            .scaler(ScalerKind::None)
            .learning_rate(0.01)
            .seed(2)
    };
    let priced = base().encoding_dim(40).activation(Activation::Relu);
    [
        ("sparse", base().encoding_dim(70).latent(Latent::top_k(4))),
        ("dense", base().encoding_dim(10).latent(Latent::top_k(4))),
        ("priced", priced.code_penalty(CodePenalty::L1 { weight: 0.01 })),
    ]
}

const RULES: [Optimizer; 5] =
    [Optimizer::Sgd, Optimizer::MOMENTUM, Optimizer::NESTEROV, Optimizer::ADAM, Optimizer::ADAMW];

/// The largest deviation of the decoder vectors' norms from 1.
fn off<T: Element>(layers: &[LayerParameters<T>]) -> f64 {
    let vectors = layers[1].weights.chunks_exact(layers[1].outputs);
    let norm = |vector: &[T]| vector.iter().map(|w| w.to_f64().powi(2)).sum::<f64>().sqrt();
    vectors.map(|vector| (norm(vector) - 1.0).abs()).fold(0.0, f64::max)
}

fn norms_stay<T: Arithmetic>(tolerance: f64) {
    for (name, builder) in dictionaries() {
        for optimizer in RULES {
            for products in [Products::Plain, Products::Split, Products::Bf16] {
                let penalty = WeightPenalty { l1: 1e-3, l2: 1e-2 };
                let config = builder.clone().optimizer(optimizer).weight_penalty(penalty).build().unwrap();
                let mut trainer = Trainer::<T>::new(&config, Isa::best(), Some(2)).unwrap();
                trainer.set_products(products);
                let before = trainer.layers();
                assert!(off(&before) <= tolerance, "{name}: at first {:e}", off(&before));
                trainer.enter(|session| {
                    for step in 0..20 {
                        let rows: Vec<usize> = (0..41).map(|i| (i * 7 + step * 11) % ROWS).collect();
                        session.train_batch(&table(), &rows).unwrap();
                    }
                });
                let after = trainer.layers();
                assert!(off(&after) <= tolerance, "{name}, {optimizer:?}, {products:?}: {:e}", off(&after));
                assert!(after[1].weights != before[1].weights, "{name}, {optimizer:?}: nothing was learnt");
            }
        }
    }
}

#[test]
fn vectors_keep_norm_one_under_every_rule() {
    norms_stay::<f64>(2e-15);
    norms_stay::<f32>(1e-6);
}

/// Adam in naive loops, for a given gradient: removes its components along the decoder's vectors, clips
/// it, and scales the vectors after the update.
struct Naive {
    layers: Vec<LayerParameters<f64>>,
    /// Running means of gradients and of their squares, layer by layer, weights and bias.
    state: Vec<[Vec<f64>; 2]>,
    time: i32,
}

impl Naive {
    fn new(layers: Vec<LayerParameters<f64>>) -> Naive {
        let zeros = |layer: &LayerParameters<f64>| vec![0.0; layer.weights.len() + layer.bias.len()];
        let state = layers.iter().map(|layer| [zeros(layer), zeros(layer)]).collect();
        Naive { layers, state, time: 0 }
    }

    fn step(&mut self, gradients: &[LayerParameters<f64>], clip: f64) {
        let mut gradients = gradients.to_vec();
        let width = self.layers[1].outputs;
        let vectors = self.layers[1].weights.chunks_exact(width);
        for (g, w) in gradients[1].weights.chunks_exact_mut(width).zip(vectors) {
            let along: f64 = g.iter().zip(w).map(|(g, w)| g * w).sum();
            g.iter_mut().zip(w).for_each(|(g, w)| *g -= along * w);
        }
        let all = || gradients.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias));
        let norm = all().map(|g| g * g).sum::<f64>().sqrt();
        let factor = if norm > clip { clip / norm } else { 1.0 };
        self.time += 1;
        for ((layer, gradient), [m, v]) in self.layers.iter_mut().zip(&gradients).zip(&mut self.state) {
            let parameters = layer.weights.iter_mut().chain(&mut layer.bias);
            let gradient = gradient.weights.iter().chain(&gradient.bias);
            for ((w, g), (m, v)) in parameters.zip(gradient).zip(m.iter_mut().zip(v)) {
                let g = g * factor;
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                let (mean, square) =
                    (*m / (1.0 - 0.9f64.powi(self.time)), *v / (1.0 - 0.999f64.powi(self.time)));
                *w -= 0.01 * mean / (square.sqrt() + 1e-8);
            }
        }
        for vector in self.layers[1].weights.chunks_exact_mut(width) {
            let norm = vector.iter().map(|w| w * w).sum::<f64>().sqrt();
            vector.iter_mut().for_each(|w| *w /= norm);
        }
    }
}

#[test]
fn updates_are_those_of_naive_loops() {
    let rows: Vec<usize> = (0..ROWS).collect();
    for (name, builder) in dictionaries() {
        // Once with a gradient that always exceeds the limit, once with one that never does.
        for clip in [0.05, 1e6] {
            for isa in Isa::available() {
                let penalty = WeightPenalty { l1: 0.002, l2: 0.01 };
                let builder = builder.clone().optimizer(Optimizer::ADAM).weight_penalty(penalty);
                let config = builder.clip_norm(clip).build().unwrap();
                let mut trainer = Trainer::<f64>::new(&config, isa, Some(1)).unwrap();
                let mut naive = Naive::new(trainer.layers());
                for step in 0..4 {
                    let (_, gradients) = trainer.enter(|session| session.gradients(&table(), &rows)).unwrap();
                    naive.step(&gradients, clip);
                    trainer.enter(|session| session.train_batch(&table(), &rows)).unwrap();
                    for (got, expected) in trainer.layers().iter().zip(&naive.layers) {
                        let pairs = got.weights.iter().chain(&got.bias);
                        for (got, expected) in pairs.zip(expected.weights.iter().chain(&expected.bias)) {
                            let error = (got - expected).abs();
                            assert!(error <= 1e-9, "{name}, {isa}, step {step}: {got} for {expected}");
                        }
                    }
                }
            }
        }
    }
}

/// A vector of zeros has no direction: it stays as it is until a gradient gives it one.
#[test]
fn a_vector_of_zeros_does_no_harm() {
    for (name, builder) in dictionaries() {
        let config = builder.build().unwrap();
        let mut trainer = Trainer::<f32>::new(&config, Isa::best(), Some(1)).unwrap();
        let mut decoder = trainer.layers().swap_remove(1);
        decoder.weights[2 * INPUT..3 * INPUT].fill(0.0);
        trainer.set_layer(1, &decoder).unwrap();
        let rows: Vec<usize> = (0..ROWS).collect();
        trainer.enter(|session| session.train_batch(&table(), &rows)).unwrap();
        let after = trainer.layers().swap_remove(1).weights;
        let norm = after[2 * INPUT..3 * INPUT].iter().map(|w| w * w).sum::<f32>().sqrt();
        assert!(norm == 0.0 || (norm - 1.0).abs() < 1e-6, "{name}: {norm}");
        assert!(after.iter().all(|w| w.is_finite()), "{name}");
    }
}

/// Includes a network so large that the normalisation is shared among threads.
#[test]
fn threads_change_nothing() {
    let wide = |(name, builder): (&'static str, ConfigBuilder)| (name, builder, 24_000);
    let few = dictionaries().map(|(name, builder)| (name, builder, 300));
    let [sparse, ..] = dictionaries();
    for (name, builder, codes) in few.into_iter().chain([wide(sparse)]) {
        let config = builder.encoding_dim(codes).optimizer(Optimizer::ADAM).build().unwrap();
        let learnt = |threads: usize| {
            let mut trainer = Trainer::<f32>::new(&config, Isa::best(), Some(threads)).unwrap();
            let rows: Vec<usize> = (0..ROWS).collect();
            trainer.enter(|session| {
                for _ in 0..3 {
                    session.train_batch(&table(), &rows).unwrap();
                }
            });
            trainer.layers()
        };
        let one = learnt(1);
        assert!(learnt(2) == one && learnt(3) == one, "{name}");
    }
}

/// Norms hold through epochs, with revived dead features, and through a file.
#[test]
fn models_keep_their_norms() {
    let rows = Dataset::new(table(), INPUT).unwrap();
    let revival = Revival { k: 6, weight: Revival::WEIGHT, dead_after: 80, bias_lift: 0.0 };
    let builder = Config::builder(INPUT).encoding_dim(64).latent(Latent::TopK(TopK {
        k: 3,
        revival: Some(revival),
        of_batch: false,
    }));
    let config =
        builder.unit_norm(true).optimizer(Optimizer::ADAM).epochs(40).batch_size(20).build().unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    let before = model.mse(&rows).unwrap();
    model.fit(&rows, &mut []).unwrap();
    assert!(off(&model.layers()) <= 1e-6 && model.mse(&rows).unwrap() < before);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    let loaded = Autoencoder::load(&path).unwrap();
    assert!(loaded.config().unit_norm() && loaded.layers() == model.layers());
    assert_eq!(loaded.reconstruct(&rows).unwrap(), model.reconstruct(&rows).unwrap());
}

#[test]
fn norms_that_make_no_sense_are_refused() {
    let base = || Config::builder(50).encoding_dim(3).unit_norm(true);
    let says = |builder: ConfigBuilder| builder.build().unwrap_err().to_string();
    let config = base().build().unwrap();
    assert!(config.hidden_dims().is_empty(), "none by default");
    assert!(says(base().hidden_dims([20])).starts_with("unit_norm is set, but must be left out with hidden"));
    let images = base().image(10, 5, 1).conv_layers([ConvLayer::new(2, 3, 2)]);
    assert!(says(images).contains("hidden layers or convolutions"));
    assert!(says(base().latent(Latent::gaussian())).contains("Gaussian latent"));
    assert!(says(base().loss(Loss::GaussianNll)).contains("gaussian-nll"));
    assert!(says(base().tied_weights(true)).contains("left out with tied_weights"));
    assert!(says(base().ema(0.9)).contains("left out with ema"));
    let json = serde_json::to_string(&config).unwrap();
    assert!(json.contains("\"unit_norm\":true"));
    assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    let plain = Config::builder(50).encoding_dim(3).build().unwrap();
    assert!(!serde_json::to_string(&plain).unwrap().contains("unit_norm"));
}
