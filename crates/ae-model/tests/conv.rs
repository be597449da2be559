//! Convolutional autoencoders: gradients against finite differences of the objective, single against
//! double precision, threads, files, and the equivalence of 1x1 convolutions and dense layers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod parameters;

use ae_data::{BatchSource, Rows};
use ae_model::gradcheck::{self, Settings};
use ae_model::{
    Activation, Arithmetic, Autoencoder, CodePenalty, Config, ConfigBuilder, ConvLayer, Dropout,
    EarlyStopping, ErrorNorm, Gaussian, Image, ImageLayer, ImageLayers, Isa, Latent, Loss, Noise, Optimizer,
    PoolKind, PoolLayer, Precision, Products, ScalerKind, Trainer, WeightPenalty,
};
use ae_testing::random::SplitMix64;
use parameters::{fill, flat};
use proptest::prelude::*;

/// A random convolutional autoencoder.
#[derive(Clone, Debug)]
struct Kind {
    image: Image,
    layers: Vec<ImageLayer>,
    hidden: Vec<usize>,
    code: usize,
    activation: Activation,
    loss: Loss,
    noise: Option<Noise>,
    latent: Latent,
    penalty: Option<CodePenalty>,
    dropout: Dropout,
    weights: WeightPenalty,
    rows: usize,
    seed: u64,
}

impl Kind {
    fn builder(&self) -> ConfigBuilder {
        let Image { height, width, channels } = self.image;
        let mut builder = Config::builder(self.image.features())
            .optimizer(Optimizer::Sgd)
            .image(height, width, channels)
            .conv_layers(self.layers.clone())
            .hidden_dims(self.hidden.clone())
            .encoding_dim(self.code)
            .activation(self.activation)
            .loss(self.loss)
            .latent(self.latent)
            .dropout(self.dropout)
            .weight_penalty(self.weights)
            .scaler(ScalerKind::None)
            // With the usual rate some of them diverge.
            .learning_rate(1e-4)
            .seed(self.seed);
        if let Some(noise) = self.noise {
            builder = builder.noise(noise);
        }
        if let (Some(penalty), Latent::Plain) = (self.penalty, self.latent) {
            builder = builder.code_penalty(penalty);
        }
        builder
    }

    fn config(&self) -> Config {
        self.builder().build().unwrap()
    }

    fn table(&self) -> Vec<f32> {
        SplitMix64::new(self.seed).uniform_f32s(self.rows * self.image.features(), 0.05, 0.95)
    }

    fn trainer<T: Arithmetic>(&self, isa: Isa) -> Trainer<T> {
        let mut trainer = Trainer::new(&self.config(), isa, Some(1)).unwrap();
        let mut random = SplitMix64::new(!self.seed);
        for (index, mut layer) in trainer.layers().into_iter().enumerate() {
            layer.bias.iter_mut().for_each(|b| *b = T::from_f32(random.uniform_in(-0.3, 0.3) as f32));
            layer.weights.iter_mut().for_each(|w| *w = T::from_f32(w.to_f32()));
            trainer.set_layer(index, &layer).unwrap();
        }
        trainer
    }

    fn gradients<T: Arithmetic>(&self, isa: Isa) -> (f64, Vec<f64>) {
        let rows: Vec<usize> = (0..self.rows).collect();
        let mut trainer = self.trainer::<T>(isa);
        let (objective, layers) = trainer.enter(|session| session.gradients(&self.table(), &rows)).unwrap();
        (objective, flat(&layers))
    }

    fn has_kinks(&self) -> bool {
        matches!(self.activation, Activation::Relu | Activation::LeakyRelu | Activation::Elu)
            || matches!(self.loss, Loss::Mae | Loss::Huber { .. })
            || self.penalty.is_some()
            || self
                .layers
                .iter()
                .any(|layer| matches!(layer, ImageLayer::Pool(pool) if pool.pool == PoolKind::Max))
    }

