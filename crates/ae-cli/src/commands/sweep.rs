//! `ae sweep`: a model for each of several encoding sizes, compared with each other and with principal components.

use std::path::Path;
use std::time::Instant;

use ae_data::Subset;
use ae_eval::{Fingerprint, Pca, SweepPoint, SweepTable, elbow, mean_variance};
use ae_model::{Autoencoder, CancelToken, Config, StopReason};
use serde_json::{Value, json};

use super::progress::Progress;
use super::train::{configure, pca_is_quick, stop_on_interrupt};
use crate::args::{Common, Rate, SweepArgs};
use crate::failure::Failure;
use crate::inputs::check_output;
use crate::output::Output;
use crate::training::TrainingRows;

pub(crate) fn run(args: &SweepArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    check(args)?;
    let training = &args.training;
    let path = training.output.as_deref();
    let rows = TrainingRows::read(training, out)?;
    let sizes = &args.sizes.0;
    let configs = sizes.iter().map(|size| config(args, *size, &rows));
    // All of them, before the first one trains.
    let configs: Vec<Config> = configs.collect::<Result<_, _>>()?;
    let data = &rows.rows;
    let mut print = Fingerprint::of(data)?;
    if let Some(schema) = &rows.schema {
        print =
            print.with(&serde_json::to_string(schema).map_err(|error| Failure::Other(error.to_string()))?);
    }
    let mut table = match path {
        Some(path) if !args.restart => kept(args, path, print, &rows, out)?,
        _ => SweepTable::default(),
    };

    out.line(format!("data          {} ({} rows of {})", training.data, data.rows(), data.features()))?;
    let mut sweep = Sweep::new(training.data.as_str(), &rows, &configs)?;
    let token = stop_on_interrupt();
    for config in configs {
        let size = config.encoding_dim();
        if table.get(size).is_some() {
            continue;
        }
        let print = fingerprint(print, &config)?;
        let Some(point) = sweep.train(config, print, &token, common, out)? else {
            let kept = path.map_or("nothing is kept without -o".to_owned(), |path| {
                format!("finished sizes are kept in {}", path.display())
            });
            return Err(Failure::Other(format!("interrupted at size {size}; {kept}")));
        };
        out.note(format!("size {size}: validation MSE {:.6}, {:.2} s", point.mse, point.seconds));
        table.insert(point);
        if let Some(path) = path {
            table.save(path)?;
        }
    }
    let points: Vec<&SweepPoint> = sizes.iter().filter_map(|size| table.get(*size)).collect();
    report(&points, path, out)
}

/// What cannot be, before files are read.
fn check(args: &SweepArgs) -> Result<(), Failure> {
    let training = &args.training;
    if training.encoding_dim.is_some() {
        return Err(Failure::Usage("--encoding-dim: the sizes of a sweep are said by --sizes".to_owned()));
    }
    if training.log_dir.is_some() {
        return Err(Failure::Usage("--log-dir is for ae train: -o keeps the results of a sweep".to_owned()));
    }
    if training.robust.is_some() {
        return Err(Failure::Usage("--robust is for ae train".to_owned()));
    }
    if training.target.is_some() {
        return Err(Failure::Usage("--target is for ae train and ae evaluate".to_owned()));
    }
    if training.learning_rate == Some(Rate::Auto) {
        return Err(Failure::Usage(
            "--learning-rate: auto is for ae train; one rate of all sizes has to be said here".to_owned(),
        ));
    }
    if training.validation == 0.0 {
        return Err(Failure::Usage(
            "--validation: it must be above 0, models are compared on rows held out".to_owned(),
        ));
    }
    let Some(path) = &training.output else { return Ok(()) };
    if !path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) {
        return Err(Failure::Usage(format!("-o {}: the results are CSV, in a file of .csv", path.display())));
    }
    check_output(path)
}

/// The configuration of a size.
fn config(args: &SweepArgs, size: usize, rows: &TrainingRows) -> Result<Config, Failure> {
    configure(&args.training, Some(size), rows).map_err(|failure| match failure {
        Failure::Usage(text) => Failure::Usage(text.replacen("--encoding-dim", "--sizes", 1)),
        failure => failure,
    })
}

/// That of the data with the settings and the version of the program.
fn fingerprint(data: Fingerprint, config: &Config) -> Result<Fingerprint, Failure> {
    let settings = serde_json::to_string(config).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(data.with(&settings).with(env!("CARGO_PKG_VERSION")))
}

/// The results that the file has, all of them of these settings and data.
fn kept(
    args: &SweepArgs,
    path: &Path,
    print: Fingerprint,
    rows: &TrainingRows,
    out: &Output,
) -> Result<SweepTable, Failure> {
    let table = SweepTable::load(path)
        .map_err(|error| Failure::Other(format!("{error}; --restart replaces the file")))?;
    for point in table.points() {
        let fits = match config(args, point.size, rows) {
            Ok(config) => fingerprint(print, &config)? == point.fingerprint,
            Err(_) => false,
        };
        if !fits {
            return Err(Failure::Other(format!(
                "{}: size {} has results of other settings, data or version; --restart replaces the file",
                path.display(),
                point.size
            )));
        }
    }
    let known: Vec<String> = table
        .points()
        .iter()
        .filter(|point| args.sizes.0.contains(&point.size))
        .map(|point| point.size.to_string())
        .collect();
    if !known.is_empty() {
        out.note(format!("{} has the results of {} already", path.display(), known.join(", ")));
    }
    Ok(table)
}

