//! `ae sweep`: trains a model for each of several encoding sizes, or values of another setting, and
//! compares them with each other and with PCA.

mod trials;

use std::path::Path;
use std::time::Instant;

use ae_data::{Fingerprint, Subset};
use ae_eval::{Pca, SweepPoint, SweepTable, Winner, elbow};
use ae_model::{Autoencoder, CancelToken, Config, Error, StopReason};
use serde_json::{Value, json};

use super::progress::Progress;
use super::train::{pca_is_quick, stop_on_interrupt};
use crate::args::{Common, SweepArgs};
use crate::failure::{Failure, chain};
use crate::output::Output;
use crate::training::TrainingRows;
use trials::{Trial, trial_name};

pub(crate) fn run(args: &SweepArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    trials::check(args)?;
    let training = &args.training;
    let path = training.output.as_deref();
    let rows = TrainingRows::read(training, out)?;
    // Check all of them before the first one trains.
    let trials = trials::all(args, &rows)?;
    let mut data_fingerprint = Fingerprint::of(&rows.with_held_out()?)?;
    if let Some(schema) = &rows.schema {
        data_fingerprint = data_fingerprint
            .with(&serde_json::to_string(schema).map_err(|error| Failure::Other(error.to_string()))?);
    }
    let mut table = match path {
        Some(path) if !args.restart => load_results(args, path, data_fingerprint, &trials, &rows, out)?,
        _ => SweepTable::default(),
    };

    out.line(rows.line(training))?;
    let mut sweep = Sweep::new(training.data.as_str(), &rows, &trials)?;
    let token = stop_on_interrupt();
    for trial in &trials {
        if table.get(trial.setting.as_ref(), trial.size()).is_some() {
            continue;
        }
        let fingerprint = fingerprint(data_fingerprint, &trial.config)?;
        let point = match sweep.train(trial, fingerprint, &token, common, out)? {
            Outcome::Result(point) => point,
            Outcome::Diverged(text) => {
                out.note(format!("{}: {text}", trial.name()));
                continue;
            }
            Outcome::Interrupted => {
                let note = path.map_or("nothing is kept without -o".to_owned(), |path| {
                    format!("finished results are kept in {}", path.display())
                });
                return Err(Failure::Other(format!("interrupted at {}; {note}", trial.name())));
            }
        };
        out.note(format!("{}: validation MSE {:.6}, {:.2} s", trial.name(), point.mse, point.seconds));
        table.insert(point);
        if let Some(path) = path {
            table.save(path)?;
        }
    }
    let points = trials.iter().filter_map(|trial| table.get(trial.setting.as_ref(), trial.size()));
    let points: Vec<&SweepPoint> = points.collect();
    if points.is_empty() {
        return Err(Failure::Other("training diverged with every value".to_owned()));
    }
    report(&points, path, out)
}

/// The fingerprint of data, settings and program version.
fn fingerprint(data: Fingerprint, config: &Config) -> Result<Fingerprint, Failure> {
    let settings = serde_json::to_string(config).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(data.with(&settings).with(env!("CARGO_PKG_VERSION")))
}

/// The results in the file; an error if some are for other settings or data.
fn load_results(
    args: &SweepArgs,
    path: &Path,
    data_fingerprint: Fingerprint,
    trials: &[Trial],
    rows: &TrainingRows,
    out: &Output,
) -> Result<SweepTable, Failure> {
    let table = SweepTable::load(path)
        .map_err(|error| Failure::Other(format!("{}; --restart replaces the file", chain(&error))))?;
    for point in table.points() {
        let fits = match trials::config_of(args, point, rows) {
            Ok(config) => fingerprint(data_fingerprint, &config)? == point.fingerprint,
            Err(_) => false,
        };
        if !fits {
            return Err(Failure::Other(format!(
                "{}: {} has results of other settings, data or version; --restart replaces the file",
                path.display(),
                trial_name(point.setting.as_ref(), point.size)
            )));
        }
    }
    let known = trials.iter().filter(|trial| table.get(trial.setting.as_ref(), trial.size()).is_some());
    let known: Vec<String> = known.map(Trial::value).collect();
    if !known.is_empty() {
        out.note(format!("{} has the results of {} already", path.display(), known.join(", ")));
    }
    Ok(table)
}

