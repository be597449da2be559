//! A training that is stopped and resumed gives the same bits as one that is not, in every
//! configuration, and never resumes from the checkpoint of a different training.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ae_data::{BatchSource, Dataset, Fingerprint, Pairs};
use ae_model::{
    Activation, Arithmetic, Autoencoder, BatchEnd, Callback, Checkpoints, CodePenalty, Config, ConfigBuilder,
    Dropout, EarlyStopping, EpochRecord, Error, FileErrorKind, Gaussian, History, ImageLayers, Isa, Latent,
    Loss, Noise, Optimizer, Precision, Revival, Scaler, ScalerKind, Schedule, Snapshot, StopReason, TopK,
    Trainer, WeightPenalty,
};
use ae_testing::chain;
use ae_testing::random::SplitMix64;
use proptest::prelude::*;
use serde_json::{Value, json};

const FEATURES: usize = 36;

fn rows(seed: u64) -> Dataset {
    Dataset::new(SplitMix64::new(seed).uniform_f32s(100 * FEATURES, 0.0, 1.0), FEATURES).unwrap()
}

/// Eleven updates per epoch, four epochs.
fn base() -> ConfigBuilder {
    Config::builder(FEATURES)
        .optimizer(Optimizer::Sgd)
        .hidden_dims([20])
        .encoding_dim(6)
        .batch_size(8)
        .epochs(4)
        .validation(0.15)
        .seed(7)
}

/// A wide code without hidden layers.
fn wide() -> ConfigBuilder {
    base().hidden_dims([]).encoding_dim(80).activation(Activation::Relu)
}

/// Stops training after some updates; records what it was told on resuming.
#[derive(Default)]
struct Stop {
    after: usize,
    resumed: Vec<usize>,
}

impl Callback for Stop {
    fn on_resume(&mut self, epochs: &[EpochRecord]) {
        self.resumed.push(epochs.len());
    }

    fn on_batch_end(&mut self, _: &BatchEnd) -> ControlFlow<String> {
        self.after -= 1;
        if self.after == 0 { ControlFlow::Break("enough".to_owned()) } else { ControlFlow::Continue(()) }
    }
}

fn model(config: &Config, threads: usize) -> Autoencoder {
    let mut model = Autoencoder::new(config.clone()).unwrap();
    model.set_threads(Some(threads)).unwrap();
    model
}

/// What must be equal: a fingerprint of the weights' bits, and the epochs without their times.
fn outcome(model: &Autoencoder, history: &History) -> (u64, History) {
    let layers = model.layers();
    let values = layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias));
    let bytes: Vec<u8> = values.flat_map(|x| x.to_le_bytes()).collect();
    let hash = Fingerprint::default().with_bytes(&bytes).bits();
    (hash, history.clone().without_times())
}

fn whole(config: &Config, data: &dyn BatchSource) -> (u64, History) {
    let mut model = model(config, 2);
    let history = model.fit(data, &mut []).unwrap();
    outcome(&model, &history)
}

/// Trains, with a new model after each stop, until training finishes; `updates` cycles through the
/// number of updates between stops.
fn in_parts(config: &Config, data: &dyn BatchSource, path: &Path, updates: &[usize]) -> (u64, History) {
    for part in 0.. {
        let mut model = model(config, 1 + part % 3);
        let mut stop = Stop { after: updates[part % updates.len()], resumed: Vec::new() };
        let history = model.fit_resumable(data, &Checkpoints::at(path), &mut [&mut stop]).unwrap();
        assert_eq!(stop.resumed.len(), usize::from(part > 0), "part {part}");
        if !matches!(history.stopped, StopReason::Callback(_)) {
            return outcome(&model, &history);
        }
        assert!(part < 1000, "it never ends");
    }
    unreachable!("the loop has no end");
}

