//! `ae detect`: scores, flags, p-values and the features to blame; with labels, also quality figures.

mod labels;
mod table;

use std::path::Path;

use ae_data::Dataset;
use ae_eval::anomaly::{
    Blame, Calibration, Detector, Finding, Score, Settings, blame, column_errors, contamination_threshold,
    explain, row_errors,
};
use ae_model::Autoencoder;
use serde_json::{Value, json};

use crate::args::{Common, DataArgs, DetectArgs};
use crate::failure::Failure;
use crate::inputs::{
    TableDestination, check_file, check_standard_input, load, load_detector, read_companion, read_for,
};
use crate::output::Output;
use crate::{ranges, tables};
use labels::Quality;
pub(super) use labels::{LabelRule, anomalies};
use table::Table;

pub(crate) fn run(args: &DetectArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let paths = &args.transform;
    check(args)?;
    let destination = TableDestination::checked(paths.output.as_deref())?;
    if args.explain && destination.is_numeric() {
        let text = "--explain: values of features are texts, which .npy and .npz files do not hold here";
        return Err(Failure::Usage(text.to_owned()));
    }
    if let Some(path) = &args.save {
        if paths.output.as_ref() == Some(path) {
            return Err(Failure::Usage("--save: it must differ from -o".to_owned()));
        }
        check_file("--save", path)?;
    }
    let scorer = Scorer::load(&paths.model, common)?;
    scorer.check(args)?;
    let model = scorer.model();
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
    let rule = LabelRule::new(&args.anomaly, args.normal.as_deref());
    let anomalies = match rows.labels() {
        Some(labels) if paths.input.label.is_some() => Some(anomalies(labels, rule, &paths.data, out)?),
        _ => None,
    };
    // Distances need every value; errors alone are computed over the known ones.
    if args.reference.is_some() || scorer.is_detector() {
        tables::remark_missing(model, &rows, &paths.data, out);
    }
    let names = match model.schema() {
        Some(schema) => Some(schema.features().map(|column| column.name.clone()).collect()),
        None => model.feature_names().or(rows.names()).map(<[String]>::to_vec),
    };
    let detection = detect(args, common, scorer, &rows, out)?;

    let flags: Vec<bool> = detection.scores.iter().map(|score| *score >= detection.threshold).collect();
    let names = names.as_deref();
    let table = Table {
        detection: &detection,
        flags: &flags,
        names,
        rows: &rows,
        written: match args.top {
            Some(count) => highest(&detection.scores, count as usize),
            None => (0..flags.len()).collect(),
        },
        is_numbered: args.top.is_some(),
    };
    if out.is_json() && destination == TableDestination::Stdout {
        table.objects(out)?;
    } else {
        table.write(&destination, out)?;
    }
    let flagged = flags.iter().filter(|flag| **flag).count();
    out.note(format!(
        "{flagged} of {} rows flagged, with scores of at least {:.6}",
        flags.len(),
        detection.threshold
    ));
    // Flagged rows have the highest scores.
    let written = table.written.len();
    if written < flagged {
        out.note(format!("--top: {} more flagged rows are not written", flagged - written));
    }
    if args
        .contamination
        .is_some_and(|fraction| flagged as f64 > 2.0 * (fraction * flags.len() as f64).max(1.0))
    {
        out.note("more rows are flagged than --contamination asks for, because of ties at the threshold");
    }
    let most_blamed = table.most_blamed();
    if !most_blamed.is_empty() {
        let percent = |count: usize| format!("{:.1} %", 100.0 * count as f64 / flagged as f64);
        let list = most_blamed.iter().map(|(name, count)| format!("{name} {}", percent(*count)));
        out.note(format!("most often blamed first: {}", list.collect::<Vec<_>>().join(", ")));
    }
    let mut summary = json!({
        "event": "summary",
        "rows": flags.len(),
        "written": written,
        "flagged": flagged,
        "threshold": detection.threshold,
        "score": detection.score.name(),
        "blamed": most_blamed.iter().map(|(name, count)| json!({ "feature": name, "rows": count })).collect::<Vec<_>>(),
        "output": paths.output,
    });
    if let Some(anomalies) = anomalies {
        let quality = Quality::of(&anomalies, &detection)?;
        for line in quality.lines() {
            // Next to a table on standard output, it is a remark.
            if destination == TableDestination::Stdout { out.note(line) } else { out.line(line)? }
        }
        if let (Value::Object(summary), Value::Object(quality)) = (&mut summary, quality.object()) {
            summary.extend(quality);
        }
    }
    out.object(&summary)
}

