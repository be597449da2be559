//! `ae detect`: scores, flags, p-values and the features to blame; against labels, how good they are.

mod table;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use ae_data::{Dataset, Labels, Schema};
use ae_eval::anomaly::{Calibration, Detector, Score, Settings, contamination_threshold};
use ae_eval::{Confusion, average_precision, roc_auc};
use ae_model::{Autoencoder, ErrorNorm};
use serde_json::{Value, json};

use crate::args::{Common, DataArgs, DetectArgs};
use crate::failure::Failure;
use crate::inputs::{Target, load, read_for};
use crate::output::Output;
use crate::tables;
use table::Table;

/// Percentile of the calibration scores where nothing is said.
const PERCENTILE: f64 = 99.0;

pub(crate) fn run(args: &DetectArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let paths = &args.transform;
    check(args)?;
    let target = Target::checked(paths.output.as_deref())?;
    let model = load(&paths.model, common.threads())?;
    let rows = match read_for(&model, &paths.data, &paths.input, out) {
        // New rows, of which nobody knows yet what they are; the reference's are known.
        Err(failure) if paths.input.label.is_some() && args.reference.is_some() && paths.data != "-" => {
            let unlabelled = DataArgs { label: None, ..paths.input.clone() };
            let rows = read_for(&model, &paths.data, &unlabelled, out).map_err(|_| failure)?;
            out.note(format!("{} has no such labels: --label is the reference's", paths.data));
            rows
        }
        rows => rows?,
    };
    let rule = LabelRule::of(&args.anomaly, args.normal.as_deref());
    let anomalies = match rows.labels() {
        Some(labels) if paths.input.label.is_some() => Some(anomalies(labels, rule, &paths.data, out)?),
        _ => None,
    };
    // Distances need every value; errors are those of what is known.
    let rows = match args.reference {
        Some(_) => tables::without_gaps(&model, rows, &paths.data, out)?,
        None => rows,
    };
    let names = match model.schema() {
        Some(schema) => Some(schema.features().map(|column| column.name.clone()).collect()),
        None => model.feature_names().or(rows.names()).map(<[String]>::to_vec),
    };
    let found = found(args, common, model, &rows, out)?;

    let flags: Vec<bool> = found.scores.iter().map(|score| *score >= found.threshold).collect();
    let names = names.as_deref();
    let table = Table { found: &found, flags: &flags, names, rows: &rows, blamed: args.blame };
    if out.is_json() && target == Target::Standard {
        table.objects(out)?;
    } else {
        table.write(&target, out)?;
    }
    let flagged = flags.iter().filter(|flag| **flag).count();
    out.note(format!("{flagged} of {} rows flagged, from a score of {:.6} on", flags.len(), found.threshold));
    if args.contamination.is_some_and(|share| flagged as f64 > 2.0 * (share * flags.len() as f64).max(1.0)) {
        out.note("more than --contamination asks for, since they are tied with the last of these");
    }
    let most_blamed = table.most_blamed();
    if !most_blamed.is_empty() {
        let share = |count: usize| format!("{:.1} %", 100.0 * count as f64 / flagged as f64);
        let list = most_blamed.iter().map(|(name, count)| format!("{name} {}", share(*count)));
        out.note(format!("blamed first most often: {}", list.collect::<Vec<_>>().join(", ")));
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
            // Beside a table on standard output it is a remark.
            if target == Target::Standard { out.note(line) } else { out.line(line)? }
        }
        if let (Value::Object(summary), Value::Object(quality)) = (&mut summary, quality.object()) {
            summary.extend(quality);
        }
    }
    out.object(&summary)
}

/// What cannot be, before files are read.
fn check(args: &DetectArgs) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
    if args.reference.is_none() {
        if args.threshold.is_none() && args.contamination.is_none() {
            return usage("--threshold or --contamination is needed where there are no --reference rows");
        }
        if args.score.as_deref().is_some_and(|score| score != Score::Error.name()) {
            return usage("--score: scores other than error need --reference rows");
        }
    }
    let read = [Some(&args.transform.data), args.reference.as_ref(), args.calibrate.as_ref()];
    if read.into_iter().flatten().filter(|location| *location == "-").count() > 1 {
        return usage("-: standard input can be read only once");
    }
    if args.threshold.is_some_and(f64::is_nan) {
        return usage("--threshold: NaN is no threshold");
    }
    if args.percentile.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        return usage("--percentile: it must be from 0 to 100");
    }
    if args.contamination.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        return usage("--contamination: it must be above 0 and at most 1");
    }
    Ok(())
}

/// What is found out about the rows.
struct Found {
    score: Score,
    scores: Vec<f64>,
    threshold: f64,
    p_values: Option<Vec<f64>>,
    /// What each feature adds to a row's error, `[rows, features]`.
    contributions: Dataset,
    /// Cells, by row and column, with a text that the model does not know: they are odd whatever the model makes of them.
    unknown: HashSet<(usize, usize)>,
}