fn kinds() -> Vec<(&'static str, Config)> {
    let ImageLayers(conv) = "4 3 s2, pool 2".parse().unwrap();
    let revival = Revival { k: 10, weight: Revival::WEIGHT, dead_after: 30, bias_lift: Revival::BIAS_LIFT };
    let kinds = [
        ("plain", base()),
        ("early stopping", base().early_stopping(EarlyStopping::after(1)).learning_rate(0.05).epochs(30)),
        ("Adam", base().optimizer(Optimizer::ADAM).schedule(Schedule::Cosine { end: 0.1 })),
        ("Nesterov, one cycle", {
            base().optimizer(Optimizer::NESTEROV).schedule(Schedule::OneCycle { warm_up: 0.3 })
        }),
        ("AdamW, clipped, averaged", {
            base().optimizer(Optimizer::ADAMW).clip_norm(0.5).ema(0.9).early_stopping(EarlyStopping::after(2))
        }),
        ("momentum, plateau", {
            let schedule = Schedule::Plateau { factor: 0.5, patience: 1 };
            base().optimizer(Optimizer::MOMENTUM).schedule(schedule).learning_rate(0.05).epochs(12)
        }),
        ("double precision", base().precision(Precision::F64).optimizer(Optimizer::ADAM)),
        ("mixed precision", base().precision(Precision::Bf16).optimizer(Optimizer::ADAM)),
        ("denoising, dropout, no validation", {
            let dropout = Dropout { input: 0.1, hidden: 0.2 };
            base().noise(Noise::Gaussian { sigma: 0.3 }).dropout(dropout).validation(0.0)
        }),
        ("KL penalty, L1", {
            base()
                .code_penalty(CodePenalty::Kl { target: 0.1, weight: 0.1 })
                .encoding_activation(Activation::Sigmoid)
                .weight_penalty(WeightPenalty { l1: 1e-4, l2: 1e-4 })
        }),
        ("variational, warming up", {
            let latent = Gaussian { warm_up: 3, ..Gaussian::default() };
            base().latent(Latent::Gaussian(latent)).loss(Loss::Bce).optimizer(Optimizer::ADAM)
        }),
        ("variational, warming up, early stopping on the training loss", {
            let latent = Gaussian { warm_up: 2, ..Gaussian::default() };
            let stopping = EarlyStopping::after(1);
            base().latent(Latent::Gaussian(latent)).loss(Loss::Bce).validation(0.0).early_stopping(stopping)
        }),
        ("top-k, revived", {
            let latent = TopK { k: 3, revival: Some(revival), of_batch: false };
            wide().latent(Latent::TopK(latent)).unit_norm(true)
        }),
        ("top-k of batches", {
            let latent = TopK { k: 3, revival: None, of_batch: true };
            wide().latent(Latent::TopK(latent)).optimizer(Optimizer::ADAM)
        }),
        ("tied, contractive", base().hidden_dims([]).tied_weights(true).contractive(0.1)),
        ("normalised, masked", base().layer_norm(true).mask_missing(true).scaler(ScalerKind::Standard)),
        ("convolutions", base().hidden_dims([]).image(6, 6, 1).conv_layers(conv)),
    ];
    kinds
        .into_iter()
        .map(|(name, builder)| (name, builder.build().unwrap_or_else(|error| panic!("{name}: {error}"))))
        .collect()
}

#[test]
fn every_kind_goes_on_as_if_nothing_had_been() {
    let folder = tempfile::tempdir().unwrap();
    let data = rows(1);
    for (number, (kind, config)) in kinds().iter().enumerate() {
        let expected = whole(config, &data);
        let History { epochs, stopped, .. } = &expected.1;
        assert!(epochs.len() > 1, "{kind}");
        assert_eq!(*stopped == StopReason::EarlyStopping, kind.starts_with("early"), "{kind}: {stopped:?}");
        let slower = epochs.last().unwrap().learning_rate < 0.5 * config.learning_rate();
        assert_eq!(slower, config.schedule() != Schedule::Constant, "{kind}");
        let path = folder.path().join(format!("{number}.checkpoint"));
        assert_eq!(in_parts(config, &data, &path, &[5, 17, 1, 11]), expected, "{kind}");
        // Resuming a finished training gives the same result at once.
        let mut again = model(config, 2);
        let mut stop = Stop { after: 1, resumed: Vec::new() };
        let history = again.fit_resumable(&data, &Checkpoints::at(&path), &mut [&mut stop]).unwrap();
        assert_eq!(outcome(&again, &history), expected, "{kind}, again");
        assert_eq!(stop.resumed, [expected.1.epochs.len()], "{kind}");
    }
}