/// The outcome of a training run.
enum Outcome {
    Result(SweepPoint),
    /// Only for values of a setting, as finding out which ones work is what the sweep is for.
    Diverged(String),
    Interrupted,
}

/// The rows that all models are trained and compared on.
struct Sweep<'a> {
    location: &'a str,
    rows: &'a TrainingRows,
    train: Subset<'a>,
    validation: Subset<'a>,
    /// Most principal components to compare with; 0 if PCA would take too long.
    max_components: usize,
    /// PCA with that many components, fitted when first needed.
    pca: Option<Pca>,
}

impl<'a> Sweep<'a> {
    fn new(location: &'a str, rows: &'a TrainingRows, trials: &[Trial]) -> Result<Sweep<'a>, Failure> {
        let data = &rows.rows;
        let first = trials.first().map(|trial| &trial.config);
        let (fraction, seed) = first.map_or((0.0, 0), |config| (config.validation(), config.seed()));
        let (train, validation) = ae_data::train_validation_split(&rows.with_held_out()?, fraction, seed)?;
        if validation.is_empty() {
            let rows = data.rows();
            return Err(Failure::Other(format!("{location}: too few rows ({rows}) to hold some out")));
        }
        let limit = if pca_is_quick(train.len(), data.features()) {
            train.len().min(data.features().saturating_sub(1))
        } else {
            0
        };
        let sizes = trials.iter().map(Trial::size);
        let max_components = sizes.filter(|size| *size <= limit).max().unwrap_or(0);
        let (train, validation) = (Subset::new(data, train)?, Subset::new(data, validation)?);
        Ok(Sweep { location, rows, train, validation, max_components, pca: None })
    }

    /// Trains a model and measures it.
    fn train(
        &mut self,
        trial: &Trial,
        fingerprint: Fingerprint,
        token: &CancelToken,
        common: &Common,
        out: &Output,
    ) -> Result<Outcome, Failure> {
        let epochs = trial.config.epochs();
        let mut progress = if out.is_watched() { Progress::bar(epochs) } else { Progress::Silent };
        let mut model = self.rows.model(trial.config.clone())?;
        if common.threads.is_some() {
            model.set_threads(common.threads())?;
        }
        model.set_cancel_token(token.clone());
        let start = Instant::now();
        let history = model.fit(&self.rows.with_held_out()?, &mut [&mut progress]);
        let seconds = start.elapsed().as_secs_f64();
        progress.finish();
        if let (Err(error @ Error::Diverged { .. }), false) = (&history, trial.setting.is_none()) {
            return Ok(Outcome::Diverged(error.to_string()));
        }
        let history = history.map_err(|error| match Failure::with_rows(self.location, error) {
            Failure::Other(text) => Failure::Other(format!("{}: {text}", trial.name())),
            failure => failure,
        })?;
        if history.stopped == StopReason::Cancelled {
            return Ok(Outcome::Interrupted);
        }
        self.fit_pca(&model)?;
        let pca = self.pca.as_ref().filter(|pca| trial.size() <= pca.components());
        let measured = SweepPoint::measure(&model, &self.train, &self.validation, pca, fingerprint)?;
        Ok(Outcome::Result(SweepPoint { setting: trial.setting.clone(), seconds, ..measured }))
    }

    /// Fits PCA when it is first needed, and only once, as the scaling of all models is the same.
    fn fit_pca(&mut self, model: &Autoencoder) -> Result<(), Failure> {
        if self.pca.is_none() && model.config().encoding_dim() <= self.max_components {
            self.pca = Some(Pca::fit(&model.scaled(&self.train)?, self.max_components)?);
        }
        Ok(())
    }
}

