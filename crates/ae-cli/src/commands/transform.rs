//! `ae encode`, `ae decode` and `ae reconstruct`: pass rows through a model.

use ae_data::Dataset;
use ae_eval::IMPUTATION_ROUNDS;

use crate::args::{Common, ReconstructArgs, TransformArgs};
use crate::failure::Failure;
use crate::inputs::{
    TableDestination, TextTable, code_names, load, read_codes, read_for, read_table_for, read_text_table_for,
};
use crate::output::Output;
use crate::tables;

pub(crate) fn encode(args: &TransformArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let destination = TableDestination::checked(args.output.as_deref())?;
    let model = load(&args.model, common.threads())?;
    let rows = read_for(&model, &args.data, &args.input, out)?;
    let codes = model.encode(&rows).map_err(|error| Failure::with_rows(&args.data, error))?;
    let codes = codes.with_names(code_names(&model))?;
    tables::write_rows_as_numbers(&tables::with_metadata_of(&rows, codes)?, &destination, out)
}

pub(crate) fn decode(args: &TransformArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let (destination, model) = prepare(args, common)?;
    let codes = read_codes(&model, &args.data, &args.input, out)?;
    let rows = model.decode(&codes).map_err(|error| Failure::with_rows(&args.data, error))?;
    tables::write_rows(&model, &tables::with_metadata_of(&codes, rows)?, &destination, out)
}

pub(crate) fn reconstruct(args: &ReconstructArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let ReconstructArgs { transform: args, fill } = args;
    let (destination, model) = prepare(args, common)?;
    let about = |error| Failure::with_rows(&args.data, error);
    if !fill {
        let rows = read_for(&model, &args.data, &args.input, out)?;
        let reconstructed = model.reconstruct(&rows).map_err(about)?;
        return tables::write_rows(
            &model,
            &tables::with_metadata_of(&rows, reconstructed)?,
            &destination,
            out,
        );
    }
    if !model.config().mask_missing() {
        return Err(Failure::Usage(
            "--fill: the model was trained without --missing mask, so it cannot fill in values".to_owned(),
        ));
    }
    let imputed = |rows: &Dataset| model.impute(rows, IMPUTATION_ROUNDS).map_err(about);
    if let Some(schema) = model.schema() {
        let (rows, table) = read_table_for(&model, schema, &args.data, &args.input, out)?;
        let label = args.input.label.as_deref();
        out.note(format!("{} missing cells filled in", schema.missing_cells(&table, label)?));
        let filled = imputed(&rows)?;
        if destination.is_numeric() {
            return tables::write_rows(&model, &tables::with_metadata_of(&rows, filled)?, &destination, out);
        }
        return tables::write_rows_as_table(&schema.fill_missing(&table, label, &filled)?, &destination, out);
    }
    let (rows, text_table) = read_text_table_for(&model, &args.data, &args.input, out)?;
    out.note(format!("{} missing cells filled in", rows.values().iter().filter(|x| x.is_nan()).count()));
    let filled = imputed(&rows)?;
    match text_table {
        // Known values stay as they were written.
        Some(TextTable { table, columns }) if destination.is_text(out) => {
            tables::write_rows_as_table(&table.fill_missing(&columns, &filled)?, &destination, out)
        }
        _ => tables::write_rows(&model, &tables::with_metadata_of(&rows, filled)?, &destination, out),
    }
}

/// Loads the model and checks where its rows are to be written.
fn prepare(
    args: &TransformArgs,
    common: &Common,
) -> Result<(TableDestination, ae_model::Autoencoder), Failure> {
    let model = load(&args.model, common.threads())?;
    let destination = TableDestination::of_rows(args.output.as_deref(), &model, Some(&args.data))?;
    tables::check_destination(&model, &destination)?;
    Ok((destination, model))
}
