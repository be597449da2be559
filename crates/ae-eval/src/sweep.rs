//! The results of a sweep over encoding sizes or the values of another setting, and the file that keeps
//! them between runs.

use std::fmt;
use std::io::Write;
use std::path::Path;

use ae_data::{BatchSource, DataError, Fingerprint, write_atomically};
use ae_model::Autoencoder;

use crate::error::EvalError;
use crate::metrics::mean_variance;
use crate::pca::Pca;

/// The result of one model of a sweep. Errors are on the scale of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepPoint {
    /// The setting that varies, and its value; `None` in a sweep over sizes.
    pub setting: Option<SweepSetting>,
    /// Encoding dimension.
    pub size: usize,
    /// Ratio of features to encoding dimension.
    pub compression: f64,
    /// MSE on the validation rows.
    pub mse: f64,
    /// MSE on the validation rows of predicting their mean.
    pub baseline_mse: f64,
    /// MSE on the validation rows of as many principal components, fitted to the training rows, if
    /// computed.
    pub pca: Option<f64>,
    /// MSE on the training rows.
    pub train_mse: f64,
    /// Number of epochs trained.
    pub epochs: usize,
    /// Training time in seconds.
    pub seconds: f64,
    /// Fingerprint of the settings and data behind the result.
    pub fingerprint: Fingerprint,
}

/// A setting of a sweep and one of its values, written `name=value`. Neither may contain quotation marks
/// or line breaks, nor the name an equals sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepSetting {
    /// The name of the setting.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl fmt::Display for SweepSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl SweepSetting {
    /// Parses `name=value`.
    pub fn parse(text: &str) -> Option<SweepSetting> {
        let (name, value) = text.split_once('=')?;
        Some(SweepSetting { name: name.to_owned(), value: value.to_owned() })
    }

    fn is_saveable(&self) -> bool {
        !self.name.contains('=')
            && ![&self.name, &self.value].iter().any(|text| text.contains(['"', '\n', '\r']))
    }
}

/// What has the smaller error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// The model.
    Model,
    /// Principal components.
    Pca,
}

impl Winner {
    /// Its name in files: `model` or `pca`.
    pub fn name(self) -> &'static str {
        match self {
            Winner::Model => "model",
            Winner::Pca => "pca",
        }
    }
}

impl SweepPoint {
    /// Measures a trained model on the rows it was trained on and on the validation rows, with no
    /// setting, and with the seconds of its epochs.
    ///
    /// `pca` holds principal components of the model's scaled training rows, at least as many as the
    /// encoding has values; further ones are left out.
    ///
    /// ```
    /// use ae_data::{Fingerprint, Rows};
    /// use ae_eval::{Pca, SweepPoint, SweepTable};
    /// use ae_model::{Autoencoder, Config};
    ///
    /// let table: Vec<[f32; 3]> = (0..90).map(|i| [i as f32, (i % 7) as f32, (i % 5) as f32]).collect();
    /// let (train, validation) = table.split_at(75);
    /// let train = Rows::new(train.as_flattened(), 3)?;
    /// let validation = Rows::new(validation.as_flattened(), 3)?;
    /// let data = Fingerprint::of(&train)?;
    /// let mut sweep = SweepTable::default();
    /// for size in [1, 2] {
    ///     let config = Config::builder(3).encoding_dim(size).epochs(20).build()?;
    ///     let mut model = Autoencoder::new(config)?;
    ///     model.fit(&train, &mut [])?;
    ///     let pca = Pca::fit(&model.scaled(&train)?, size)?;
    ///     sweep.insert(SweepPoint::measure(&model, &train, &validation, Some(&pca), data)?);
    /// }
    /// assert_eq!(sweep.points().len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`EvalError::Model`] for rows that the model refuses; [`EvalError::Count`] for too few principal
    /// components; [`EvalError::Width`] for components of rows of another width; [`EvalError::Empty`]
    /// without rows; or an error from reading them.
    pub fn measure(
        model: &Autoencoder,
        train: &dyn BatchSource,
        validation: &dyn BatchSource,
        pca: Option<&Pca>,
        fingerprint: Fingerprint,
    ) -> Result<SweepPoint, EvalError> {
        let size = model.config().encoding_dim();
        let pca = match pca {
            Some(pca) if pca.components() < size => {
                let (what, got) = ("principal components", pca.components());
                return Err(EvalError::Count { what, expected: size, got });
            }
            Some(pca) => Some(pca.truncated(size).mse(&model.scaled(validation)?)?),
            None => None,
        };
        let epochs = model.history().map(|history| &history.epochs[..]).unwrap_or_default();
        Ok(SweepPoint {
            setting: None,
            size,
            compression: model.summary().compression,
            mse: model.mse(validation)?,
            baseline_mse: mean_variance(&model.scaled(validation)?)?,
            pca,
            train_mse: model.mse(train)?,
            epochs: epochs.len(),
            seconds: epochs.iter().map(|epoch| epoch.seconds).sum(),
            fingerprint,
        })
    }

