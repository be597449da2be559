//! `ae score`: computes the reconstruction error of each row, or of each feature of each row.

use ae_data::Dataset;
use ae_eval::anomaly::{column_errors, row_errors};
use serde_json::json;

use crate::args::{Common, NormArg, ScoreArgs};
use crate::failure::Failure;
use crate::inputs::{TableDestination, load, read_for};
use crate::output::Output;
use crate::{ranges, tables};

pub(crate) fn run(args: &ScoreArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let paths = &args.transform;
    let destination = TableDestination::checked(paths.output.as_deref())?;
    let model = load(&paths.model, common.threads())?;
    let rows = read_for(&model, &paths.data, &paths.input, out)?;
    let about = |error| Failure::with_scored_rows(&paths.data, error);
    let table = if args.per_feature {
        column_errors(&model, &rows).map_err(about)?
    } else {
        let errors = row_errors(&model, &rows).map_err(about)?;
        let divisor = match args.norm {
            NormArg::Sum => 1.0,
            NormArg::Mean => rows.features() as f64,
        };
        let narrow = errors.iter().map(|error| (error / divisor) as f32).collect();
        Dataset::new(narrow, 1)?.with_names(vec!["error".to_owned()])?
    };
    // Folders of images have labels even if nobody asked for them.
    let labels = rows.labels().filter(|_| paths.input.label.is_some());
    let table = match labels {
        Some(labels) => table.with_labels(labels.clone())?,
        None => table,
    };
    let mse = model.mse(&rows)?;
    ranges::remark_outside(&model, None, (&paths.data, &rows), out)?;
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