/// The rows with the highest scores, highest first, and of equal ones the first.
fn highest(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(count);
    order
}

/// Refuses invalid arguments before any file is read.
fn check(args: &DetectArgs) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
    check_standard_input(&[
        ("DATA", Some(&args.transform.data)),
        ("--reference", args.reference.as_deref()),
        ("--calibrate", args.calibrate.as_deref()),
    ])?;
    if args.threshold.is_some_and(f64::is_nan) {
        return usage("--threshold: NaN is not a threshold");
    }
    if args.percentile.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        return usage("--percentile: it must be from 0 to 100");
    }
    if args.contamination.is_some_and(|fraction| !(fraction > 0.0 && fraction <= 1.0)) {
        return usage("--contamination: it must be above 0 and at most 1");
    }
    Ok(())
}

/// What rows are scored with.
enum Scorer {
    Model(Box<Autoencoder>),
    /// A detector from a file, with its reference.
    Detector(Box<Detector>),
}

impl Scorer {
    fn load(path: &Path, common: &Common) -> Result<Scorer, Failure> {
        Ok(match load_detector(path, common.threads())? {
            Some(detector) => Scorer::Detector(Box::new(detector)),
            None => Scorer::Model(Box::new(load(path, common.threads())?)),
        })
    }

    fn model(&self) -> &Autoencoder {
        match self {
            Scorer::Model(model) => model,
            Scorer::Detector(detector) => detector.model(),
        }
    }

    fn is_detector(&self) -> bool {
        matches!(self, Scorer::Detector(_))
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
            let score = args.score.unwrap_or_default();
            return match args.neighbours {
                Some(_) if is_error_score(score) => {
                    refuse(format!("--neighbours: the score {score} does not depend on neighbours"))
                }
                _ => Ok(()),
            };
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
        if args.score.is_some_and(|score| score != Score::Error) {
            return refuse("--score: scores other than error need --reference rows".to_owned());
        }
        Ok(())
    }
}

/// The results for the rows.
struct Detection {
    score: Score,
    scores: Vec<f64>,
    threshold: f64,
    p_values: Option<Vec<f64>>,
    /// The features, or columns of a table, to blame for each row: as many as asked for.
    blamed: Vec<Vec<Blame>>,
    /// With `--explain`, the values of these.
    findings: Option<Vec<Vec<Finding>>>,
}

fn detect(
    args: &DetectArgs,
    common: &Common,
    scorer: Scorer,
    rows: &Dataset,
    out: &Output,
) -> Result<Detection, Failure> {
    let data = &args.transform.data;
    let mut detector = match (scorer, &args.reference) {
        (Scorer::Detector(detector), _) => *detector,
        (Scorer::Model(model), Some(reference)) => {
            // If the data have no labels, the reference must have them.
            let require_labels = args.transform.input.label.is_some() && rows.labels().is_none();
            fit_detector(args, common, *model, (reference, require_labels), out)?
        }
        (Scorer::Model(model), None) => {
            let about = |error| Failure::with_scored_rows(data, error);
            let scores = row_errors(&model, rows).map_err(about)?;
            let threshold = match (args.threshold, args.contamination) {
                (Some(threshold), _) => threshold,
                (_, fraction) => contamination_threshold(&scores, fraction.unwrap_or_default())?,
            };
            let contributions = column_errors(&model, rows).map_err(about)?;
            let blamed = blame(&model, rows, &contributions, args.blame)?;
            let findings = if args.explain { Some(explain(&model, rows, &blamed)?) } else { None };
            ranges::remark_outside(&model, None, (data, rows), out)?;
            return Ok(Detection {
                score: Score::Error,
                scores,
                threshold,
                p_values: None,
                blamed,
                findings,
            });
        }
    };
    let scores = scores_of(&detector, (data, rows), args.reference.as_deref(), out)?;
    ranges::remark_outside(detector.model(), Some(detector.reference()), (data, rows), out)?;
    match (args.threshold, args.contamination, args.percentile) {
        (Some(threshold), _, _) => detector.set_threshold(threshold)?,
        (_, Some(fraction), _) => detector.set_threshold(contamination_threshold(&scores, fraction)?)?,
        (_, _, Some(percent)) => {
            let threshold = detector.calibration().threshold(percent)?;
            detector.set_threshold(threshold)?;
        }
        _ => {}
    }
    let p_values = scores.iter().map(|score| detector.calibration().p_value(*score)).collect();
    let blamed = detector.blame(rows, args.blame).map_err(|error| Failure::with_scored_rows(data, error))?;
    let findings = if args.explain { Some(explain(detector.model(), rows, &blamed)?) } else { None };
    if let Some(path) = &args.save {
        detector.save(path)?;
        out.note(format!("detector written to {}", path.display()));
    }
    let (score, threshold) = (detector.score(), detector.threshold());
    Ok(Detection { score, scores, threshold, p_values: Some(p_values), blamed, findings })
}