fn report(points: &[&SweepPoint], path: Option<&Path>, out: &mut Output) -> Result<(), Failure> {
    let sizes: Vec<f64> = points.iter().map(|point| point.size as f64).collect();
    let errors: Vec<f64> = points.iter().map(|point| point.mse).collect();
    // Sizes have an elbow; other settings have a best value.
    let varied = points.iter().find_map(|point| point.setting.as_ref()).map(|setting| setting.name.as_str());
    let elbow = if varied.is_none() { elbow(&sizes, &errors) } else { None };
    let best = errors.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index);
    let value = |point: &SweepPoint| trials::value(point.setting.as_ref(), point.size);
    let longest = points.iter().map(|point| value(point).chars().count()).max().unwrap_or(0);
    let first = varied.unwrap_or("size");
    let width = longest.max(first.chars().count()).max(6);
    out.line("")?;
    out.line(format!(
        "{first:>width$}{:>13}{:>17}{:>13}{:>13}{:>13}  better",
        "compression", "validation MSE", "unexplained", "PCA MSE", "unexplained"
    ))?;
    for (index, point) in points.iter().enumerate() {
        let of_variance = |mse: f64| {
            if point.baseline_mse > 0.0 {
                format!("{:.1} %", 100.0 * mse / point.baseline_mse)
            } else {
                "-".to_owned()
            }
        };
        let pca = match point.pca {
            Some(mse) => format!("{mse:>13.6}{:>13}", of_variance(mse)),
            None => format!("{:>13}{:>13}", "-", "-"),
        };
        let winner = match point.winner() {
            Some(Winner::Pca) => "PCA",
            Some(winner) => winner.name(),
            None => "-",
        };
        let mark = match varied {
            None if elbow == Some(index) => "  <- elbow",
            Some(_) if best == Some(index) => "  <- best",
            _ => "",
        };
        let compression = format!("{:.1}x", point.compression);
        out.line(format!(
            "{:>width$}{compression:>13}{:>17.6}{:>13}{pca}  {winner}{mark}",
            value(point),
            point.mse,
            of_variance(point.mse)
        ))?;
        let mut object = json!({
            "event": if varied.is_some() { "setting" } else { "size" },
            "size": point.size,
            "compression": point.compression,
            "validation_mse": point.mse,
            "validation_variance": point.baseline_mse,
            "unexplained": point.unexplained(),
            "pca_mse": point.pca,
            "winner": point.winner().map(Winner::name),
            "train_mse": point.train_mse,
            "epochs": point.epochs,
            "seconds": point.seconds,
        });
        if let Some(flag) = varied {
            object["setting"] = json!(flag);
            object["value"] = json!(value(point));
        }
        out.object(&object)?;
    }
    out.line("")?;
    let elbow = elbow.map(|index| points[index].size);
    let best = best.map(|index| points[index]);
    match (varied, elbow) {
        (Some(flag), _) => {
            let text = best.map_or("none".to_owned(), |point| format!("{flag} {}", value(point)));
            out.line(format!("best          {text}"))?;
        }
        (None, Some(size)) => {
            out.line(format!("elbow         {size}: beyond it, larger encodings gain less"))?;
        }
        (None, None) => out.line("elbow         none: the curve has too few points or no bend")?,
    }
    let output: Value = path.map_or(Value::Null, |path| json!(path));
    out.object(&match varied {
        None => json!({
            "event": "summary",
            "sizes": points.len(),
            "elbow": elbow,
            "best": best.map(|point| point.size),
            "output": output,
        }),
        Some(flag) => json!({
            "event": "summary",
            "setting": flag,
            "values": points.len(),
            "best": best.map(value),
            "output": output,
        }),
    })
}
