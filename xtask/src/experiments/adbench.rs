//! The anomaly detector on labelled datasets, compared with baselines: trained on half of the normal
//! rows, tested on all others.

mod baselines;

use std::path::{Path, PathBuf};
use std::time::Instant;

use ae_data::{Dataset, ReadOptions, validation_split};
use ae_eval::anomaly::{Detector, Score, Settings};
use ae_eval::{average_precision, roc_auc};
use ae_model::{Scaler, ScalerKind};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value, json};

use crate::bench::{markdown, rounded};
use crate::failure::Failure;

/// Evaluate anomaly detection on a folder of labelled datasets (.npz with X, and y that is 1 for
/// anomalies)
///
/// For each dataset and seed, the detector is trained on a random half of the normal rows and tested on
/// all other rows; features are standardised by the training rows. It is compared with two baselines:
/// the squared distance to the training mean, and the distance to the fifth nearest training row. No
/// setting depends on the dataset.
#[derive(Args, Debug)]
pub(crate) struct Adbench {
    /// Folder of .npz files
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Number of seeds, starting from 0
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Anomaly score of the detector
    #[arg(long, default_value = Score::default().name(), value_parser = PossibleValuesParser::new(Score::ALL.map(Score::name)))]
    score: String,
    /// Print one JSON object per dataset and seed, their means last, instead of a table
    #[arg(long)]
    json: bool,
}

/// The measures of a dataset, in table order.
const MEASURES: [&str; 7] =
    ["roc_auc", "pr_auc", "seconds", "mean_roc_auc", "mean_pr_auc", "knn_roc_auc", "knn_pr_auc"];

impl Adbench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let files = files(&self.data)?;
        let mut rows = Vec::with_capacity(files.len() + 1);
        for file in &files {
            let set = Set::read(file)?;
            let mut runs = Vec::new();
            for seed in 0..self.seeds {
                let run = self.measure(&set, seed).map_err(|failure| about(file, &failure))?;
                if self.json {
                    println!("{run}");
                }
                runs.push(run);
            }
            let mut row = means(&runs);
            row["dataset"] = json!(set.name);
            row["n"] = json!(set.rows.rows());
            row["d"] = json!(set.rows.features());
            rows.push(row);
        }
        let mut overall = means(&rows);
        let seconds = rows.iter().filter_map(|row| row["seconds"].as_f64()).sum::<f64>();
        overall["seconds"] = json!(rounded(seconds, 3));
        if self.json {
            overall["datasets"] = json!(rows.len());
            overall["seeds"] = json!(self.seeds);
            println!("{overall}");
            return Ok(());
        }
        overall["dataset"] = json!("mean (seconds: sum)");
        rows.push(overall);
        let columns: Vec<&str> = ["dataset", "n", "d"].into_iter().chain(MEASURES).collect();
        print!("{}", markdown(&columns, &rows));
        Ok(())
    }

    /// Measures one dataset with one seed.
    fn measure(&self, set: &Set, seed: u64) -> Result<Value, Failure> {
        let Split { train, test, anomalies } = set.split(seed)?;
        let score = Score::ALL.into_iter().find(|score| score.name() == self.score).unwrap_or_default();
        let settings = Settings { score, seed, ..Settings::default() };
        let start = Instant::now();
        let scores =
            Detector::fit(&settings, &train).and_then(|detector| detector.scores(&test)).map_err(wrong)?;
        let seconds = start.elapsed().as_secs_f64();

        let mut run = Map::new();
        run.insert("dataset".to_owned(), json!(set.name));
        run.insert("n".to_owned(), json!(set.rows.rows()));
        run.insert("d".to_owned(), json!(set.rows.features()));
        run.insert("seed".to_owned(), json!(seed));
        run.insert("seconds".to_owned(), json!(rounded(seconds, 4)));
        for (prefix, scores) in [
            ("", scores),
            ("mean_", baselines::distance_to_mean(&test)),
            ("knn_", baselines::fifth_neighbour(&train, &test, seed)),
        ] {
            let roc = roc_auc(&anomalies, &scores).map_err(wrong)?;
            let pr = average_precision(&anomalies, &scores).map_err(wrong)?;
            run.insert(format!("{prefix}roc_auc"), json!(rounded(roc, 5)));
            run.insert(format!("{prefix}pr_auc"), json!(rounded(pr, 5)));
        }
        Ok(Value::Object(run))
    }
}

/// A labelled dataset.
struct Set {
    name: String,
    rows: Dataset,
    anomalies: Vec<bool>,
}

/// Training rows, test rows, and which of the test rows are anomalies.
struct Split {
    train: Dataset,
    test: Dataset,
    anomalies: Vec<bool>,
}