    /// Compares `gradients` with finite differences.
    fn compare(&self, isa: Isa, gradients: &[f64], tolerance: f64) -> gradcheck::Report {
        let table = self.table();
        let rows: Vec<usize> = (0..self.rows).collect();
        let mut trainer = self.trainer::<f64>(isa);
        let mut layers = trainer.layers();
        let step = if self.has_kinks() { 2e-5 } else { 1e-4 };
        let settings = Settings { kinks: 1.0, step, tolerance };
        gradcheck::compare(&settings, &flat(&layers), gradients, |values| {
            fill(&mut layers, values);
            layers.iter().enumerate().for_each(|(index, layer)| trainer.set_layer(index, layer).unwrap());
            trainer.enter(|session| session.gradients(&table, &rows)).unwrap().0
        })
    }
}

fn kinds(size: usize, channels: usize) -> impl Strategy<Value = Kind> {
    let image = (1..=size, 1..=size, 1..=3usize);
    let image = image.prop_map(|(height, width, channels)| Image { height, width, channels });
    // With a padding of at least half the kernel, every kernel fits.
    let layer = (1..=channels, 1..=3usize, 1..=3usize, 0..=1usize, any::<bool>());
    let layer = layer.prop_map(|(channels, kernel, stride, more, grouped)| {
        let layer = ConvLayer::new(channels, kernel, stride).with_groups(if grouped { channels } else { 1 });
        ImageLayer::Conv(layer.with_padding(layer.padding + more))
    });
    let pool = (1..=3usize, any::<bool>()).prop_map(|(size, largest)| {
        ImageLayer::Pool(if largest { PoolLayer::max(size) } else { PoolLayer::mean(size) })
    });
    let layers = prop::collection::vec(prop_oneof![2 => layer, 1 => pool], 1..=4);
    let fraction = 0.1..0.6f64;
    let noise = prop_oneof![
        Just(None),
        (0.05..0.5f64).prop_map(|sigma| Some(Noise::Gaussian { sigma })),
        fraction.prop_map(|fraction| Some(Noise::Masking { fraction })),
    ];
    let loss = prop_oneof![
        Just(Loss::Mse),
        Just(Loss::Mae),
        Just(Loss::Huber { delta: 0.2 }),
        Just(Loss::Bce),
        Just(Loss::SigmoidMse)
    ];
    let plain = Gaussian::default();
    let latent = prop_oneof![
        Just(Latent::Plain),
        Just(Latent::gaussian()),
        (2..4usize).prop_map(move |samples| Latent::Gaussian(Gaussian { samples, ..plain })),
    ];
    let penalty = prop_oneof![Just(None), Just(Some(CodePenalty::L1 { weight: 0.1 }))];
    let dropout = prop_oneof![Just(Dropout::default()), Just(Dropout { input: 0.1, hidden: 0.3 })];
    let weights = prop_oneof![Just(WeightPenalty::default()), Just(WeightPenalty { l1: 0.002, l2: 0.1 })];
    let activation = prop::sample::select(Activation::ALL.to_vec());
    let hidden = prop::collection::vec(1..=5usize, 0..=1);
    let kind = (activation, loss, noise, latent, penalty, dropout, weights);
    (image, layers, (hidden, 1..=4usize), kind, 1..=20usize, any::<u64>()).prop_map(
        |(
            image,
            layers,
            (hidden, code),
            (activation, loss, noise, latent, penalty, dropout, weights),
            rows,
            seed,
        )| Kind {
            image,
            layers: that_fit(image, layers),
            hidden,
            code,
            activation,
            loss,
            noise,
            latent,
            penalty,
            dropout,
            weights,
            rows,
            seed,
        },
    )
}

