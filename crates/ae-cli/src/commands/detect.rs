//! `ae detect`: scores, flags, p-values and the features to blame; with labels, also quality figures.

mod labels;
mod table;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use ae_data::{Dataset, Schema};
use ae_eval::EvalError;
use ae_eval::anomaly::{Calibration, Detector, Score, Settings, contamination_threshold};
use ae_model::{Autoencoder, ErrorNorm};
use serde_json::{Value, json};

use crate::args::{Common, DataArgs, DetectArgs};
use crate::failure::Failure;
use crate::inputs::{Target, check_file, load, load_detector, read_beside, read_for};
use crate::output::Output;
use crate::tables;
use labels::Quality;
pub(super) use labels::{LabelRule, anomalies};
use table::Table;

pub(crate) fn run(args: &DetectArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let paths = &args.transform;
    check(args)?;
    let target = Target::checked(paths.output.as_deref())?;
    if let Some(path) = &args.save {
        if paths.output.as_ref() == Some(path) {
            return Err(Failure::Usage("--save: it must differ from -o".to_owned()));
        }
        check_file("--save", path)?;
    }
    let means = Means::load(&paths.model, common)?;
    means.check(args)?;
    let model = means.model();
    let rows = match read_for(model, &paths.data, &paths.input, out) {
        // New rows may not be labelled yet; the labels are then those of the reference.
        Err(failure) if paths.input.label.is_some() && args.reference.is_some() && paths.data != "-" => {
            let unlabelled = DataArgs { label: None, ..paths.input.clone() };
            let rows = read_for(model, &paths.data, &unlabelled, out).map_err(|_| failure)?;
            out.note(format!("{} has no such labels: --label applies to the reference only", paths.data));
            rows
        }
        rows => rows?,
    };
    let rule = LabelRule::of(&args.anomaly, args.normal.as_deref());
    let anomalies = match rows.labels() {
        Some(labels) if paths.input.label.is_some() => Some(anomalies(labels, rule, &paths.data, out)?),
        _ => None,
    };
    // Distances need every value; errors alone are computed over the known ones.
    let rows = if args.reference.is_some() || means.is_detector() {
        tables::without_gaps(model, rows, &paths.data, out)?
    } else {
        rows
    };
    let names = match model.schema() {
        Some(schema) => Some(schema.features().map(|column| column.name.clone()).collect()),
        None => model.feature_names().or(rows.names()).map(<[String]>::to_vec),
    };
    let found = found(args, common, means, &rows, out)?;

    let flags: Vec<bool> = found.scores.iter().map(|score| *score >= found.threshold).collect();
    let names = names.as_deref();
    let table = Table { found: &found, flags: &flags, names, rows: &rows, blamed: args.blame };
    if out.is_json() && target == Target::Standard {
        table.objects(out)?;
    } else {
        table.write(&target, out)?;
    }
    let flagged = flags.iter().filter(|flag| **flag).count();
    out.note(format!(
        "{flagged} of {} rows flagged, with scores of at least {:.6}",
        flags.len(),
        found.threshold
    ));
    if args.contamination.is_some_and(|share| flagged as f64 > 2.0 * (share * flags.len() as f64).max(1.0)) {
        out.note("more rows are flagged than --contamination asks for, because of ties at the threshold");
    }
    let most_blamed = table.most_blamed();
    if !most_blamed.is_empty() {
        let share = |count: usize| format!("{:.1} %", 100.0 * count as f64 / flagged as f64);
        let list = most_blamed.iter().map(|(name, count)| format!("{name} {}", share(*count)));
        out.note(format!("most often blamed first: {}", list.collect::<Vec<_>>().join(", ")));
    }
    let mut summary = json!({
        "event": "summary",
        "rows": flags.len(),
        "flagged": flagged,
        "threshold": found.threshold,
        "score": found.score.name(),
        "blamed": most_blamed.iter().map(|(name, count)| json!({ "feature": name, "rows": count })).collect::<Vec<_>>(),
        "output": paths.output,
    });
    if let Some(anomalies) = anomalies {
        let quality = Quality::of(&anomalies, &found)?;
        for line in quality.lines() {
            // Next to a table on standard output, it is a remark.
            if target == Target::Standard { out.note(line) } else { out.line(line)? }
        }
        if let (Value::Object(summary), Value::Object(quality)) = (&mut summary, quality.object()) {
            summary.extend(quality);
        }
    }
    out.object(&summary)
}