impl Set {
    fn read(file: &Path) -> Result<Set, Failure> {
        let mut options = ReadOptions::default();
        options.label = Some("y".to_owned());
        options.array = Some("X".to_owned());
        let rows = ae_data::read(file, &options).map_err(wrong)?;
        let anomalies = match rows.labels() {
            Some(labels) => {
                let names: Vec<bool> = labels.names().iter().map(|name| name.parse() == Ok(1.0)).collect();
                labels.codes().iter().map(|code| names.get(*code as usize) == Some(&true)).collect()
            }
            None => return Err(Failure::Wrong(format!("{}: no labels y", file.display()))),
        };
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Set { name, rows, anomalies })
    }

    /// Halves the normal rows by [`validation_split`] and standardises the features by the first half.
    fn split(&self, seed: u64) -> Result<Split, Failure> {
        let normal: Vec<usize> = (0..self.rows.rows()).filter(|row| !self.anomalies[*row]).collect();
        let (first, _) = validation_split(normal.len(), 0.5, seed).map_err(wrong)?;
        let train: Vec<usize> = first.into_iter().map(|place| normal[place]).collect();
        let mut is_test = vec![true; self.rows.rows()];
        train.iter().for_each(|row| is_test[*row] = false);
        let test: Vec<usize> = (0..self.rows.rows()).filter(|row| is_test[*row]).collect();
        let scaler = Scaler::fit(ScalerKind::Standard, &self.rows, &train)?;
        let select = |rows: &[usize]| -> Result<Dataset, Failure> {
            let mut values = self.rows.select_rows(rows).map_err(wrong)?.into_values();
            for row in values.chunks_exact_mut(self.rows.features().max(1)) {
                for ((x, shift), scale) in row.iter_mut().zip(scaler.shift()).zip(scaler.scale()) {
                    *x = ((f64::from(*x) - shift) / scale) as f32;
                }
            }
            Dataset::new(values, self.rows.features()).map_err(wrong)
        };
        Ok(Split {
            train: select(&train)?,
            test: select(&test)?,
            anomalies: test.iter().map(|row| self.anomalies[*row]).collect(),
        })
    }
}

/// Returns the .npz files of a folder, sorted by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| Failure::io(folder.display(), &error))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "npz"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Failure::Usage(format!("--data {}: no .npz files", folder.display())));
    }
    Ok(files)
}

/// Returns the mean of every measure.
fn means(rows: &[Value]) -> Value {
    let mut all = Map::new();
    for measure in MEASURES {
        let sum: f64 = rows.iter().filter_map(|row| row[measure].as_f64()).sum();
        all.insert(measure.to_owned(), json!(rounded(sum / rows.len().max(1) as f64, 4)));
    }
    Value::Object(all)
}

fn wrong(error: impl std::error::Error) -> Failure {
    Failure::Wrong(ae_testing::chain(&error))
}

fn about(file: &Path, failure: &Failure) -> Failure {
    Failure::Wrong(format!("{}: {failure}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rows: usize) -> Set {
        let values = (0..2 * rows).map(|i| (i * i % 17) as f32).collect();
        let anomalies = (0..rows).map(|row| row % 5 == 0).collect();
        Set { name: "set".to_owned(), rows: Dataset::new(values, 2).unwrap(), anomalies }
    }

    #[test]
    fn halves_of_the_normal_rows() {
        let set = set(100);
        let Split { train, test, anomalies } = set.split(3).unwrap();
        assert_eq!((train.rows(), test.rows(), anomalies.len()), (40, 60, 60));
        assert_eq!(anomalies.iter().filter(|anomaly| **anomaly).count(), 20);
        for j in 0..2 {
            let column: Vec<f64> = train.values().iter().skip(j).step_by(2).map(|x| f64::from(*x)).collect();
            assert!(column.iter().sum::<f64>().abs() < 1e-4);
            assert!((column.iter().map(|x| x * x).sum::<f64>() / 40.0 - 1.0).abs() < 1e-5);
        }
        assert_ne!(set.split(4).unwrap().train, train);
    }

    #[test]
    fn a_run_has_every_measure() {
        let bench = Adbench { data: PathBuf::new(), seeds: 1, score: "ensemble".to_owned(), json: true };
        let run = bench.measure(&set(60), 0).unwrap();
        for measure in MEASURES {
            assert!(run[measure].is_number(), "{run}");
        }
        assert_eq!(
            means(std::slice::from_ref(&run))["knn_roc_auc"],
            rounded(run["knn_roc_auc"].as_f64().unwrap(), 4)
        );
        assert!(files(Path::new("/nowhere")).is_err());
    }
}
