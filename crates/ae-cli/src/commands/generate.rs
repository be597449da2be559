//! `ae generate`, `ae interpolate` and `ae traverse`: new rows, as tables or images.

use std::path::{Path, PathBuf};

use ae_data::Dataset;
use ae_eval::{Sheet, SheetStyle, Traversal, traverse};
use ae_model::{Autoencoder, Image};
use serde_json::json;

use crate::args::{Common, GenerateArgs, InterpolateArgs, RowsOutputArgs, TraverseArgs};
use crate::failure::Failure;
use crate::inputs::{TableDestination, check_output, load, read_for};
use crate::output::Output;
use crate::pictures;
use crate::tables;

/// Most images in a line of a sheet.
const IMAGES_PER_LINE: usize = 16;
/// About how wide a sheet is, in pixels: images are enlarged to fill it.
const SHEET_WIDTH: usize = 1200;
/// Most images on a sheet.
const MAX_IMAGES: usize = 4096;

pub(crate) fn generate(args: &GenerateArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let model = load(&args.model, common.threads())?;
    let destination = Destination::of(&args.rows_output, Some((&model, None)))?;
    let rows = model.generate(args.rows as usize, args.seed)?;
    let rows = match model.schema() {
        Some(schema) => schema.sample(&rows, args.seed)?,
        None => rows,
    };
    let rows = model.within_limits(rows)?;
    destination.write(&model, &rows, IMAGES_PER_LINE, &args.rows_output, out)
}

pub(crate) fn interpolate(args: &InterpolateArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let model = load(&args.model, common.threads())?;
    let destination = Destination::of(&args.rows_output, Some((&model, Some(&args.data))))?;
    let rows = read_for(&model, &args.data, &args.input, out)?;
    let (first, second) = args.between;
    let row = |number: usize| {
        rows.row(number - 1).ok_or_else(|| {
            Failure::Usage(format!("--between: {} has {} rows, no row {number}", args.data, rows.rows()))
        })
    };
    let between = model.interpolate(row(first)?, row(second)?, args.steps);
    let between = between.map_err(|error| Failure::with_rows(&args.data, error))?;
    destination.write(&model, &between, IMAGES_PER_LINE, &args.rows_output, out)
}

pub(crate) fn traversal(args: &TraverseArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let destination = Destination::of(&args.rows_output, None)?;
    if !(args.extent > 0.0 && args.extent.is_finite()) {
        return Err(Failure::Usage("--extent: it must be above 0 and finite".to_owned()));
    }
    let model = load(&args.model, common.threads())?;
    let steps = usize::from(args.steps);
    let Traversal { values, rows } = traverse(&model, steps, args.extent)?;
    let rows = model.within_limits(rows)?;
    let Destination::Table(table) = &destination else {
        return destination.write(&model, &rows, steps, &args.rows_output, out);
    };
    tables::check_destination(&model, table)?;
    match model.schema().filter(|_| !table.is_numeric()) {
        Some(schema) => {
            let of_rows = |text: &dyn Fn(usize) -> String| (0..rows.rows()).map(text).collect();
            let axis = of_rows(&|row| (row / values.len()).to_string());
            let value = of_rows(&|row| values[row % values.len()].to_string());
            let columns = CODE_COLUMNS.into_iter().zip([axis, value]).collect();
            tables::write_rows_as_table(&tables::prepend(columns, schema.decode(&rows)?)?, table, out)
        }
        None => tables::write_rows_as_numbers(&with_code_columns(&rows, &values)?, table, out),
    }
}

/// Columns of a traversal before those of the rows: the latent dimension, and its value.
const CODE_COLUMNS: [&str; 2] = ["code", "code_value"];