/// The layers without poolings that do not fit, and where groups are asked for, with the most groups
/// that divide the channels on both sides.
fn that_fit(image: Image, layers: Vec<ImageLayer>) -> Vec<ImageLayer> {
    let Image { height, width, channels } = image;
    let mut fitting = Vec::new();
    let mut before = channels;
    for layer in layers {
        fitting.push(match layer {
            ImageLayer::Conv(conv) => {
                let divides = |groups: &usize| before % groups == 0 && conv.channels % groups == 0;
                let groups = (1..=conv.groups).rev().find(divides).unwrap();
                before = conv.channels;
                conv.with_groups(groups).into()
            }
            ImageLayer::Pool(_) => layer,
        });
        let builder = Config::builder(image.features()).image(height, width, channels);
        if builder.conv_layers(fitting.clone()).build().is_err() {
            fitting.pop();
        }
    }
    if fitting.is_empty() { vec![PoolLayer::max(1).into()] } else { fitting }
}

/// `‖a - b‖ / ‖b‖`
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

const TOLERANCE: f64 = 3e-6;

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Every parameter of small networks.
    #[test]
    fn every_kind_agrees_with_finite_differences(kind in kinds(5, 4)) {
        for isa in Isa::available() {
            let (_, gradients) = kind.gradients::<f64>(isa);
            let report = kind.compare(isa, &gradients, TOLERANCE);
            prop_assume!(report.kinks <= report.compared);
            let settings = Settings { kinks: 1.0, tolerance: TOLERANCE, ..Settings::default() };
            prop_assert!(report.passes(&settings), "{isa}: {report:?}");
        }
    }

    /// Larger networks in single precision against double precision. Asking for tiles changes nothing.
    #[test]
    fn single_precision_stays_near_double(kind in kinds(9, 20)) {
        prop_assume!(!kind.has_kinks());
        let (objective, exact) = kind.gradients::<f64>(Isa::best());
        for isa in Isa::available() {
            let (of_single, gradients) = kind.gradients::<f32>(isa);
            let error = distance(&gradients, &exact);
            prop_assert!(error <= 2f64.powi(-15), "on {isa}: {error:e}");
            let error = (of_single - objective).abs() / (1.0 + objective.abs());
            prop_assert!(error <= 1e-5, "on {isa}: objective off by {error:e}");
        }
    }

    /// The number of threads does not change a bit of the result.
    #[test]
    fn threads_change_nothing(kind in kinds(9, 20)) {
        let kind = Kind { rows: 131, ..kind };
        let table = kind.table();
        let learnt = |threads: usize, products: Products| {
            let mut trainer = Trainer::<f32>::new(&kind.config(), Isa::best(), Some(threads)).unwrap();
            trainer.set_products(products);
            trainer.enter(|session| {
                for step in 0..3 {
                    let rows: Vec<usize> = (0..97).map(|i| (i * 7 + step * 31) % 131).collect();
                    session.train_batch(&table, &rows).unwrap();
                }
            });
            flat(&trainer.layers())
        };
        let one = learnt(1, Products::Fastest);
        prop_assert!(one.iter().all(|x| x.is_finite()));
        for threads in [2, 3] {
            prop_assert!(learnt(threads, Products::Fastest) == one, "{threads} threads");
        }
        prop_assert!(learnt(2, Products::Split) == one, "tiles asked for");
    }
}

fn small() -> Kind {
    Kind {
        image: Image { height: 6, width: 5, channels: 2 },
        layers: vec![ConvLayer::new(3, 3, 2).into(), ConvLayer::new(4, 2, 1).with_padding(0).into()],
        hidden: vec![5],
        code: 3,
        activation: Activation::Tanh,
        loss: Loss::Mse,
        noise: None,
        latent: Latent::Plain,
        penalty: None,
        dropout: Dropout::default(),
        weights: WeightPenalty::default(),
        rows: 19,
        seed: 5,
    }
}