/// Refuses invalid arguments before any file is read.
fn check(args: &DetectArgs) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
    let read = [Some(&args.transform.data), args.reference.as_ref(), args.calibrate.as_ref()];
    if read.into_iter().flatten().filter(|location| *location == "-").count() > 1 {
        return usage("-: standard input can be read only once");
    }
    if args.threshold.is_some_and(f64::is_nan) {
        return usage("--threshold: NaN is not a threshold");
    }
    if args.percentile.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        return usage("--percentile: it must be from 0 to 100");
    }
    if args.contamination.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        return usage("--contamination: it must be above 0 and at most 1");
    }
    Ok(())
}

/// What rows are scored with.
enum Means {
    Model(Box<Autoencoder>),
    /// A detector from a file, with its reference.
    Detector(Box<Detector>),
}

impl Means {
    fn load(path: &Path, common: &Common) -> Result<Means, Failure> {
        Ok(match load_detector(path, common.threads())? {
            Some(detector) => Means::Detector(Box::new(detector)),
            None => Means::Model(Box::new(load(path, common.threads())?)),
        })
    }

    fn model(&self) -> &Autoencoder {
        match self {
            Means::Model(model) => model,
            Means::Detector(detector) => detector.model(),
        }
    }

    fn is_detector(&self) -> bool {
        matches!(self, Means::Detector(_))
    }

    /// Refuses arguments that do not go with the model or detector.
    fn check(&self, args: &DetectArgs) -> Result<(), Failure> {
        let path = args.transform.model.display();
        let refuse = |text: String| Err(Failure::Usage(text));
        if self.is_detector() {
            let given = [
                ("--reference", args.reference.is_some()),
                ("--calibrate", args.calibrate.is_some()),
                ("--score", args.score.is_some()),
            ];
            return match given.into_iter().find(|(_, is_given)| *is_given) {
                Some((flag, _)) => refuse(format!(
                    "{flag}: {path} is a detector, with its own reference, calibration and score; {flag} is for plain models"
                )),
                None => Ok(()),
            };
        }
        if args.reference.is_some() {
            return Ok(());
        }
        for (flag, given) in [("--percentile", args.percentile.is_some()), ("--save", args.save.is_some())] {
            if given {
                return refuse(format!("{flag}: it needs --reference rows, as {path} is a plain model"));
            }
        }
        if args.threshold.is_none() && args.contamination.is_none() {
            let text = "without --reference rows, --threshold or --contamination is needed";
            return refuse(text.to_owned());
        }
        if args.score.as_deref().is_some_and(|score| score != Score::Error.name()) {
            return refuse("--score: scores other than error need --reference rows".to_owned());
        }
        Ok(())
    }
}

/// The results for the rows.
struct Found {
    score: Score,
    scores: Vec<f64>,
    threshold: f64,
    p_values: Option<Vec<f64>>,
    /// The contribution of each feature or column to a row's error, `[rows, features]`.
    contributions: Dataset,
    /// Cells, by row and column, with a text that the model does not know: odd whatever their error.
    unknown: HashSet<(usize, usize)>,
}

