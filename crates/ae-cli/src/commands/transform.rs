//! `ae encode`, `ae decode` and `ae reconstruct`: pass rows through a model.

use ae_data::{Dataset, memory};
use ae_eval::IMPUTATION_ROUNDS;
use ae_model::{Autoencoder, Latent, Posterior};

use crate::args::{Common, EncodeArgs, ReconstructArgs, TransformArgs};
use crate::failure::Failure;
use crate::inputs::{
    TableDestination, TextTable, code_names, load, read_codes, read_for, read_table_for, read_text_table_for,
};
use crate::output::Output;
use crate::tables;

pub(crate) fn encode(args: &EncodeArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let EncodeArgs { transform: args, log_variances } = args;
    let destination = TableDestination::checked(args.output.as_deref())?;
    let model = load(&args.model, common.threads())?;
    if *log_variances && !matches!(model.config().latent(), Latent::Gaussian(_)) {
        let text = "--log-variances: only variational models (--kind vae) have variances";
        return Err(Failure::Usage(text.to_owned()));
    }
    let rows = read_for(&model, &args.data, &args.input, out)?;
    let about = |error| Failure::with_rows(&args.data, error);
    let codes = match log_variances {
        true => with_log_variances(&model, &model.posterior(&rows).map_err(about)?)?,
        false => model.encode(&rows).map_err(about)?.with_names(code_names(&model))?,
    };
    tables::write_rows_as_numbers(&tables::with_metadata_of(&rows, codes)?, &destination, out)
}

/// The means of a posterior followed by the log-variances, with their names.
fn with_log_variances(model: &Autoencoder, posterior: &Posterior) -> Result<Dataset, Failure> {
    let (means, log_variances) = (posterior.means(), posterior.log_variances());
    let mut values = memory::room("the encodings", means.rows(), 2 * means.features())?;
    for (means, log_variances) in means.iter_rows().zip(log_variances.iter_rows()) {
        values.extend(means.iter().chain(log_variances));
    }
    let mut names = code_names(model);
    names.extend(code_names(model).iter().map(|name| format!("{name}_log_variance")));
    Ok(Dataset::new(values, names.len())?.with_names(names)?)
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
fn prepare(args: &TransformArgs, common: &Common) -> Result<(TableDestination, Autoencoder), Failure> {
    let model = load(&args.model, common.threads())?;
    let destination = TableDestination::of_rows(args.output.as_deref(), &model, Some(&args.data))?;
    tables::check_destination(&model, &destination)?;
    Ok((destination, model))
}