#[test]
fn pairs_and_models_that_start_at_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (data, targets) = (rows(1), rows(2));
    let pairs = Pairs::new(&data, &targets).unwrap();
    let config = base().optimizer(Optimizer::ADAM).build().unwrap();
    let expected = whole(&config, &pairs);
    assert_eq!(in_parts(&config, &pairs, &folder.path().join("pairs"), &[13]), expected);

    let mut first = model(&config, 2);
    first.fit(&data, &mut []).unwrap();
    let mut next = Autoencoder::warm_start(config.clone(), &first).unwrap();
    let history = next.fit(&data, &mut []).unwrap();
    let expected = outcome(&next, &history);
    let checkpoints = Checkpoints::at(folder.path().join("next"));
    let mut stop = Stop { after: 20, resumed: Vec::new() };
    let mut part = Autoencoder::warm_start(config.clone(), &first).unwrap();
    part.fit_resumable(&data, &checkpoints, &mut [&mut stop]).unwrap();
    let mut rest = Autoencoder::warm_start(config.clone(), &first).unwrap();
    let history = rest.fit_resumable(&data, &checkpoints, &mut []).unwrap();
    assert_eq!(outcome(&rest, &history), expected);
    // The same settings and rows with other initial weights are another training.
    let error = model(&config, 1).fit_resumable(&data, &checkpoints, &mut []).unwrap_err();
    assert!(matches!(error, Error::OtherTraining { .. }), "{error}");
}

#[test]
fn a_start_with_another_threshold_is_another_training() {
    let folder = tempfile::tempdir().unwrap();
    let (data, checkpoints) = (rows(1), Checkpoints::at(folder.path().join("next")));
    let of_batch = Latent::TopK(TopK { of_batch: true, ..TopK::new(4) });
    let config = wide().latent(of_batch).epochs(1).build().unwrap();
    let mut first = model(&config, 1);
    first.fit(&data, &mut []).unwrap();
    let resumed = |first: &Autoencoder| {
        Autoencoder::warm_start(config.clone(), first).unwrap().fit_resumable(&data, &checkpoints, &mut [])
    };
    resumed(&first).unwrap();
    resumed(&first).unwrap();
    first.set_latent_threshold(0.5 * first.latent_threshold().unwrap()).unwrap();
    assert!(matches!(resumed(&first), Err(Error::OtherTraining { .. })));
}

/// Copies the checkpoint after an update, as if the process had been killed there.
struct Killed<'a> {
    at: usize,
    from: &'a Path,
    to: &'a Path,
}