fn found(
    args: &DetectArgs,
    common: &Common,
    model: Autoencoder,
    rows: &Dataset,
    out: &Output,
) -> Result<Found, Failure> {
    let data = &args.transform.data;
    let about = |error| Failure::with_rows(data, error);
    let unknown = model.schema().map_or_else(HashSet::new, |schema| unknown_texts(schema, rows));
    let Some(reference) = &args.reference else {
        let scores = errors_of_whole_rows(&model, rows).map_err(about)?;
        let threshold = match (args.threshold, args.contamination) {
            (Some(threshold), _) => threshold,
            (_, share) => contamination_threshold(&scores, share.unwrap_or_default())?,
        };
        let contributions = tables::by_column(&model, model.squared_errors(rows).map_err(about)?)?;
        return Ok(Found { score: Score::Error, scores, threshold, p_values: None, contributions, unknown });
    };
    // If the data have no labels, the reference must.
    let must_tell = args.transform.input.label.is_some() && rows.labels().is_none();
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
    let with = |location: &str| {
        let location = location.to_owned();
        move |error| with_rows(&location, error)
    };
    let groups = model.schema().map(Schema::groups);
    let detector = Detector::with_model(&settings, model, &normal).map_err(with(reference))?;
    // Rows that are the reference must not find themselves in it.
    let scores_of = |location: &str, rows: &Dataset| {
        if same_location(location, reference) {
            return detector.scores_of_training_rows(rows).map_err(with(location));
        }
        let known = rows_among(rows, &normal);
        if 2 * known > rows.rows() {
            out.note(format!(
                "{location}: {known} of {} rows are in {reference} too: if they are the same rows and not others that are alike, they \
                 find themselves, and their scores are too low; of the very file that is the reference no row counts as its own neighbour",
                rows.rows()
            ));
        }
        detector.scores(rows).map_err(with(location))
    };
    let calibration = match calibration {
        Some((location, rows)) => scores_of(location, &rows)?,
        None => {
            if learns_from_errors(settings.score) {
                out.note(format!(
                    "{reference}: errors of rows that the model was trained on are smaller than those of new rows, so that thresholds and \
                     p-values take too many of these for odd; --calibrate takes normal rows that it has not seen"
                ));
            }
            detector.training_scores().to_vec()
        }
    };
    let calibration = Calibration::new(calibration)?;
    let scores = scores_of(data, rows)?;
    let threshold = match (args.threshold, args.contamination) {
        (Some(threshold), _) => threshold,
        (_, Some(share)) => contamination_threshold(&scores, share)?,
        _ => calibration.threshold(args.percentile.unwrap_or(PERCENTILE))?,
    };
    let p_values = scores.iter().map(|score| calibration.p_value(*score)).collect();
    let contributions = match groups {
        Some(groups) => detector.contributions_by(rows, &groups),
        None => detector.contributions(rows),
    };
    let contributions = contributions.map_err(with(data))?;
    Ok(Found { score: settings.score, scores, threshold, p_values: Some(p_values), contributions, unknown })
}

/// The squared errors of the rows. What is missing of a row counts as if it were rebuilt as well as the rest of it: else a row would look the
/// more normal the less is known of it.
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

/// Whether the scores are errors of a model, which of the rows that it has learnt from are too low; neighbours leave a row itself out.
fn learns_from_errors(score: Score) -> bool {
    matches!(score, Score::Error | Score::StandardisedError | Score::Mahalanobis | Score::Denoising)
}

/// Cells whose text is none of the categories of their column: none of its features is 1.
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

/// Whether two locations are the same rows, however they are spelt.
fn same_location(a: &str, b: &str) -> bool {
    let file = |location: &str| Path::new(location).canonicalize().ok();
    a == b || file(a).is_some_and(|a| file(b) == Some(a))
}

/// How many of `rows` are, to the bit, among `others`: by hashes of 64 bits, which are small beside the rows and good enough for a remark.
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

fn with_rows(location: &str, error: ae_eval::EvalError) -> Failure {
    match error {
        ae_eval::EvalError::Model(error) => Failure::with_rows(location, error),
        ae_eval::EvalError::TooFewRows { .. } => Failure::Other(format!("{location}: {error}")),
        error => error.into(),
    }
}

/// Rows of a file that are normal: all of them, or if they have labels as the data do, or as they `must_tell`, those that are no anomalies.
fn normal_rows(
    model: &Autoencoder,
    location: &str,
    args: &DetectArgs,
    must_tell: bool,
    out: &Output,
) -> Result<Dataset, Failure> {
    let input = &args.transform.input;
    // The file may do without the labels of the data, and without what calls its rows something.
    let mut rows = read_for(model, location, input, out);
    let without_id = DataArgs { id: None, ..input.clone() };
    let unlabelled = DataArgs { label: None, ..input.clone() };
    let neither = DataArgs { label: None, ..without_id.clone() };
    let may_lack_label = input.label.is_some() && !must_tell;
    for (may_lack, input) in [
        (input.id.is_some(), without_id),
        (may_lack_label, unlabelled),
        (may_lack_label && input.id.is_some(), neither),
    ] {
        if rows.is_err() && may_lack {
            rows = read_for(model, location, &input, out).or(rows);
        }
    }
    let rows = rows?;
    let rows = tables::without_gaps(model, rows, location, out)?;
    let Some(labels) = rows.labels().filter(|_| input.label.is_some()) else { return Ok(rows) };
    let rule = LabelRule::of(&args.anomaly, args.normal.as_deref());
    let known = rule.told(labels);
    let normal: Vec<usize> = (0..rows.rows()).filter(|row| known[*row] == Some(false)).collect();
    Ok(rows.select_rows(&normal)?)
}