    /// What identifies the result, in the order of the file.
    fn key(&self) -> (String, usize) {
        key(self.setting.as_ref(), self.size)
    }

    /// The fraction of variance unexplained; `None` if nothing varies.
    pub fn unexplained(&self) -> Option<f64> {
        (self.baseline_mse > 0.0).then(|| self.mse / self.baseline_mse)
    }

    fn is_saveable(&self) -> bool {
        let numbers = [self.compression, self.mse, self.baseline_mse, self.train_mse, self.seconds];
        let is_number = |x: &f64| x.is_finite() && *x >= 0.0;
        numbers.iter().chain(&self.pca).all(is_number)
            && self.setting.as_ref().is_none_or(SweepSetting::is_saveable)
    }

    /// What has the smaller error; `None` if there is no PCA to compare with.
    pub fn winner(&self) -> Option<Winner> {
        self.pca.map(|pca| if self.mse < pca { Winner::Model } else { Winner::Pca })
    }
}

fn key(setting: Option<&SweepSetting>, size: usize) -> (String, usize) {
    (setting_text(setting), size)
}

/// The setting as in the file: empty if there is none.
fn setting_text(setting: Option<&SweepSetting>) -> String {
    setting.map(SweepSetting::to_string).unwrap_or_default()
}

/// The columns of the file.
const COLUMNS: [&str; 12] = [
    "size",
    "compression",
    "validation_mse",
    "validation_variance",
    "unexplained",
    "pca_mse",
    "winner",
    "train_mse",
    "epochs",
    "seconds",
    "fingerprint",
    "setting",
];

/// The results of a sweep, by setting and ascending size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SweepTable {
    points: Vec<SweepPoint>,
}

impl SweepTable {
    /// All results, by setting and ascending size.
    pub fn points(&self) -> &[SweepPoint] {
        &self.points
    }

    /// The result for a setting and size.
    pub fn get(&self, setting: Option<&SweepSetting>, size: usize) -> Option<&SweepPoint> {
        self.points.iter().find(|point| point.setting.as_ref() == setting && point.size == size)
    }

    /// Adds a result, replacing one of the same setting and size.
    pub fn insert(&mut self, point: SweepPoint) {
        self.points.retain(|other| other.key() != point.key());
        let position = self.points.partition_point(|other| other.key() < point.key());
        self.points.insert(position, point);
    }

    /// Writes the results to a CSV file, which appears whole or not at all. Numbers read back as the
    /// same bits.
    ///
    /// # Errors
    /// [`DataError::Io`], with the path, if the file cannot be written; [`EvalError::InvalidSetting`]
    /// for results that [`load`](SweepTable::load) would not accept.
    pub fn save(&self, path: &Path) -> Result<(), EvalError> {
        let allowed = "finite non-negative numbers, and settings without quotation marks or line breaks";
        if !self.points.iter().all(SweepPoint::is_saveable) {
            return Err(EvalError::InvalidSetting { field: "results of a sweep", allowed });
        }
        let optional = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let written = write_atomically(path, |file| {
            writeln!(file, "{}", COLUMNS.join(","))?;
            for point in &self.points {
                let SweepPoint { size, compression, mse, baseline_mse, train_mse, epochs, seconds, .. } =
                    point;
                let (unexplained, pca) = (optional(point.unexplained()), optional(point.pca));
                let (winner, fingerprint) =
                    (point.winner().map_or("", Winner::name), point.fingerprint.bits());
                let setting = setting_text(point.setting.as_ref());
                let quote = if setting.contains(',') { "\"" } else { "" };
                writeln!(
                    file,
                    "{size},{compression},{mse},{baseline_mse},{unexplained},{pca},{winner},{train_mse},{epochs},{seconds},{fingerprint:016x},{quote}{setting}{quote}"
                )?;
            }
            Ok(())
        });
        Ok(written.map_err(|source| DataError::Io { path: path.to_owned(), source })?)
    }