fn found(
    args: &DetectArgs,
    common: &Common,
    means: Means,
    rows: &Dataset,
    out: &Output,
) -> Result<Found, Failure> {
    let data = &args.transform.data;
    let unknown = means.model().schema().map_or_else(HashSet::new, |schema| unknown_texts(schema, rows));
    let mut detector = match (means, &args.reference) {
        (Means::Detector(detector), _) => *detector,
        (Means::Model(model), Some(reference)) => {
            // If the data have no labels, the reference must have them.
            let must_tell = args.transform.input.label.is_some() && rows.labels().is_none();
            fitted(args, common, *model, (reference, must_tell), out)?
        }
        (Means::Model(model), None) => {
            let about = |error| Failure::with_rows(data, error);
            let scores = errors_of_whole_rows(&model, rows).map_err(about)?;
            let threshold = match (args.threshold, args.contamination) {
                (Some(threshold), _) => threshold,
                (_, share) => contamination_threshold(&scores, share.unwrap_or_default())?,
            };
            let contributions = tables::by_column(&model, model.squared_errors(rows).map_err(about)?)?;
            let score = Score::Error;
            return Ok(Found { score, scores, threshold, p_values: None, contributions, unknown });
        }
    };
    let scores = scores_of(&detector, (data, rows), args.reference.as_deref(), out)?;
    match (args.threshold, args.contamination, args.percentile) {
        (Some(threshold), _, _) => detector.set_threshold(threshold)?,
        (_, Some(share), _) => detector.set_threshold(contamination_threshold(&scores, share)?)?,
        (_, _, Some(percent)) => {
            let threshold = detector.calibration().threshold(percent)?;
            detector.set_threshold(threshold)?;
        }
        _ => {}
    }
    let p_values = scores.iter().map(|score| detector.calibration().p_value(*score)).collect();
    let contributions = match detector.model().schema().map(Schema::groups) {
        Some(groups) => detector.contributions_by(rows, &groups),
        None => detector.contributions(rows),
    };
    let contributions = contributions.map_err(|error| with_rows(data, error))?;
    if let Some(path) = &args.save {
        detector.save(path)?;
        out.note(format!("detector written to {}", path.display()));
    }
    let (score, threshold) = (detector.score(), detector.threshold());
    Ok(Found { score, scores, threshold, p_values: Some(p_values), contributions, unknown })
}

/// Fits a detector to the reference, which needs labels if `must_tell`, and to calibration rows if
/// given.
fn fitted(
    args: &DetectArgs,
    common: &Common,
    model: Autoencoder,
    (reference, must_tell): (&str, bool),
    out: &Output,
) -> Result<Detector, Failure> {
    let normal = normal_rows(&model, reference, args, must_tell, out)?;
    let calibration = match &args.calibrate {
        Some(location) => Some((location, normal_rows(&model, location, args, false, out)?)),
        None => None,
    };
    let mut settings = Settings::default();
    settings.threads = common.threads();
    if let Some(name) = &args.score {
        settings.score = Score::ALL.into_iter().find(|score| score.name() == name).unwrap_or_default();
    }
    let mut detector =
        Detector::with_model(&settings, model, &normal).map_err(|error| with_rows(reference, error))?;
    match calibration {
        Some((location, rows)) => {
            let scores = scores_of(&detector, (location, &rows), Some(reference), out)?;
            detector.set_calibration(Calibration::new(scores)?);
        }
        None if learns_from_errors(settings.score) => out.note(format!(
            "{reference}: errors of rows that the model was trained on are smaller than those of new rows, so too many of the \
             latter look anomalous; --calibrate sets thresholds and p-values by normal rows that the model has not seen"
        )),
        None => {}
    }
    Ok(detector)
}

/// The scores of rows. If these are the reference itself, no row counts as its own neighbour.
fn scores_of(
    detector: &Detector,
    (location, rows): (&str, &Dataset),
    reference: Option<&str>,
    out: &Output,
) -> Result<Vec<f64>, Failure> {
    let about = |error| with_rows(location, error);
    if reference.is_some_and(|reference| same_location(location, reference)) {
        return detector.scores_of_training_rows(rows).map_err(about);
    }
    let known = rows_among(rows, detector.reference());
    if 2 * known > rows.rows() {
        let but = match reference {
            Some(_) => "; in the reference file itself, no row counts as its own neighbour",
            None => "",
        };
        out.note(format!(
            "{location}: {known} of {} rows are in {} too: if they are the same rows and not just equal ones, they are their own \
             neighbours, and their scores are too low{but}",
            rows.rows(),
            reference.unwrap_or("the detector's reference")
        ));
    }
    detector.scores(rows).map_err(about)
}

