//! `ae compare`: maps of the same rows by the model's encoding, PCA and t-SNE.

mod destination;
mod labels;

use std::time::Instant;

use ae_data::{BatchSource, Dataset, Rows};
use ae_eval::{
    EvalError, NeighbourOrder, Pca, TsneSettings, continuity, knn_accuracy, sample_rows, trustworthiness,
    tsne,
};
use ae_model::Autoencoder;
use serde_json::json;

use crate::args::{Common, CompareArgs, DataArgs};
use crate::failure::Failure;
use crate::inputs::{load, read_for};
use crate::output::Output;
use crate::tables;
use destination::Destination;
use labels::LabelFile;

/// Default perplexity, unless there are few rows.
const DEFAULT_PERPLEXITY: f64 = 30.0;
/// Default number of neighbours to measure maps by, unless there are few rows.
const DEFAULT_NEIGHBOURS: usize = 5;
/// Fewest rows that t-SNE can map.
const MIN_ROWS: usize = 4;

pub(crate) fn run(args: &CompareArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let destination = Destination::of(args, common)?;
    let file = args.input.label.as_deref().and_then(LabelFile::named);
    let model = load(&args.model, common.threads())?;
    let rows = match &file {
        None => read_for(&model, &args.data, &args.input, out)?,
        Some(file) => {
            let rows = read_for(&model, &args.data, &DataArgs { label: None, ..args.input.clone() }, out)?;
            let labels = file.labels(rows.rows())?;
            rows.with_labels(labels)?
        }
    };
    let all = rows.rows();
    let drawn = sample_rows(all, args.rows as usize, args.seed)?;
    let rows = rows.select_rows(&drawn)?;
    let rows = tables::for_maps(&model, rows, &args.data, out)?;
    let settings = MapSettings {
        location: &args.data,
        neighbours: args.neighbours.unwrap_or_else(|| default_neighbours(rows.rows())),
        perplexity: args.perplexity,
        seed: args.seed,
        threads: common.threads(),
    };
    let (maps, perplexity) = maps(&settings, &model, &rows, &drawn)?;
    let chosen = if drawn.len() == all {
        format!("all {all} in {}", args.data)
    } else {
        format!("{} of the {all} in {}, drawn with seed {}", drawn.len(), args.data, args.seed)
    };
    destination.write(&maps, &rows, &drawn, (&chosen, settings.neighbours), out)?;
    out.object(&json!({
        "event": "summary",
        "rows": drawn.len(),
        "rows_of_data": all,
        "neighbours": settings.neighbours,
        "perplexity": perplexity,
        "seed": args.seed,
        "labels": rows.labels().is_some(),
        "output": args.output,
        "plot": args.plot,
    }))
}

/// The number of neighbours to measure maps of this many rows by: fewer than half of them.
pub(super) fn default_neighbours(rows: usize) -> usize {
    DEFAULT_NEIGHBOURS.min(rows.div_ceil(2).saturating_sub(1))
}

/// How to map rows.
pub(super) struct MapSettings<'a> {
    /// Where the rows come from.
    pub(super) location: &'a str,
    pub(super) neighbours: usize,
    /// Perplexity of t-SNE, if given.
    pub(super) perplexity: Option<f64>,
    pub(super) seed: u64,
    pub(super) threads: Option<usize>,
}

/// Checks that the request fits the rows, and returns the settings of t-SNE.
fn tsne_settings(settings: &MapSettings<'_>, rows: usize) -> Result<TsneSettings, Failure> {
    let location = settings.location;
    if rows < MIN_ROWS {
        let text = format!("{location}: {rows} rows are too few to map: at least {MIN_ROWS} are needed");
        return Err(Failure::Other(text));
    }
    let k = settings.neighbours;
    if k == 0 || k >= rows.div_ceil(2) {
        return Err(Failure::Usage(format!(
            "--neighbours: {k} is out of range: it must be at least 1 and fewer than half of the {rows} rows of {location} that are mapped"
        )));
    }
    let max = rows.saturating_sub(1) as f64;
    let perplexity = settings.perplexity.unwrap_or(DEFAULT_PERPLEXITY.min(max / 3.0).max(1.0));
    if !(perplexity >= 1.0 && perplexity <= max) {
        return Err(Failure::Usage(format!(
            "--perplexity: {perplexity} is out of range: it must be from 1 to one less than the {rows} rows of {location} that are mapped"
        )));
    }
    let MapSettings { seed, threads, .. } = *settings;
    Ok(TsneSettings { perplexity, seed, threads, ..TsneSettings::default() })
}