impl Callback for Killed<'_> {
    fn on_batch_end(&mut self, _: &BatchEnd) -> ControlFlow<String> {
        self.at = self.at.wrapping_sub(1);
        if self.at == 0 {
            std::fs::copy(self.from, self.to).unwrap();
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn what_was_written_before_a_crash_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a"), folder.path().join("b"));
    let data = rows(1);
    let config = base().optimizer(Optimizer::ADAM).ema(0.9).build().unwrap();
    let expected = whole(&config, &data);
    // In the middle of an epoch, after its last update, and after the first of the next.
    for at in [4, 11, 12] {
        let mut killed = Killed { at, from: &path, to: &copy };
        let always = Checkpoints::at(&path).every(Duration::ZERO);
        model(&config, 2).fit_resumable(&data, &always, &mut [&mut killed]).unwrap();
        let mut rest = model(&config, 1);
        let history = rest.fit_resumable(&data, &Checkpoints::at(&copy), &mut []).unwrap();
        assert_eq!(outcome(&rest, &history), expected, "after update {at}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn training_may_become_longer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("longer");
    let data = rows(1);
    let of = |epochs: usize| base().epochs(epochs).optimizer(Optimizer::ADAM).build().unwrap();
    let checkpoints = Checkpoints::at(&path);
    model(&of(3), 1).fit_resumable(&data, &checkpoints, &mut []).unwrap();
    let mut longer = model(&of(6), 1);
    let history = longer.fit_resumable(&data, &checkpoints, &mut []).unwrap();
    assert_eq!(outcome(&longer, &history), whole(&of(6), &data));
    let error = model(&of(5), 1).fit_resumable(&data, &checkpoints, &mut []).unwrap_err().to_string();
    assert!(error.contains("it is in epoch 6 already, and epochs is 5"), "{error}");
    // Stopped in the middle of the third epoch, it cannot continue as a training of two epochs.
    let checkpoints = Checkpoints::at(folder.path().join("shorter"));
    let mut stop = Stop { after: 25, resumed: Vec::new() };
    model(&of(6), 1).fit_resumable(&data, &checkpoints, &mut [&mut stop]).unwrap();
    let error = model(&of(2), 1).fit_resumable(&data, &checkpoints, &mut []).unwrap_err().to_string();
    assert!(error.contains("it is in epoch 3 already, and epochs is 2"), "{error}");
    let mut shorter = model(&of(3), 1);
    let history = shorter.fit_resumable(&data, &checkpoints, &mut []).unwrap();
    assert_eq!(outcome(&shorter, &history), whole(&of(3), &data));
    // A cosine over three epochs is not the start of one over six.
    let of = |epochs| base().epochs(epochs).schedule(Schedule::Cosine { end: 0.0 }).build().unwrap();
    let checkpoints = Checkpoints::at(folder.path().join("cosine"));
    model(&of(3), 1).fit_resumable(&data, &checkpoints, &mut []).unwrap();
    let error = model(&of(6), 1).fit_resumable(&data, &checkpoints, &mut []).unwrap_err().to_string();
    assert!(error.contains("its epochs are 3, and here they are 6, on which the cosine schedule"), "{error}");
}

/// A checkpoint after 30 updates, and the configuration of its training.
fn some(folder: &Path) -> (PathBuf, Config) {
    let path = folder.join("some.checkpoint");
    let config = base().optimizer(Optimizer::ADAM).early_stopping(EarlyStopping::after(3)).build().unwrap();
    let mut stop = Stop { after: 30, resumed: Vec::new() };
    model(&config, 1).fit_resumable(&rows(1), &Checkpoints::at(&path), &mut [&mut stop]).unwrap();
    (path, config)
}

#[test]
fn other_trainings_are_refused_before_anything_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = some(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    let other = base().optimizer(Optimizer::ADAM).early_stopping(EarlyStopping::after(4)).build().unwrap();
    let faster = config.clone().with_learning_rate(0.5).unwrap();
    for (config, data, says) in [
        (&config, rows(2), "its rows, their scale or its first weights are others"),
        (&other, rows(1), "its early_stopping is"),
        (&faster, rows(1), "its learning_rate is 0.003, and here it is 0.5"),
    ] {
        let mut model = model(config, 1);
        let before = (model.layers(), model.scaler().clone());
        let error = model.fit_resumable(&data, &Checkpoints::at(&path), &mut []).unwrap_err();
        assert!(matches!(error, Error::OtherTraining { .. }), "{error}");
        assert!(chain(&error).contains(says), "{error}");
        assert_eq!((model.layers(), model.scaler().clone()), before);
        assert!(!model.is_fitted());
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "the checkpoint is as it was");
    }
}

#[test]
fn a_checkpoint_is_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = some(folder.path());
    let loaded = Autoencoder::load(&path).unwrap();
    // The weights of that moment; with early stopping, the model itself would keep the best ones.
    let patient = ConfigBuilder::from(config.clone()).early_stopping(None).build().unwrap();
    let mut there = model(&patient, 1);
    let mut stop = Stop { after: 30, resumed: Vec::new() };
    there.fit(&rows(1), &mut [&mut stop]).unwrap();
    assert_eq!(loaded.layers(), there.layers());
    assert_eq!(loaded.encode(&rows(1)).unwrap(), there.encode(&rows(1)).unwrap());
    assert_eq!(loaded.history().unwrap().epochs.len(), 2);
    assert_eq!(loaded.history().unwrap().stopped, StopReason::Callback("enough".to_owned()));
    // But a model file is not a checkpoint.
    let file = folder.path().join("model.safetensors");
    there.save(&file).unwrap();
    let error = model(&config, 1).fit_resumable(&rows(1), &Checkpoints::at(&file), &mut []).unwrap_err();
    assert!(matches!(error, Error::File { kind: FileErrorKind::NotACheckpoint, .. }), "{error}");
}

#[test]
fn places_that_cannot_be_written_are_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let config = base().build().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("no/a.checkpoint")] {
        let mut model = model(&config, 1);
        let error = model.fit_resumable(&rows(1), &Checkpoints::at(&path), &mut []).unwrap_err();
        assert!(matches!(error, Error::File { kind: FileErrorKind::Io(_), .. }), "{error}");
        assert!(!model.is_fitted());
    }
}