/// An error in any one gradient of a convolution, weight or bias, is found and located.
#[test]
fn planted_faults_are_found() {
    let kind = small();
    let isa = Isa::best();
    let (_, gradients) = kind.gradients::<f64>(isa);
    let settings = Settings::default();
    assert!(kind.compare(isa, &gradients, settings.tolerance).passes(&settings));
    let size = (gradients.iter().map(|g| g * g).sum::<f64>() / gradients.len() as f64).sqrt();
    let of_last = gradients.len() - 1;
    for at in [0, 9 * 2 * 3 - 1, 9 * 2 * 3, of_last, of_last - 30] {
        let mut wrong = gradients.clone();
        wrong[at] += 1e-4 * size.max(wrong[at].abs());
        let report = kind.compare(isa, &wrong, settings.tolerance);
        assert!(!report.passes(&settings), "{report:?}");
        assert_eq!(report.worst_at, at);
    }
}

/// A convolution of one-pixel images is a dense layer: it has the same initial weights, and training
/// differs only by rounding.
#[test]
fn convolutions_of_one_pixel_are_dense_layers() {
    let base = || Config::builder(12).encoding_dim(3).optimizer(Optimizer::ADAM).seed(4);
    let dense = base().hidden_dims([7, 5]).build().unwrap();
    let layers = [ConvLayer::new(7, 1, 1), ConvLayer::new(5, 1, 1)];
    let conv = base().image(1, 1, 12).conv_layers(layers).hidden_dims([]).build().unwrap();
    assert_eq!(conv.layer_dims(), dense.layer_dims());
    assert_eq!(conv.parameter_count(), dense.parameter_count());
    let table = SplitMix64::new(8).uniform_f32s(40 * 12, 0.0, 1.0);
    let rows: Vec<usize> = (0..40).collect();
    for isa in Isa::available() {
        let learnt = |config: &Config| {
            let mut trainer = Trainer::<f64>::new(config, isa, Some(1)).unwrap();
            let first = flat(&trainer.layers());
            for _ in 0..20 {
                trainer.enter(|session| session.train_batch(&table, &rows)).unwrap();
            }
            (first, flat(&trainer.layers()))
        };
        let (of_dense, of_conv) = (learnt(&dense), learnt(&conv));
        assert_eq!(of_dense.0, of_conv.0);
        assert!(distance(&of_conv.0, &of_dense.1) > 0.01);
        assert!(distance(&of_conv.1, &of_dense.1) < 1e-12, "on {isa}");
    }
}

/// Blobs at random places: `[rows, 8 * 8]`.
fn blobs(rows: usize) -> Vec<f32> {
    let mut random = SplitMix64::new(3);
    let mut table = Vec::new();
    for _ in 0..rows {
        let (y, x) = (random.uniform_in(1.0, 6.0), random.uniform_in(1.0, 6.0));
        table.extend((0..64).map(|i| {
            let (dy, dx) = ((i / 8) as f64 - y, (i % 8) as f64 - x);
            (-(dy * dy + dx * dx) / 3.0).exp() as f32
        }));
    }
    table
}