/// The rows that all sizes learn from and are compared on.
struct Sweep<'a> {
    location: &'a str,
    rows: &'a TrainingRows,
    train: Subset<'a>,
    validation: Subset<'a>,
    /// Most components that one of the models is compared with; 0 if that would take too long or values are missing.
    most: usize,
    /// That many, once they are needed.
    pca: Option<Pca>,
}

impl<'a> Sweep<'a> {
    fn new(location: &'a str, rows: &'a TrainingRows, configs: &[Config]) -> Result<Sweep<'a>, Failure> {
        let data = &rows.rows;
        let (share, seed) = configs.first().map_or((0.0, 0), |config| (config.validation(), config.seed()));
        let (train, validation) = ae_data::validation_split(data.rows(), share, seed)?;
        if validation.is_empty() {
            let rows = data.rows();
            return Err(Failure::Other(format!("{location}: of {rows} rows none can be held out")));
        }
        let complete = !data.values().iter().any(|x| x.is_nan());
        let limit = if complete && pca_is_quick(train.len(), data.features()) {
            train.len().min(data.features().saturating_sub(1))
        } else {
            0
        };
        let sizes = configs.iter().map(Config::encoding_dim);
        let most = sizes.filter(|size| *size <= limit).max().unwrap_or(0);
        let (train, validation) = (Subset::new(data, train)?, Subset::new(data, validation)?);
        Ok(Sweep { location, rows, train, validation, most, pca: None })
    }

    /// Trains and measures a model; none if that was interrupted.
    fn train(
        &mut self,
        config: Config,
        fingerprint: Fingerprint,
        token: &CancelToken,
        common: &Common,
        out: &Output,
    ) -> Result<Option<SweepPoint>, Failure> {
        let size = config.encoding_dim();
        let mut progress = if out.is_watched() { Progress::bar(config.epochs()) } else { Progress::Silent };
        let mut model = self.rows.model(config)?;
        if common.threads.is_some() {
            model.set_threads(common.threads())?;
        }
        model.set_cancel_token(token.clone());
        let start = Instant::now();
        let history = model.fit(&self.rows.rows, &mut [&mut progress]);
        let seconds = start.elapsed().as_secs_f64();
        progress.finish();
        let history = history.map_err(|error| match Failure::with_rows(self.location, error) {
            Failure::Other(text) => Failure::Other(format!("size {size}: {text}")),
            failure => failure,
        })?;
        if history.stopped == StopReason::Cancelled {
            return Ok(None);
        }
        Ok(Some(SweepPoint {
            size,
            compression: model.summary().compression,
            mse: model.mse(&self.validation)?,
            variance: mean_variance(&model.scaled(&self.validation)?)?,
            pca: self.pca_mse(&model)?,
            train_mse: model.mse(&self.train)?,
            epochs: history.epochs.len(),
            seconds,
            fingerprint,
        }))
    }

    /// The error of as many components, fitted once for all sizes: scaling is the same for all of them.
    fn pca_mse(&mut self, model: &Autoencoder) -> Result<Option<f64>, Failure> {
        let size = model.config().encoding_dim();
        if size > self.most {
            return Ok(None);
        }
        let pca = match self.pca.take() {
            Some(pca) => pca,
            None => Pca::fit(&model.scaled(&self.train)?, self.most)?,
        };
        let pca = self.pca.insert(pca);
        Ok(Some(pca.truncated(size).mse(&model.scaled(&self.validation)?)?))
    }
}

fn report(points: &[&SweepPoint], path: Option<&Path>, out: &mut Output) -> Result<(), Failure> {
    let sizes: Vec<f64> = points.iter().map(|point| point.size as f64).collect();
    let errors: Vec<f64> = points.iter().map(|point| point.mse).collect();
    let elbow = elbow(&sizes, &errors).map(|index| points[index].size);
    let best = points.iter().min_by(|a, b| a.mse.total_cmp(&b.mse)).map(|point| point.size);
    out.line("")?;
    out.line(format!(
        "{:>6}{:>13}{:>17}{:>13}{:>13}{:>13}  better",
        "size", "compression", "validation MSE", "unexplained", "PCA MSE", "unexplained"
    ))?;
    for point in points {
        let share = |mse: f64| {
            if point.variance > 0.0 {
                format!("{:.1} %", 100.0 * mse / point.variance)
            } else {
                "-".to_owned()
            }
        };
        let pca = match point.pca {
            Some(mse) => format!("{mse:>13.6}{:>13}", share(mse)),
            None => format!("{:>13}{:>13}", "-", "-"),
        };
        let winner = match point.winner() {
            Some("pca") => "PCA",
            Some(winner) => winner,
            None => "-",
        };
        let mark = if elbow == Some(point.size) { "  <- elbow" } else { "" };
        let compression = format!("{:.1}x", point.compression);
        out.line(format!(
            "{:>6}{compression:>13}{:>17.6}{:>13}{pca}  {winner}{mark}",
            point.size,
            point.mse,
            share(point.mse)
        ))?;
        out.object(&json!({
            "event": "size",
            "size": point.size,
            "compression": point.compression,
            "validation_mse": point.mse,
            "validation_variance": point.variance,
            "unexplained": point.unexplained(),
            "pca_mse": point.pca,
            "winner": point.winner(),
            "train_mse": point.train_mse,
            "epochs": point.epochs,
            "seconds": point.seconds,
        }))?;
    }
    out.line("")?;
    out.line(match elbow {
        Some(size) => format!("elbow         {size}: from there on more values bring less"),
        None => "elbow         none: the curve has too few points or no bend".to_owned(),
    })?;
    let output: Value = path.map_or(Value::Null, |path| json!(path));
    out.object(&json!({
        "event": "summary",
        "sizes": points.len(),
        "elbow": elbow,
        "best": best,
        "output": output,
    }))
}