/// Which label tells anomalies from other rows.
#[derive(Clone, Copy)]
pub(super) enum LabelRule<'a> {
    /// That of anomalies.
    Anomaly(&'a str),
    /// That of all others.
    Normal(&'a str),
}

impl<'a> LabelRule<'a> {
    pub(super) fn of(anomaly: &'a str, normal: Option<&'a str>) -> LabelRule<'a> {
        normal.map_or(LabelRule::Anomaly(anomaly), LabelRule::Normal)
    }

    /// Of each row whether it is an anomaly, where its label tells. Where only anomalies have labels, the others have none.
    fn told(self, labels: &Labels) -> Vec<Option<bool>> {
        let (LabelRule::Anomaly(wanted) | LabelRule::Normal(wanted)) = self;
        let others = labels.names().iter().any(|name| !name.is_empty() && name != wanted);
        let told = |row: usize| match labels.name_of(row).filter(|name| !name.is_empty()) {
            Some(name) => Some((name == wanted) == matches!(self, LabelRule::Anomaly(_))),
            None if others => None,
            None => Some(matches!(self, LabelRule::Normal(_))),
        };
        (0..labels.len()).map(told).collect()
    }
}

/// Which rows are anomalies by their labels, and a word about those without one; labels that nobody asked for by `--label` say nothing
/// about that.
pub(super) fn anomalies(
    labels: &Labels,
    rule: LabelRule<'_>,
    location: &str,
    out: &Output,
) -> Result<Vec<Option<bool>>, Failure> {
    let anomalies = rule.told(labels);
    if !anomalies.contains(&Some(false)) || !anomalies.contains(&Some(true)) {
        let (name, flag, has_all) = match rule {
            LabelRule::Anomaly(name) => (name, "--anomaly", anomalies.contains(&Some(true))),
            LabelRule::Normal(name) => (name, "--normal", anomalies.contains(&Some(false))),
        };
        let what = if has_all { "every row" } else { "no row" };
        let names = labels.names().iter().filter(|name| !name.is_empty());
        return Err(Failure::Other(format!(
            "{location}: {what} has the label '{name}' that {flag} names; labels: {}",
            names.take(8).cloned().collect::<Vec<_>>().join(", ")
        )));
    }
    let unknown = anomalies.iter().filter(|told| told.is_none()).count();
    if unknown > 0 {
        out.note(format!(
            "{location}: {unknown} rows have no label, and no part in how well anomalies are told"
        ));
    }
    Ok(anomalies)
}

/// How well scores tell anomalies, by labels.
struct Quality {
    counts: Confusion,
    roc_auc: f64,
    pr_auc: f64,
}

impl Quality {
    fn of(anomalies: &[Option<bool>], found: &Found) -> Result<Quality, Failure> {
        let known = anomalies.iter().zip(&found.scores).filter_map(|(told, score)| Some(((*told)?, *score)));
        let (anomalies, scores): (Vec<bool>, Vec<f64>) = known.unzip();
        Ok(Quality {
            counts: Confusion::at(&anomalies, &scores, found.threshold)?,
            roc_auc: roc_auc(&anomalies, &scores)?,
            pr_auc: average_precision(&anomalies, &scores)?,
        })
    }

    fn object(&self) -> Value {
        let Quality { counts, roc_auc, pr_auc } = self;
        json!({
            "precision": counts.precision(),
            "recall": counts.recall(),
            "f1": counts.f1(),
            "roc_auc": roc_auc,
            "pr_auc": pr_auc,
            "true_positives": counts.true_positives,
            "false_positives": counts.false_positives,
            "false_negatives": counts.false_negatives,
            "true_negatives": counts.true_negatives,
        })
    }

    fn lines(&self) -> [String; 8] {
        let Quality { counts, roc_auc, pr_auc } = self;
        [
            format!("precision     {:.4}", counts.precision()),
            format!("recall        {:.4}", counts.recall()),
            format!("F1            {:.4}", counts.f1()),
            format!("ROC-AUC       {roc_auc:.4}"),
            format!("PR-AUC        {pr_auc:.4}"),
            format!("{:<14}{:>9} {:>9}", "", "flagged", "not"),
            format!("{:<14}{:>9} {:>9}", "anomalies", counts.true_positives, counts.false_negatives),
            format!("{:<14}{:>9} {:>9}", "others", counts.false_positives, counts.true_negatives),
        ]
    }
}