/// Training, files, and every way to run rows through the model.
#[test]
fn models_learn_and_survive_files() {
    for precision in [Precision::F32, Precision::F64] {
        let config = Config::builder(64)
            .image(8, 8, 1)
            .conv_layers([ConvLayer::new(6, 3, 2), ConvLayer::new(9, 3, 2)])
            .encoding_dim(3)
            .precision(precision)
            .optimizer(Optimizer::ADAM)
            .learning_rate(0.005)
            .epochs(60)
            .validation(0.1)
            .early_stopping(EarlyStopping::after(20))
            .build()
            .unwrap();
        let text = Autoencoder::new(config.clone()).unwrap().summary().to_string();
        assert!(text.contains("8x8x1-4x4x6-2x2x9-[3]-2x2x9-4x4x6-8x8x1"), "{text}");
        let table = blobs(600);
        let rows = Rows::new(&table, 64).unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        let history = model.fit(&rows, &mut []).unwrap();
        let first = history.epochs[0].train_mse;
        assert!(model.mse(&rows).unwrap() < first / 8.0, "{} after {first}", model.mse(&rows).unwrap());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        model.save(&path).unwrap();
        let loaded = Autoencoder::load(&path).unwrap();
        assert_eq!(loaded.config(), model.config());
        let values = |data: &dyn BatchSource| data.as_slice().unwrap().to_vec();
        let codes = model.encode(&rows).unwrap();
        let rebuilt = model.reconstruct(&rows).unwrap();
        assert_eq!(values(&loaded.encode(&rows).unwrap()), values(&codes));
        assert_eq!(values(&loaded.reconstruct(&rows).unwrap()), values(&rebuilt));
        // Encodings are returned in single precision.
        let decoded = values(&model.decode(&codes).unwrap());
        let off = decoded.iter().zip(values(&rebuilt)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= if precision == Precision::F32 { 0.0 } else { 1e-4 }, "off by {off}");
        let errors = model.reconstruction_error(&rows, ErrorNorm::Sum).unwrap();
        let mut one = loaded.one_row().unwrap();
        let (mut code, mut row) = ([0.0; 3], [0.0; 64]);
        for index in [0, 77, 599] {
            let input = &table[index * 64..][..64];
            one.encode(input, &mut code).unwrap();
            assert_eq!(code, values(&codes)[index * 3..][..3]);
            one.reconstruct(input, &mut row).unwrap();
            assert_eq!(row, values(&rebuilt)[index * 64..][..64]);
            assert_eq!(one.error(input, ErrorNorm::Sum).unwrap(), errors[index]);
        }

        let bytes = std::fs::read(&path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let shape = |name: &str| file.tensor(name).unwrap().shape().to_vec();
        assert_eq!(shape("encoder.0.weight"), [3, 3, 1, 6]);
        assert_eq!(shape("encoder.1.weight"), [3, 3, 6, 9]);
        assert_eq!(shape("encoder.2.weight"), [36, 3]);
        assert_eq!(shape("decoder.0.weight"), [3, 36]);
        assert_eq!(shape("decoder.1.weight"), [3, 3, 9, 6]);
        assert_eq!(shape("decoder.2.weight"), [3, 3, 6, 1]);
        assert_eq!(shape("decoder.1.bias"), [6]);
    }
}

/// Pooling squares that do not divide the image, before, between and after convolutions: the decoder
/// restores every size.
#[test]
fn pooled_models_learn_and_survive_files() {
    let ImageLayers(layers) = "avgpool 1, 6 3, pool 2, 9 2 g3, avgpool 2".parse().unwrap();
    let config = Config::builder(64)
        .image(8, 8, 1)
        .conv_layers(layers)
        .encoding_dim(5)
        .optimizer(Optimizer::ADAM)
        .learning_rate(0.01)
        .epochs(40)
        .build()
        .unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    let text = model.summary().to_string();
    let up = "8x8x1-8x8x1-8x8x6-4x4x6-5x5x9-2x2x9-[5]-2x2x9-5x5x9-4x4x6-8x8x6-8x8x1-8x8x1";
    assert!(text.contains(up), "{text}");
    let table = blobs(300);
    let rows = Rows::new(&table, 64).unwrap();
    let history = model.fit(&rows, &mut []).unwrap();
    let (first, last) = (history.epochs[0].train_mse, model.mse(&rows).unwrap());
    assert!(last < 0.75 * first, "{last} after {first}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    let loaded = Autoencoder::load(&path).unwrap();
    assert_eq!(loaded.config(), model.config());
    let values = |data: &dyn BatchSource| data.as_slice().unwrap().to_vec();
    let rebuilt = values(&model.reconstruct(&rows).unwrap());
    assert_eq!(values(&loaded.reconstruct(&rows).unwrap()), rebuilt);
    let (mut one, mut row) = (loaded.one_row().unwrap(), [0.0; 64]);
    one.reconstruct(&table[64..128], &mut row).unwrap();
    assert_eq!(row, rebuilt[64..128]);
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("encoder.1.weight").unwrap().shape(), [2, 2, 2, 9]);
    assert_eq!(file.tensor("encoder.2.weight").unwrap().shape(), [36, 5]);
    assert_eq!(file.tensor("decoder.2.weight").unwrap().shape(), [3, 3, 6, 1]);
    assert_eq!(file.names().len(), 15);
}

/// The default settings learn from small images and from large ones.
#[test]
fn defaults_learn() {
    let small = (blobs(300), [8, 8], 3);
    let curves = ae_data::curves(200, 0).unwrap();
    let large = (curves.as_slice().unwrap().to_vec(), [28, 28], 4);
    for (table, [height, width], code) in [small, large] {
        let builder = Config::builder(height * width).image(height, width, 1).encoding_dim(code).epochs(20);
        let config = builder.conv_layers([ConvLayer::new(4, 3, 2)]).build().unwrap();
        let usual = if height * width > 128 { 0.001 } else { 0.003 };
        assert_eq!((config.optimizer(), config.learning_rate()), (Optimizer::ADAM, usual));
        let mut model = Autoencoder::new(config).unwrap();
        let rows = Rows::new(&table, height * width).unwrap();
        let history = model.fit(&rows, &mut []).unwrap();
        let (first, last) = (history.epochs[0].train_mse, model.mse(&rows).unwrap());
        assert!(last < 0.75 * first, "{height}x{width}: {last} after {first}");
    }
}

/// Poolings are not normalised, so they neither suffice for it nor stand in its way.
#[test]
fn layer_normalisation_is_for_layers_with_weights() {
    let with = |layers: Vec<ImageLayer>| {
        let builder = Config::builder(64).image(8, 8, 1).conv_layers(layers).hidden_dims([]);
        builder.encoding_dim(2).layer_norm(true).build()
    };
    assert!(with(vec![PoolLayer::max(2).into()]).is_err());
    assert!(with(vec![ConvLayer::new(2, 3, 1).into(), PoolLayer::max(8).into()]).is_ok());
    assert!(with(vec![ConvLayer::new(2, 8, 1).with_padding(0).into()]).is_err(), "two values");
}

#[test]
fn configurations_that_do_not_fit_are_refused() {
    let builder = || small().builder();
    type Case = (&'static str, ConfigBuilder, &'static str);
    let cases: [Case; 9] = [
        (
            "no image",
            Config::builder(60).conv_layers([ConvLayer::new(3, 3, 2)]),
            "conv_layers is set, but must be left out without image: convolutions and poolings need the size",
        ),
        (
            "another width",
            Config::builder(59).image(6, 5, 2).conv_layers([ConvLayer::new(3, 3, 2)]),
            "input_dim = 59",
        ),
        ("bf16", builder().precision(Precision::Bf16), "precision is bf16"),
        ("gaussian", builder().loss(Loss::GaussianNll), "loss is gaussian-nll"),
        ("stride 0", builder().conv_layers([ConvLayer::new(3, 3, 0)]), "conv_layers.stride is 0"),
        ("no channels", builder().conv_layers([ConvLayer::new(0, 3, 1)]), "conv_layers.channels is 0"),
        (
            "too large",
            builder().conv_layers([ConvLayer::new(3, 3, 2), ConvLayer::new(3, 4, 1).with_padding(0)]),
            "'3 4 s1 p0' cannot follow 6x5x2 -> 3x3x3: a kernel of 4x4 does not fit into 3x3 pixels",
        ),
        (
            "groups",
            builder().conv_layers([ConvLayer::new(6, 3, 2), ConvLayer::new(8, 3, 1).with_groups(3)]),
            "'8 3 s1 g3' cannot follow 6x5x2 -> 3x3x6: 3 groups do not divide the 8 channels after it",
        ),
        (
            "too small",
            builder().conv_layers([PoolLayer::max(2), PoolLayer::mean(3)]),
            "'avgpool 3' cannot follow 6x5x2 -> 3x2x2: a square of 3x3 does not fit into 3x2 pixels",
        ),
    ];
    for (name, builder, text) in cases {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(text), "{name}: {error}");
    }
    let config = small().config();
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    let dense = serde_json::to_string(&Config::builder(4).build().unwrap()).unwrap();
    assert!(!dense.contains("image") && !dense.contains("conv"), "{dense}");
}
