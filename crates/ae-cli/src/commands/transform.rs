//! `ae encode`, `ae decode`, `ae reconstruct`: rows through a model.

use ae_data::Dataset;
use serde_json::json;

use crate::args::{Common, TransformArgs};
use crate::failure::Failure;
use crate::inputs::{Target, code_names, load, read_codes, read_for};
use crate::output::Output;

pub(crate) fn encode(args: &TransformArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let (target, model) = prepare(args, common)?;
    let rows = read_for(&model, &args.data, &args.input, out)?;
    let codes = model.encode(&rows).map_err(|error| Failure::with_rows(&args.data, error))?;
    let codes = codes.with_names(code_names(&model))?;
    deliver(args, with_labels_of(&rows, codes)?, &target, out)
}

pub(crate) fn decode(args: &TransformArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let (target, model) = prepare(args, common)?;
    let codes = read_codes(&model, &args.data, &args.input, out)?;
    let rows = model.decode(&codes).map_err(|error| Failure::with_rows(&args.data, error))?;
    deliver(args, with_labels_of(&codes, rows)?, &target, out)
}

pub(crate) fn reconstruct(args: &TransformArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let (target, model) = prepare(args, common)?;
    let rows = read_for(&model, &args.data, &args.input, out)?;
    let rebuilt = model.reconstruct(&rows).map_err(|error| Failure::with_rows(&args.data, error))?;
    deliver(args, with_labels_of(&rows, rebuilt)?, &target, out)
}

fn prepare(args: &TransformArgs, common: &Common) -> Result<(Target, ae_model::Autoencoder), Failure> {
    let target = Target::checked(args.output.as_deref())?;
    Ok((target, load(&args.model, common.threads())?))
}

/// The table with the labels that the rows came with, so that they stay beside their encodings.
fn with_labels_of(rows: &Dataset, table: Dataset) -> Result<Dataset, Failure> {
    match rows.labels() {
        Some(labels) => Ok(table.with_labels(labels.clone())?),
        None => Ok(table),
    }
}

/// Writes the table; with `--json` says so in an object, or is the table a row an object on standard output.
fn deliver(args: &TransformArgs, table: Dataset, target: &Target, out: &mut Output) -> Result<(), Failure> {
    if out.is_json() && *target == Target::Standard {
        for row in table.values().chunks_exact(table.features()) {
            out.object(&json!({ "row": row }))?;
        }
        return Ok(());
    }
    target.write(&table, out)?;
    out.object(&json!({
        "event": "written",
        "output": args.output,
        "rows": table.rows(),
        "columns": table.features(),
    }))
}