/// The rows of a traversal, each preceded by the number of its latent dimension and the value of that.
fn with_code_columns(rows: &Dataset, values: &[f32]) -> Result<Dataset, Failure> {
    let features = rows.features();
    let mut cells = Vec::with_capacity(rows.rows() * (features + 2));
    for (place, row) in rows.iter_rows().enumerate() {
        cells.extend([(place / values.len()) as f32, values[place % values.len()]]);
        cells.extend_from_slice(row);
    }
    let numbered = || (1..=features).map(|number| number.to_string()).collect();
    let own: Vec<String> = rows.names().map_or_else(numbered, <[String]>::to_vec);
    let names = CODE_COLUMNS.iter().map(|name| tables::unlike(name, &own)).collect::<Vec<_>>();
    Ok(Dataset::new(cells, features + 2)?.with_names([names, own].concat())?)
}

/// Where to write: a table or a sheet of images.
enum Destination {
    Table(TableDestination),
    Picture(PathBuf),
}

impl Destination {
    /// Parses and checks `-o` before any work is done. It may be a folder of images if `of_rows` gives
    /// the model of the rows and the data that they come from.
    fn of(
        args: &RowsOutputArgs,
        of_rows: Option<(&Autoencoder, Option<&str>)>,
    ) -> Result<Destination, Failure> {
        let is_png = |path: &&Path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
        match args.output.as_deref().filter(is_png) {
            Some(path) => {
                check_output(path)?;
                Ok(Destination::Picture(path.to_owned()))
            }
            None if args.image.is_some() => Err(Failure::Usage("--image is for -o FILE.png".to_owned())),
            None => Ok(Destination::Table(match of_rows {
                Some((model, data)) => TableDestination::of_rows(args.output.as_deref(), model, data)?,
                None => TableDestination::checked(args.output.as_deref())?,
            })),
        }
    }

    fn write(
        &self,
        model: &Autoencoder,
        rows: &Dataset,
        per_line: usize,
        args: &RowsOutputArgs,
        out: &mut Output,
    ) -> Result<(), Failure> {
        match self {
            Destination::Picture(path) => {
                // The size is optional if the model knows it.
                let sheet = sheet(model, rows, args.image.or(model.config().image()), per_line)?;
                ae_data::write_atomically(path, |file| sheet.write_png(file))
                    .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
                out.note(format!("{} images drawn to {}", rows.rows(), path.display()));
            }
            Destination::Table(destination) => {
                tables::check_destination(model, destination)?;
                return tables::write_rows(model, rows, destination, out);
            }
        }
        out.object(&json!({
            "event": "written",
            "output": args.output,
            "rows": rows.rows(),
            "columns": rows.features(),
        }))
    }
}

/// Draws the rows as images, `per_line` per line.
fn sheet(
    model: &Autoencoder,
    rows: &Dataset,
    image: Option<Image>,
    per_line: usize,
) -> Result<Sheet, Failure> {
    let features = rows.features();
    let side = features.isqrt();
    let is_given = image.is_some();
    let image = image.unwrap_or(Image { height: side, width: side, channels: 1 });
    if image.features() != features {
        let hint = if is_given { "" } else { "; give their size with --image HxW" };
        return Err(Failure::Usage(format!("rows of {features} values cannot be images of {image}{hint}")));
    }
    if rows.rows() > MAX_IMAGES {
        return Err(Failure::Usage(format!(
            "a sheet holds at most {MAX_IMAGES} images, not {}",
            rows.rows()
        )));
    }
    let (low, high) = match pictures::range_of_training(model) {
        Some(range) if !pictures::are_pixel_levels(rows.names()) => range,
        _ => pictures::range(rows.names(), image, rows.values()),
    };
    let per_line = per_line.min(rows.rows());
    let style = SheetStyle {
        image,
        zoom: (SHEET_WIDTH / (per_line * image.width)).clamp(1, 16),
        gap: 4,
        range: (low, if high == low { low + 1.0 } else { high }),
    };
    let lines: Vec<&[f32]> = rows.values().chunks(per_line * features).collect();
    Ok(Sheet::draw(&lines, style)?)
}