/// Diverges in the first update, to weights that are not finite: the error reports that, not the file.
#[test]
fn divergence_is_told_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::at(folder.path().join("far")).every(Duration::ZERO);
    let linear = base().activation(Activation::Linear).scaler(ScalerKind::None);
    let config = linear.learning_rate(1e6).validation(0.0).build().unwrap();
    let large = rows(1).values().iter().map(|x| x * 1e18).collect();
    let large = Dataset::new(large, FEATURES).unwrap();
    let error = model(&config, 1).fit_resumable(&large, &checkpoints, &mut []).unwrap_err();
    assert!(matches!(error, Error::Diverged { epoch: 1, batch: 2, .. }), "{error}");
    // The checkpoint has learnt nothing, so it is no reason to refuse other settings.
    let slower = config.with_learning_rate(1e-38).unwrap();
    model(&slower, 1).fit_resumable(&large, &checkpoints, &mut []).unwrap();
}

/// Means of squares that overflow make steps of zero, with and without checkpoints.
#[test]
fn a_state_that_is_infinite_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let large = rows(1).values().iter().map(|x| (x - 0.5) * 1e12).collect();
    let large = Dataset::new(large, FEATURES).unwrap();
    let config = base().activation(Activation::Relu).scaler(ScalerKind::None).optimizer(Optimizer::ADAM);
    let config = config.build().unwrap();
    let expected = whole(&config, &large);
    assert_eq!(in_parts(&config, &large, &folder.path().join("far"), &[13]), expected);
}

/// Removes the checkpoint's folder at the end of an epoch.
struct Removed<'a>(usize, &'a Path);