/// Refuses missing values, which some models accept, but for which there are no distances.
fn check_values(location: &str, rows: &Dataset, drawn: &[usize]) -> Result<(), Failure> {
    let Some(at) = rows.values().iter().position(|x| x.is_nan()) else { return Ok(()) };
    let (row, column) = (at / rows.features(), at % rows.features());
    let name = match rows.names() {
        Some(names) => format!("'{}'", names[column]),
        None => (column + 1).to_string(),
    };
    Err(Failure::Other(format!(
        "{location}: row {}, column {name}: the value is missing, and distances need every value; ae reconstruct --fill fills them in",
        drawn[row] + 1
    )))
}

/// A map and how well it preserves neighbours.
pub(super) struct Map {
    /// Its name in JSON and in column names.
    pub(super) key: &'static str,
    pub(super) name: String,
    /// What it shows, as text.
    pub(super) remark: String,
    /// Coordinates, `[rows, 2]`.
    pub(super) points: Vec<f32>,
    pub(super) seconds: f64,
    pub(super) trustworthiness: f64,
    pub(super) continuity: f64,
    pub(super) accuracy: Option<f64>,
}

/// The three maps of the rows, and the perplexity of t-SNE. `drawn` holds the rows' indices in the data.
pub(super) fn maps(
    settings: &MapSettings<'_>,
    model: &Autoencoder,
    rows: &Dataset,
    drawn: &[usize],
) -> Result<(Vec<Map>, f64), Failure> {
    let tsne_settings = tsne_settings(settings, rows.rows())?;
    check_values(settings.location, rows, drawn)?;
    let MapSettings { location, neighbours, threads, .. } = *settings;
    let about = |error| Failure::with_rows(location, error);
    let scaled = model.scaled(rows).map_err(about)?;
    let truth = NeighbourOrder::new(&scaled, threads).map_err(|error| match error {
        EvalError::Model(error) => about(error),
        error => error.into(),
    })?;
    let measured = |key, name: &str, remark, points: Vec<f32>, started: Instant| {
        let seconds = started.elapsed().as_secs_f64();
        let order = NeighbourOrder::new(&Rows::new(&points, 2)?, threads)?;
        let accuracy = match rows.labels() {
            Some(labels) => Some(knn_accuracy(&order, labels.codes(), neighbours)?),
            None => None,
        };
        Ok::<_, Failure>(Map {
            key,
            name: name.to_owned(),
            remark,
            points,
            seconds,
            trustworthiness: trustworthiness(&truth, &order, neighbours)?,
            continuity: continuity(&truth, &order, neighbours)?,
            accuracy,
        })
    };

    let started = Instant::now();
    let codes = model.encode(rows).map_err(about)?;
    let (points, remark) = match codes.features() {
        0 | 1 => (to_plane(codes.values(), 1), "its value, from left to right".to_owned()),
        2 => (codes.values().to_vec(), "its 2 values".to_owned()),
        width => {
            let (points, percent) = components(&codes)?;
            (points, format!("first 2 principal components of {width} values ({percent:.1} % of variance)"))
        }
    };
    let encoding = measured("encoding", "encoding", remark, points, started)?;

    let started = Instant::now();
    let (points, percent) = components(&scaled)?;
    let remark = format!("of {} features ({percent:.1} % of variance)", scaled.features());
    let pca = measured("pca", "PCA", remark, points, started)?;

    let started = Instant::now();
    let points = tsne(&scaled, &tsne_settings)?.into_values();
    let perplexity = (tsne_settings.perplexity * 100.0).round() / 100.0;
    let remark = format!("perplexity {perplexity}");
    let tsne = measured("tsne", "t-SNE", remark, points, started)?;
    Ok((vec![encoding, pca, tsne], tsne_settings.perplexity))
}

/// The first two principal components, `[rows, 2]`, and the percentage of variance they explain.
pub(super) fn components(rows: &dyn BatchSource) -> Result<(Vec<f32>, f64), Failure> {
    let width = rows.features().min(2);
    let pca = Pca::fit(rows, width)?;
    let total = pca.total_variance();
    let explained = if total > 0.0 { pca.variances().iter().sum::<f64>() / total } else { 1.0 };
    Ok((to_plane(pca.transform(rows)?.values(), width), 100.0 * explained))
}

/// Points with two coordinates, from points with one or two: a missing second one is 0.
pub(super) fn to_plane(values: &[f32], width: usize) -> Vec<f32> {
    match width {
        1 => values.iter().flat_map(|x| [*x, 0.0]).collect(),
        _ => values.to_vec(),
    }
}