    /// Reads a file that [`SweepTable::save`] wrote; an absent file gives an empty table.
    ///
    /// # Errors
    /// [`EvalError::Results`], with the line and the column, for a file that is something else or
    /// damaged; [`DataError::Io`] for one that cannot be read.
    pub fn load(path: &Path) -> Result<SweepTable, EvalError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(SweepTable::default()),
            Err(source) => return Err(DataError::Io { path: path.to_owned(), source }.into()),
        };
        let wrong = |line: usize, what: String| EvalError::Results { path: path.to_owned(), line, what };
        let mut lines = text.lines();
        if lines.next().map(str::trim_end) != Some(&COLUMNS.join(",")) {
            return Err(wrong(1, "not the results of a sweep".to_owned()));
        }
        let mut table = SweepTable::default();
        for (number, line) in (2..).zip(lines) {
            let point = point(line.trim_end()).map_err(|what| wrong(number, what))?;
            if table.get(point.setting.as_ref(), point.size).is_some() {
                let SweepPoint { setting, size, .. } = &point;
                let of = setting.as_ref().map_or(String::new(), |setting| format!(" of {setting}"));
                return Err(wrong(number, format!("size {size}{of} appears twice")));
            }
            table.insert(point);
        }
        Ok(table)
    }
}

/// Parses a line of the file; the error says what is wrong with it.
fn point(line: &str) -> Result<SweepPoint, String> {
    // The setting is last because it may contain commas.
    let cells: Vec<&str> = line.splitn(COLUMNS.len(), ',').collect();
    if cells.len() != COLUMNS.len() {
        return Err(format!("{} cells, but {} are expected", cells.len(), COLUMNS.len()));
    }
    let cell = |index: usize| (COLUMNS[index], cells[index]);
    let number = |index| {
        let (name, cell) = cell(index);
        let value = cell.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
        value.ok_or_else(|| format!("column '{name}': '{cell}' is not a non-negative number"))
    };
    let count = |index| {
        let (name, cell) = cell(index);
        cell.parse::<usize>().map_err(|_| format!("column '{name}': '{cell}' is not a whole number"))
    };
    let fingerprint = u64::from_str_radix(cells[10], 16)
        .map_err(|_| format!("column '{}': '{}' is not a fingerprint", COLUMNS[10], cells[10]))?;
    let setting = match cells[11].trim_matches('"') {
        "" => None,
        text => match SweepSetting::parse(text) {
            Some(setting) => Some(setting),
            None => return Err(format!("column '{}': '{text}' is not a setting and its value", COLUMNS[11])),
        },
    };
    Ok(SweepPoint {
        setting,
        size: count(0)?,
        compression: number(1)?,
        mse: number(2)?,
        baseline_mse: number(3)?,
        pca: if cells[5].is_empty() { None } else { Some(number(5)?) },
        train_mse: number(7)?,
        epochs: count(8)?,
        seconds: number(9)?,
        fingerprint: Fingerprint::from_bits(fingerprint),
    })
}

#[cfg(test)]
mod tests {
    use ae_data::Dataset;
    use ae_model::{Config, EarlyStopping};

    use super::*;