impl Callback for Removed<'_> {
    fn on_epoch_end(&mut self, record: &EpochRecord, _: &Snapshot<'_>) -> ControlFlow<String> {
        if record.epoch == self.0 {
            std::fs::remove_dir_all(self.1).unwrap();
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_costs_no_training() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let config = base().early_stopping(EarlyStopping::after(2)).build().unwrap();
    let checkpoints = Checkpoints::at(inner.join("c")).every(Duration::ZERO);
    let mut there = model(&config, 1);
    let mut removed = Removed(2, &inner);
    let error = there.fit_resumable(&rows(1), &checkpoints, &mut [&mut removed]).unwrap_err();
    assert!(matches!(error, Error::File { kind: FileErrorKind::Io(_), .. }), "{error}");
    let mut plain = model(&config, 1);
    plain.fit(&rows(1), &mut []).unwrap();
    assert_eq!(there.layers(), plain.layers());
    let epochs = |model: &Autoencoder| model.history().map(|history| history.epochs.len());
    assert_eq!(epochs(&there), epochs(&plain));
}

/// Applies to CPUs with an arithmetic whose bits differ from the portable one.
#[test]
fn other_arithmetics_do_not_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::at(folder.path().join("a"));
    let config = base().build().unwrap();
    let on = |isa: Isa| Autoencoder::on(config.clone(), isa).unwrap();
    let portable = Isa::available().find(|isa| matches!(isa, Isa::Portable(_))).unwrap();
    let mut stop = Stop { after: 20, resumed: Vec::new() };
    on(portable).fit_resumable(&rows(1), &checkpoints, &mut [&mut stop]).unwrap();
    for isa in Isa::available().filter(|isa| !matches!(isa, Isa::Portable(_))) {
        let error = on(isa).fit_resumable(&rows(1), &checkpoints, &mut []).unwrap_err().to_string();
        assert!(error.contains("its arithmetic is portable"), "{isa}: {error}");
    }
    on(portable).fit_resumable(&rows(1), &checkpoints, &mut []).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Truncated anywhere or with any byte changed, a checkpoint is refused or resumed, without a panic.
    #[test]
    fn damaged_checkpoints_do_no_harm(cut in any::<prop::sample::Index>(), byte in any::<u8>(), cuts in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let (path, config) = some(folder.path());
        let mut bytes = std::fs::read(&path).unwrap();
        // Most of what can go wrong is in the text at the start.
        let at = if cuts { cut.index(bytes.len()) } else { cut.index(bytes.len().min(6000)) };
        if cuts {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        std::fs::write(&path, bytes).unwrap();
        let mut model = model(&config, 1);
        match model.fit_resumable(&rows(1), &Checkpoints::at(&path), &mut []) {
            Ok(history) => prop_assert_eq!(outcome(&model, &history), whole(&config, &rows(1))),
            Err(error) => prop_assert!(error.to_string().contains("some.checkpoint"), "{error}"),
        }
    }
}

/// A file with a changed text in its header and one more tensor, sealed again.
fn resealed(
    file: &[u8],
    (text, change): (&str, impl FnOnce(&mut Value)),
    (name, like): (&str, &str),
) -> Vec<u8> {
    let (length, rest) = file.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let (mut header, mut data): (Value, _) = (serde_json::from_slice(header).unwrap(), data.to_vec());
    let place = |tensor: &Value| {
        let [start, end] = [0, 1].map(|n| tensor["data_offsets"][n].as_u64().unwrap() as usize);
        start..end
    };
    let mut tensor = header[like].clone();
    let start = data.len();
    data.extend_from_within(place(&tensor));
    tensor["data_offsets"] = json!([start, data.len()]);
    header[name] = tensor;
    let mut object = serde_json::from_str(header["__metadata__"][text].as_str().unwrap()).unwrap();
    change(&mut object);
    let metadata = header["__metadata__"].as_object_mut().unwrap();
    metadata.insert(text.to_owned(), object.to_string().into());
    metadata.remove("ae.digest");
    // `serde_json` keeps keys sorted, as digests need them.
    let print = metadata
        .iter()
        .fold(Fingerprint::default(), |print, (key, text)| print.with(key).with(text.as_str().unwrap()));
    let tensors = header.as_object().unwrap().iter().filter(|(key, _)| *key != "__metadata__");
    let print = tensors.fold(print, |print, (key, tensor)| print.with(key).with_bytes(&data[place(tensor)]));
    header["__metadata__"]["ae.digest"] = format!("{:016x}", print.bits()).into();
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

/// A best epoch belongs to early stopping, without which there is no room for its weights.
#[test]
fn a_best_epoch_without_early_stopping_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.checkpoint");
    let config = base().build().unwrap();
    let checkpoints = Checkpoints::at(&path).every(Duration::ZERO);
    model(&config, 1)
        .fit_resumable(&rows(1), &checkpoints, &mut [&mut Stop { after: 25, resumed: Vec::new() }])
        .unwrap();
    let file = std::fs::read(&path).unwrap();
    let added = ("training.best", "training.parameters");
    for (best, is_refused) in
        [(Value::Null, false), (json!({ "loss": 0.1, "epoch": 1, "threshold": 0.0 }), true)]
    {
        let change = |training: &mut Value| training["best"] = best.clone();
        std::fs::write(&path, resealed(&file, ("ae.training", change), added)).unwrap();
        let result = model(&config, 1).fit_resumable(&rows(1), &checkpoints, &mut []);
        let refused = matches!(&result, Err(Error::File { kind: FileErrorKind::Settings(_), .. }));
        assert!(refused == is_refused && (refused || result.is_ok()), "{best}: {result:?}");
    }
}

/// Some updates by a trainer of every kind.
fn train<T: Arithmetic>(trainer: &mut Trainer<T>, data: &Dataset, from: usize) {
    trainer.enter(|session| {
        for update in from..from + 6 {
            let indices: Vec<usize> = (0..9).map(|i| (11 * update + 7 * i) % 100).collect();
            session.train_batch(data.values(), &indices).unwrap();
        }
    });
}

fn a_trainer_goes_on<T: Arithmetic>(name: &str, config: &Config, data: &Dataset) {
    for isa in Isa::available() {
        let mut trainer = Trainer::<T>::new(config, isa, Some(2)).unwrap();
        train(&mut trainer, data, 0);
        trainer.enter(|session| session.set_learning_rate(0.02)).unwrap();
        let saved = trainer.to_bytes().unwrap();
        let mut resumed = Trainer::<T>::from_bytes(&saved, isa, Some(1)).unwrap();
        assert!(resumed.to_bytes().unwrap() == saved, "{name}, {isa}");
        train(&mut trainer, data, 6);
        train(&mut resumed, data, 6);
        assert!(resumed.to_bytes().unwrap() == trainer.to_bytes().unwrap(), "{name}, {isa}");
        assert!(
            resumed.layers() == trainer.layers() && saved != trainer.to_bytes().unwrap(),
            "{name}, {isa}"
        );
    }
}

#[test]
fn trainers_of_every_kind_go_on_from_bytes() {
    for (name, config) in kinds() {
        a_trainer_goes_on::<f32>(name, &config, &rows(2));
        a_trainer_goes_on::<f64>(name, &config, &rows(2));
    }
}

#[test]
fn other_bytes_are_no_trainers() {
    let trainer = Trainer::<f32>::new(&base().build().unwrap(), Isa::best(), Some(1)).unwrap();
    let saved = trainer.to_bytes().unwrap();
    let refused = |bytes: &[u8]| match Trainer::<f32>::from_bytes(bytes, Isa::best(), Some(1)) {
        Ok(_) => panic!("accepted"),
        Err(error) => chain(&error),
    };
    for cut in [0, 7, 100, saved.len() - 1] {
        assert!(refused(&saved[..cut]).contains("not a readable model"), "{cut}");
    }
    let mut damaged = saved.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(refused(&damaged).contains("damaged"));
    let model = trainer.to_model(Scaler::identity(FEATURES)).unwrap();
    assert!(refused(&model.to_bytes().unwrap()).contains("its header lacks 'ae.trainer'"));
    let double = Trainer::<f64>::from_bytes(&saved, Isa::best(), Some(1)).map(drop).unwrap_err();
    assert!(chain(&double).contains("'training.parameters' is F32"), "{}", chain(&double));
    let changed = |key: &str, value: Value| {
        let change = |header: &mut Value| *header.pointer_mut(key).unwrap() = value;
        refused(&resealed(&saved, ("ae.trainer", change), ("training.more", "training.state")))
    };
    for (key, value, says) in [
        ("/format", json!(2), "format version 2"),
        ("/config/encoding_dim", json!(16_000_000), "parameters are there"),
        ("/config/encoding_dim", json!(5), "'training.parameters' is"),
        ("/names", json!(["a", "b"]), "2 feature names for 36 features"),
        ("/learning_rate", json!(-1.0), "learning_rate is -1"),
        ("/updates", json!(u64::MAX), "the number of updates"),
        ("/latent", json!([0.5, 1, 0.5]), "the top-k latent"),
    ] {
        let refused = changed(key, value);
        assert!(refused.contains(says), "{key}: {refused}");
    }
}
