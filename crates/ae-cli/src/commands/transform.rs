//! `ae encode`, `ae decode` and `ae reconstruct`: pass rows through a model.

use ae_data::Dataset;

use crate::args::{Common, ReconstructArgs, TransformArgs};
use crate::failure::Failure;
use crate::inputs::{Target, Texts, code_names, load, read_codes, read_for, read_table_for, read_texts_for};
use crate::output::Output;
use crate::tables::{self, FILL_ROUNDS};

pub(crate) fn encode(args: &TransformArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let target = Target::checked(args.output.as_deref())?;
    let model = load(&args.model, common.threads())?;
    let rows = read_for(&model, &args.data, &args.input, out)?;
    let codes = model.encode(&rows).map_err(|error| Failure::with_rows(&args.data, error))?;
    let codes = codes.with_names(code_names(&model))?;
    tables::deliver_numbers(&tables::with_names_of(&rows, codes)?, &target, out)
}

pub(crate) fn decode(args: &TransformArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let (target, model) = prepare(args, common)?;
    let codes = read_codes(&model, &args.data, &args.input, out)?;
    let rows = model.decode(&codes).map_err(|error| Failure::with_rows(&args.data, error))?;
    tables::deliver(&model, &tables::with_names_of(&codes, rows)?, &target, out)
}

pub(crate) fn reconstruct(args: &ReconstructArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let ReconstructArgs { transform: args, fill } = args;
    let (target, model) = prepare(args, common)?;
    let about = |error| Failure::with_rows(&args.data, error);
    if !fill {
        let rows = read_for(&model, &args.data, &args.input, out)?;
        let rebuilt = model.reconstruct(&rows).map_err(about)?;
        return tables::deliver(&model, &tables::with_names_of(&rows, rebuilt)?, &target, out);
    }
    if !model.config().mask_missing() {
        return Err(Failure::Usage(
            "--fill: the model was trained without --missing mask, so it cannot fill in values".to_owned(),
        ));
    }
    let of_model = |rows: &Dataset| model.filled(rows, FILL_ROUNDS).map_err(about);
    if let Some(schema) = model.schema() {
        let (rows, table) = read_table_for(&model, schema, &args.data, &args.input, out)?;
        let label = args.input.label.as_deref();
        out.note(format!("{} missing cells filled in", schema.missing_cells(&table, label)?));
        return tables::deliver_table(&schema.fill(&table, label, &of_model(&rows)?)?, &target, out);
    }
    let (rows, texts) = read_texts_for(&model, &args.data, &args.input, out)?;
    out.note(format!("{} missing cells filled in", rows.values().iter().filter(|x| x.is_nan()).count()));
    let filled = of_model(&rows)?;
    match texts {
        // Known values stay as they were written.
        Some(Texts { table, columns }) if target.is_text(out) => {
            tables::deliver_table(&table.filled(&columns, &filled)?, &target, out)
        }
        _ => tables::deliver(&model, &tables::with_names_of(&rows, filled)?, &target, out),
    }
}

/// Loads the model and checks where its rows are to be written.
fn prepare(args: &TransformArgs, common: &Common) -> Result<(Target, ae_model::Autoencoder), Failure> {
    let model = load(&args.model, common.threads())?;
    let target = Target::of_rows(args.output.as_deref(), &model, Some(&args.data))?;
    tables::check_target(&model, &target)?;
    Ok((target, model))
}