    fn point(size: usize, pca: Option<f64>) -> SweepPoint {
        SweepPoint {
            setting: None,
            size,
            compression: 64.0 / size as f64,
            mse: 0.1 / size as f64,
            baseline_mse: 0.3,
            pca,
            train_mse: 1.0 / 3.0,
            epochs: 7,
            seconds: 0.25,
            fingerprint: Fingerprint::from_bits(u64::MAX - size as u64),
        }
    }

    #[test]
    fn results_read_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.csv");
        assert!(SweepTable::load(&path).unwrap().points().is_empty(), "no file, no results");
        let mut table = SweepTable::default();
        for point in [point(20, Some(0.001)), point(3, None), point(7, Some(0.5)), point(20, Some(0.002))] {
            table.insert(point);
        }
        assert_eq!(table.points().iter().map(|point| point.size).collect::<Vec<_>>(), [3, 7, 20]);
        table.save(&path).unwrap();
        let setting = |text: &str| SweepPoint { setting: SweepSetting::parse(text), ..point(7, None) };
        for text in ["hidden=64,32", "epochs=5", "hidden=64,32"] {
            table.insert(setting(text));
        }
        assert_eq!(table.points().len(), 5);
        assert_eq!(
            table.get(SweepSetting::parse("hidden=64,32").as_ref(), 7),
            Some(&setting("hidden=64,32"))
        );
        table.save(&path).unwrap();
        assert_eq!(SweepTable::load(&path).unwrap(), table);
        assert!(std::fs::read_to_string(&path).unwrap().contains(",\"hidden=64,32\"\n"));
        table.points.retain(|point| point.setting.is_none());
        let winners: Vec<_> = table.points().iter().map(SweepPoint::winner).collect();
        assert_eq!(winners, [None, Some(Winner::Model), Some(Winner::Pca)]);
        assert_eq!(SweepPoint { baseline_mse: 0.0, ..point(3, None) }.unexplained(), None);
    }

    #[test]
    fn what_would_not_read_back_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.csv");
        let fine = || point(3, Some(0.5));
        let setting =
            |name: &str, value: &str| Some(SweepSetting { name: name.to_owned(), value: value.to_owned() });
        let mut wrong: Vec<SweepPoint> =
            ["a\"b", "a\nb", "a\rb"].map(|text| SweepPoint { setting: setting("a", text), ..fine() }).into();
        wrong.push(SweepPoint { setting: setting("a=b", "c"), ..fine() });
        wrong.push(SweepPoint { setting: setting("a\"b", "c"), ..fine() });
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            wrong.extend([
                SweepPoint { compression: value, ..fine() },
                SweepPoint { mse: value, ..fine() },
                SweepPoint { baseline_mse: value, ..fine() },
                SweepPoint { pca: Some(value), ..fine() },
                SweepPoint { train_mse: value, ..fine() },
                SweepPoint { seconds: value, ..fine() },
            ]);
        }
        for point in wrong {
            let mut table = SweepTable::default();
            table.insert(point);
            let refused = table.save(&path);
            assert!(matches!(refused, Err(EvalError::InvalidSetting { .. })) && !path.exists(), "{table:?}");
        }
    }

    /// The validation rows vary less, and in other directions, than the training rows.
    #[test]
    fn measures_are_of_the_rows_they_name() {
        let train: Vec<f32> =
            (0..60).flat_map(|i| [i as f32, (i % 7) as f32 * 50.0, (i % 5) as f32]).collect();
        let held: Vec<f32> = (0..20).flat_map(|i| [30.0, (i % 3) as f32, (i % 5) as f32 * 2.0]).collect();
        let [train, held] = [train, held].map(|values| Dataset::new(values, 3).unwrap());
        let config = Config::builder(3).encoding_dim(2).epochs(50).validation(0.2);
        let config = config.early_stopping(EarlyStopping { patience: 1, min_improvement: 0.5 });
        let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
        let history = model.fit(&train, &mut []).unwrap();
        let scaled = |rows: &Dataset| {
            let scaler = model.scaler();
            let value =
                |(at, x): (usize, &f32)| (f64::from(*x) - scaler.shift()[at % 3]) / scaler.scale()[at % 3];
            Dataset::new(rows.values().iter().enumerate().map(value).map(|x| x as f32).collect(), 3).unwrap()
        };
        let (of_train, of_held) = (scaled(&train), scaled(&held));
        let all = Pca::fit(&of_train, 3).unwrap();
        let print = Fingerprint::from_bits(7);
        let point = SweepPoint::measure(&model, &train, &held, Some(&all), print).unwrap();
        assert_eq!((&point.setting, point.size, point.compression), (&None, 2, 1.5));
        assert_eq!((point.mse, point.train_mse), (model.mse(&held).unwrap(), model.mse(&train).unwrap()));
        let variance = |rows: &Dataset| {
            let column = |c: usize| rows.iter_rows().map(move |row| f64::from(row[c]));
            let count = rows.rows() as f64;
            let of = |c: usize| {
                let mean = column(c).sum::<f64>() / count;
                column(c).map(|x| (x - mean).powi(2)).sum::<f64>() / count
            };
            (of(0) + of(1) + of(2)) / 3.0
        };
        assert!((point.baseline_mse / variance(&of_held) - 1.0).abs() < 1e-9, "{point:?}");
        let expected = Pca::fit(&of_train, 2).unwrap().mse(&of_held).unwrap();
        assert!((point.pca.unwrap() / expected - 1.0).abs() < 1e-6, "{:?} for {expected}", point.pca);
        assert!(history.epochs.len() < 50);
        assert_eq!((point.epochs, point.fingerprint), (history.epochs.len(), print));
        assert_eq!(point.seconds, history.epochs.iter().map(|epoch| epoch.seconds).sum::<f64>());
        assert_eq!(SweepPoint::measure(&model, &train, &held, None, print).unwrap().pca, None);
        let few = SweepPoint::measure(&model, &train, &held, Some(&all.truncated(1)), print).unwrap_err();
        assert_eq!(few.to_string(), "expected 2 principal components, got 1");
    }

    /// A model that is no better than principal components does not win.
    #[test]
    fn of_equal_errors_pca_wins() {
        assert_eq!(SweepPoint { mse: 0.25, ..point(3, Some(0.25)) }.winner(), Some(Winner::Pca));
    }

    #[test]
    fn what_is_unexplained_is_a_fraction_of_the_variance() {
        assert_eq!(SweepPoint { mse: 0.75, baseline_mse: 3.0, ..point(3, None) }.unexplained(), Some(0.25));
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.csv");
        let header = COLUMNS.join(",");
        for (text, says) in [
            ("", "line 1: not the results of a sweep"),
            ("a,b\n1,2\n", "line 1: not the results of a sweep"),
            ("H\n1,2\n", "line 2: 2 cells, but 12 are expected"),
            ("H\nx,1,1,1,1,1,pca,1,1,1,f,\n", "line 2: column 'size': 'x' is not a whole number"),
            (
                "H\n1,1,nan,1,1,1,pca,1,1,1,f,\n",
                "column 'validation_mse': 'nan' is not a non-negative number",
            ),
            ("H\n1,1,1,1,1,1,pca,1,1,1,zz,\n", "column 'fingerprint': 'zz' is not a fingerprint"),
            ("H\n1,1,1,1,1,1,pca,1,1,1,f,\n1,1,1,1,1,,,1,1,1,f,\n", "line 3: size 1 appears twice"),
            ("H\n1,1,1,1,1,1,pca,1,1,1,f,x\n", "column 'setting': 'x' is not a setting and its value"),
            (
                "H\n1,1,1,1,1,1,pca,1,1,1,f,a=1\n1,1,1,1,1,,,1,1,1,f,a=1\n",
                "line 3: size 1 of a=1 appears twice",
            ),
        ] {
            std::fs::write(&path, text.replace('H', &header)).unwrap();
            let error = SweepTable::load(&path).unwrap_err().to_string();
            assert!(error.contains(says) && error.starts_with(path.to_str().unwrap()), "{error}");
        }
        assert!(matches!(SweepTable::load(folder.path()), Err(EvalError::Data(DataError::Io { .. }))));
        assert!(SweepTable::default().save(&folder.path().join("no/sweep.csv")).is_err());
    }
}
