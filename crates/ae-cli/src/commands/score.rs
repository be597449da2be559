//! `ae score`: computes the reconstruction error of each row, or of each feature of each row.

use ae_data::Dataset;
use ae_model::ErrorNorm;
use serde_json::json;

use crate::args::{Common, NormArg, ScoreArgs};
use crate::failure::Failure;
use crate::inputs::{TableDestination, load, read_for};
use crate::output::Output;
use crate::tables;

pub(crate) fn run(args: &ScoreArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let paths = &args.transform;
    let destination = TableDestination::checked(paths.output.as_deref())?;
    let model = load(&paths.model, common.threads())?;
    let rows = read_for(&model, &paths.data, &paths.input, out)?;
    let about = |error| Failure::with_rows(&paths.data, error);
    let norm = match args.norm {
        NormArg::Sum => ErrorNorm::Sum,
        NormArg::Mean => ErrorNorm::Mean,
    };
    let table = if args.per_feature {
        let table = tables::sum_by_column(&model, model.squared_errors(&rows).map_err(about)?)?;
        match rows.names() {
            Some(names) if table.names().is_none() => table.with_names(names.to_vec())?,
            _ => table,
        }
    } else {
        let errors = model.reconstruction_error(&rows, norm).map_err(about)?;
        let narrow = errors.iter().map(|error| *error as f32).collect();
        Dataset::new(narrow, 1)?.with_names(vec!["error".to_owned()])?
    };
    // Folders of images have labels even if nobody asked for them.
    let labels = rows.labels().filter(|_| paths.input.label.is_some());
    let table = match labels {
        Some(labels) => table.with_labels(labels.clone())?,
        None => table,
    };
    let mse = model.mse(&rows)?;
    if out.is_json() && destination == TableDestination::Stdout {
        let row_ids = tables::row_id_column(&rows, &["row", "error", "errors", "label"]);
        for (row, values) in table.iter_rows().enumerate() {
            let mut value = if args.per_feature {
                json!({ "row": row + 1, "errors": values })
            } else {
                json!({ "row": row + 1, "error": values[0] })
            };
            if let Some(label) = labels.and_then(|labels| labels.name_of(row)) {
                value["label"] = json!(label);
            }
            if let Some((name, ids)) = &row_ids {
                value[name] = json!(ids[row]);
            }
            out.object(&value)?;
        }
    } else {
        tables::write_with_row_ids(&rows, &table, &destination, out)?;
    }
    out.note(format!("mean squared error over {} rows: {mse:.6} (scaled units)", rows.rows()));
    out.object(&json!({ "event": "summary", "rows": rows.rows(), "mse": mse, "output": paths.output }))
}
