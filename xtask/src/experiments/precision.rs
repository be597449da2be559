//! Compares training in bf16 and in f32: the same network from the same weights on the same batches,
//! seed by seed.

use std::ops::ControlFlow;
use std::path::PathBuf;

use ae_data::{ReadOptions, validation_split};
use ae_eval::chart::{Axes, Line, Scale, Stroke, lines};
use ae_model::{Autoencoder, Config, Optimizer, Precision, ScalerKind, Schedule, on_epoch};
use clap::Args;
use serde_json::json;

use super::images::Images;
use super::{Settings, mean_error};
use crate::failure::Failure;

/// Fraction of the digits held out for testing.
const TEST_FRACTION: f64 = 0.2;

#[derive(Args, Debug)]
pub(crate) struct PrecisionCurves {
    /// Folder with the four files of MNIST, or others in the same layout [default: the built-in digits]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Hidden layers of the encoder
    #[arg(long, value_delimiter = ',', default_value = "256,128,64")]
    hidden: Vec<usize>,
    /// Size of the encoding
    #[arg(long, default_value_t = 32)]
    encoding: usize,
    /// Rows per update
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    /// Number of seeds, starting from --seed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Plot the squared error of every epoch as SVG, one line per seed and precision
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// The training run of one seed in one precision.
struct Trained {
    precision: Precision,
    seed: u64,
    /// Squared error per training image in every epoch.
    curve: Vec<f64>,
    test_error: f64,
}

impl PrecisionCurves {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let images = match &self.data {
            Some(folder) => Images::read(folder)?,
            None => digits()?,
        };
        let mut all = Vec::new();
        for seed in self.settings.seed..self.settings.seed + self.seeds {
            for precision in [Precision::F32, Precision::Bf16] {
                all.push(self.train(&images, precision, seed)?);
            }
        }
        if let Some(path) = &self.plot {
            std::fs::write(path, plot(&all)).map_err(|error| Failure::io(path.display(), &error))?;
        }
        let of = |precision, value: &dyn Fn(&Trained) -> f64| -> Vec<f64> {
            all.iter().filter(|trained| trained.precision == precision).map(value).collect()
        };
        let last = |trained: &Trained| trained.curve.last().copied().unwrap_or(f64::NAN);
        let test = |trained: &Trained| trained.test_error;
        let ratios = |value: &dyn Fn(&Trained) -> f64| -> Vec<f64> {
            let both = of(Precision::Bf16, value).into_iter().zip(of(Precision::F32, value));
            both.map(|(bf16, f32)| bf16 / f32).collect()
        };
        self.settings.summary(&json!({
            "experiment": "precision",
            "seeds": self.seeds,
            "f32_train_error": mean(&of(Precision::F32, &last)),
            "bf16_train_error": mean(&of(Precision::Bf16, &last)),
            "f32_test_errors": of(Precision::F32, &test),
            "bf16_test_errors": of(Precision::Bf16, &test),
            "f32_test_error": mean(&of(Precision::F32, &test)),
            "bf16_test_error": mean(&of(Precision::Bf16, &test)),
            "test_ratios": ratios(&test),
            "mean_test_ratio": mean(&ratios(&test)),
        }));
        Ok(())
    }

    fn train(&self, images: &Images, precision: Precision, seed: u64) -> Result<Trained, Failure> {
        let Settings { epochs, learning_rate, json, .. } = self.settings;
        let features = images.train.features();
        let config = Config::builder(features)
            .hidden_dims(self.hidden.clone())
            .encoding_dim(self.encoding)
            .scaler(ScalerKind::None)
            .optimizer(Optimizer::ADAM)
            .schedule(Schedule::OneCycle { warm_up: 0.1 })
            .epochs(epochs.unwrap_or(10))
            .learning_rate(learning_rate.unwrap_or(2e-3))
            .batch_size(self.batch_size)
            .precision(precision)
            .seed(seed)
            .build()?;
        let mut model = Autoencoder::new(config)?;
        let mut curve = Vec::new();
        let mut keep = on_epoch(|record, _| {
            curve.push(record.train_mse * features as f64);
            ControlFlow::Continue(())
        });
        model.fit(&images.train, &mut [&mut keep])?;
        let test_error = mean_error(&model, &images.test)?;
        let trained = Trained { precision, seed, curve, test_error };
        if json {
            println!(
                "{}",
                json!({ "precision": name(precision), "seed": seed, "train_errors": trained.curve, "test_error": test_error })
            );
        } else {
            eprintln!("seed {seed}, {}: squared error per test image {test_error:.4}", name(precision));
        }
        Ok(trained)
    }
}

/// The built-in digits with pixels from 0 to 1, one fifth of them for testing.
fn digits() -> Result<Images, Failure> {
    let all = ae_data::read("digits", &ReadOptions::default()).map_err(ae_model::Error::from)?;
    let features = all.features();
    let values = all.into_values().into_iter().map(|x| x / 16.0).collect();
    let all = ae_data::Dataset::new(values, features).map_err(ae_model::Error::from)?;
    let (train, test) = validation_split(all.rows(), TEST_FRACTION, 0).map_err(ae_model::Error::from)?;
    let of = |rows: &[usize]| all.select_rows(rows).map_err(ae_model::Error::from);
    Ok(Images { train: of(&train)?, test: of(&test)? })
}

fn plot(all: &[Trained]) -> String {
    let names: Vec<String> =
        all.iter().map(|trained| format!("{}, seed {}", name(trained.precision), trained.seed)).collect();
    let point = |(epoch, error): (usize, &f64)| (epoch as f64 + 1.0, *error);
    let points: Vec<Vec<(f64, f64)>> =
        all.iter().map(|trained| trained.curve.iter().enumerate().map(point).collect()).collect();
    let series: Vec<Line<'_>> = names
        .iter()
        .zip(&points)
        .zip(all)
        .map(|((name, points), trained)| {
            let stroke = if trained.precision == Precision::F32 { Stroke::Solid } else { Stroke::Dashed };
            Line { name, points, stroke }
        })
        .collect();
    let axes = Axes {
        title: "Squared error per training image in f32 and in bf16",
        x: "epoch",
        y: "squared error",
        x_scale: Scale::Linear,
        y_scale: Scale::Log,
    };
    lines(&axes, &series, &[])
}

fn name(precision: Precision) -> &'static str {
    if precision == Precision::Bf16 { "bf16" } else { "f32" }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_learnt_alike_in_both() {
        let images = digits().unwrap();
        assert_eq!((images.train.rows(), images.test.rows()), (1438, 359));
        let settings = Settings { json: false, seed: 0, epochs: Some(3), learning_rate: None };
        let curves = PrecisionCurves {
            data: None,
            hidden: vec![32],
            encoding: 8,
            batch_size: 32,
            seeds: 1,
            plot: None,
            settings,
        };
        let both = [Precision::F32, Precision::Bf16].map(|p| curves.train(&images, p, 1).unwrap());
        let [exact, rounded] = &both;
        assert!(exact.curve[2] < exact.curve[0], "{:?}", exact.curve);
        assert_ne!(exact.test_error, rounded.test_error);
        assert!(
            (rounded.test_error / exact.test_error - 1.0).abs() < 0.05,
            "{:?}",
            both.map(|t| t.test_error)
        );
        assert!(plot(&[]).starts_with("<svg"));
    }
}
