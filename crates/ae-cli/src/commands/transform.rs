//! `ae encode`, `ae decode`, `ae reconstruct`: rows through a model.

use ae_data::Dataset;
use serde_json::json;

use crate::args::{Common, ReconstructArgs, TransformArgs};
use crate::failure::Failure;
use crate::inputs::{Target, code_names, load, read_codes, read_for, read_table_for};
use crate::output::Output;
use crate::tables::{self, FILL_ROUNDS};

pub(crate) fn encode(args: &TransformArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let (target, model) = prepare(args, common)?;
    let rows = read_for(&model, &args.data, &args.input, out)?;
    let codes = model.encode(&rows).map_err(|error| Failure::with_rows(&args.data, error))?;
    let codes = codes.with_names(code_names(&model))?;
    let codes = with_labels_of(&rows, codes)?;
    if out.is_json() && target == Target::Standard {
        for row in codes.values().chunks_exact(codes.features()) {
            out.object(&json!({ "row": row }))?;
        }
        return Ok(());
    }
    target.write(&codes, out)?;
    tables::written(&target, codes.rows(), codes.features(), out)
}

pub(crate) fn decode(args: &TransformArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let (target, model) = prepare(args, common)?;
    tables::check_target(&model, &target)?;
    let codes = read_codes(&model, &args.data, &args.input, out)?;
    let rows = model.decode(&codes).map_err(|error| Failure::with_rows(&args.data, error))?;
    tables::deliver(&model, &with_labels_of(&codes, rows)?, &target, out)
}

pub(crate) fn reconstruct(args: &ReconstructArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let ReconstructArgs { transform: args, fill } = args;
    let (target, model) = prepare(args, common)?;
    tables::check_target(&model, &target)?;
    let about = |error| Failure::with_rows(&args.data, error);
    let (rows, table) = read_table_for(&model, &args.data, &args.input, out)?;
    if !fill {
        let rebuilt = model.reconstruct(&rows).map_err(about)?;
        return tables::deliver(&model, &with_labels_of(&rows, rebuilt)?, &target, out);
    }
    if !model.config().mask_missing() {
        return Err(Failure::Usage(
            "--fill: the model was trained without --missing mask, so it takes no gaps".to_owned(),
        ));
    }
    out.note(format!("{} missing cells filled in", tables::missing_cells(&model, &rows)));
    let filled = with_labels_of(&rows, model.filled(&rows, FILL_ROUNDS).map_err(about)?)?;
    match (table, model.schema()) {
        (Some(table), Some(schema)) => {
            let filled = schema.fill(&table, args.input.label.as_deref(), &filled)?;
            tables::deliver_table(&filled, &target, out)
        }
        _ => tables::deliver(&model, &filled, &target, out),
    }
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