/// Fits a detector to the reference, which needs labels if `require_labels`, and to calibration rows if
/// given.
fn fit_detector(
    args: &DetectArgs,
    common: &Common,
    model: Autoencoder,
    (reference, require_labels): (&str, bool),
    out: &Output,
) -> Result<Detector, Failure> {
    let normal = normal_rows(&model, reference, args, require_labels, out)?;
    let calibration = match &args.calibrate {
        Some(location) => Some((location, normal_rows(&model, location, args, false, out)?)),
        None => None,
    };
    let mut settings = Settings { threads: common.threads(), ..Settings::default() };
    settings.score = args.score.unwrap_or_default();
    settings.neighbours = args.neighbours.map_or(settings.neighbours, |count| count as usize);
    settings.reference_rows = args.reference_rows.map_or(settings.reference_rows, |count| count as usize);
    let mut detector = Detector::with_model(&settings, model, &normal)
        .map_err(|error| Failure::with_scored_rows(reference, error))?;
    match calibration {
        Some((location, rows)) => {
            let scores = scores_of(&detector, (location, &rows), Some(reference), out)?;
            detector.set_calibration(Calibration::new(scores)?);
        }
        None if is_error_score(settings.score) => out.note(format!(
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
    let about = |error| Failure::with_scored_rows(location, error);
    if reference.is_some_and(|reference| same_location(location, reference)) {
        return detector.scores_excluding_self(rows).map_err(about);
    }
    let known = detector.count_in_reference(rows).map_err(about)?;
    if 2 * known > rows.rows() {
        let but = match reference {
            Some(_) => "; in the reference file itself, no row counts as its own neighbour",
            None => "",
        };
        out.warn(format!(
            "{location}: {known} of {} rows are in {} too: if they are the same rows and not just equal ones, they are their own \
             neighbours, and their scores are too low{but}",
            rows.rows(),
            reference.unwrap_or("the detector's reference")
        ));
    }
    detector.scores(rows).map_err(about)
}

/// Whether the scores are errors of the model, which are too low for its training rows. Neighbour scores
/// are not, since a row is not its own neighbour.
fn is_error_score(score: Score) -> bool {
    matches!(score, Score::Error | Score::StandardisedError | Score::Mahalanobis | Score::Denoising)
}

/// Whether two locations are the same file, however they are spelt.
fn same_location(a: &str, b: &str) -> bool {
    let file = |location: &str| Path::new(location).canonicalize().ok();
    a == b || file(a).is_some_and(|a| file(b) == Some(a))
}

/// The normal rows of a file: those whose labels say so if the file has labels, else all of them. If
/// `require_labels`, it must have labels.
fn normal_rows(
    model: &Autoencoder,
    location: &str,
    args: &DetectArgs,
    require_labels: bool,
    out: &Output,
) -> Result<Dataset, Failure> {
    let input = &args.transform.input;
    let labels_optional = input.label.is_some() && !require_labels;
    let image = model.config().image();
    let rows = read_companion(model, image, (location, input), labels_optional, out)?;
    tables::remark_missing(model, &rows, location, out);
    let Some(labels) = rows.labels().filter(|_| input.label.is_some()) else { return Ok(rows) };
    let rule = LabelRule::new(&args.anomaly, args.normal.as_deref());
    let known = rule.classify(labels);
    let normal: Vec<usize> = (0..rows.rows()).filter(|row| known[*row] == Some(false)).collect();
    Ok(rows.select_rows(&normal)?)
}