/// The squared errors of the rows. Missing values count with the mean error of the row's known ones:
/// otherwise, a row would look the more normal the less is known of it.
fn errors_of_whole_rows(model: &Autoencoder, rows: &Dataset) -> Result<Vec<f64>, ae_model::Error> {
    let mut scores = model.reconstruction_error(rows, ErrorNorm::Sum)?;
    if rows.values().iter().any(|x| x.is_nan()) {
        let means = model.reconstruction_error(rows, ErrorNorm::Mean)?;
        let features = rows.features();
        for ((score, mean), row) in scores.iter_mut().zip(means).zip(rows.values().chunks_exact(features)) {
            if row.iter().any(|x| x.is_nan()) {
                *score = mean * features as f64;
            }
        }
    }
    Ok(scores)
}

/// Whether the scores are errors of the model, which are too low for its training rows. Neighbour scores
/// are not, since a row is not its own neighbour.
fn learns_from_errors(score: Score) -> bool {
    matches!(score, Score::Error | Score::StandardisedError | Score::Mahalanobis | Score::Denoising)
}

/// Cells, by row and column, whose text is not a known category: all features of the column are 0.
fn unknown_texts(schema: &Schema, rows: &Dataset) -> HashSet<(usize, usize)> {
    let groups = schema.groups();
    let are_categories: Vec<bool> =
        schema.features().map(|column| matches!(column.kind, ae_data::Kind::Categorical { .. })).collect();
    let mut found = HashSet::new();
    for (index, row) in rows.values().chunks_exact(rows.features().max(1)).enumerate() {
        let mut nothing = are_categories.clone();
        row.iter().zip(&groups).filter(|(x, _)| **x != 0.0).for_each(|(_, column)| nothing[*column] = false);
        found.extend((0..nothing.len()).filter(|column| nothing[*column]).map(|column| (index, column)));
    }
    found
}

/// Whether two locations are the same file, however they are spelt.
fn same_location(a: &str, b: &str) -> bool {
    let file = |location: &str| Path::new(location).canonicalize().ok();
    a == b || file(a).is_some_and(|a| file(b) == Some(a))
}

/// How many of `rows` are, bit for bit, among `others`. Compares 64-bit hashes, which are small compared
/// with the rows and good enough for a remark.
fn rows_among(rows: &Dataset, others: &Dataset) -> usize {
    let hash = |row: &[f32]| {
        let mut hasher = DefaultHasher::new();
        row.iter().for_each(|x| hasher.write_u32(x.to_bits()));
        hasher.finish()
    };
    let width = rows.features().max(1);
    let others: HashSet<u64> = others.values().chunks_exact(width).map(hash).collect();
    rows.values().chunks_exact(width).filter(|row| others.contains(&hash(row))).count()
}

fn with_rows(location: &str, error: EvalError) -> Failure {
    match error {
        EvalError::Model(error) => Failure::with_rows(location, error),
        EvalError::TooFewRows { .. } => Failure::Other(format!("{location}: {error}")),
        error => error.into(),
    }
}

/// The normal rows of a file: those whose labels say so if the file has labels, else all of them. If
/// `must_tell`, it must have labels.
fn normal_rows(
    model: &Autoencoder,
    location: &str,
    args: &DetectArgs,
    must_tell: bool,
    out: &Output,
) -> Result<Dataset, Failure> {
    let input = &args.transform.input;
    let may_lack_labels = input.label.is_some() && !must_tell;
    let image = model.config().image();
    let rows = read_beside(model, image, (location, input), may_lack_labels, out)?;
    let rows = tables::without_gaps(model, rows, location, out)?;
    let Some(labels) = rows.labels().filter(|_| input.label.is_some()) else { return Ok(rows) };
    let rule = LabelRule::of(&args.anomaly, args.normal.as_deref());
    let known = rule.told(labels);
    let normal: Vec<usize> = (0..rows.rows()).filter(|row| known[*row] == Some(false)).collect();
    Ok(rows.select_rows(&normal)?)
}
