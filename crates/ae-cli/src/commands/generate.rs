//! `ae generate`, `ae interpolate` and `ae traverse`: new rows, as tables or images.

use std::path::{Path, PathBuf};

use ae_data::Dataset;
use ae_eval::{Sheet, SheetStyle, Traversal, traverse};
use ae_model::{Autoencoder, Image};
use serde_json::json;

use crate::args::{Common, DrawnArgs, GenerateArgs, InterpolateArgs, TraverseArgs};
use crate::failure::Failure;
use crate::inputs::{Target, check_output, load, read_for};
use crate::output::Output;
use crate::pictures;
use crate::tables;

/// Most images in a line of a sheet.
const IN_A_LINE: usize = 16;
/// About how wide a sheet is, in pixels: images are enlarged to fill it.
const WIDTH: usize = 1200;
/// Most images on a sheet.
const MOST: usize = 4096;

pub(crate) fn generate(args: &GenerateArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let model = load(&args.model, common.threads())?;
    let goal = Goal::of(&args.drawn, Some((&model, None)))?;
    let rows = model.generate(args.rows as usize, args.seed)?;
    let rows = match model.schema() {
        Some(schema) => schema.draw(&rows, args.seed)?,
        None => rows,
    };
    goal.deliver(&model, &rows, IN_A_LINE, &args.drawn, out)
}

pub(crate) fn interpolate(args: &InterpolateArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let model = load(&args.model, common.threads())?;
    let goal = Goal::of(&args.drawn, Some((&model, Some(&args.data))))?;
    let rows = read_for(&model, &args.data, &args.input, out)?;
    let (first, second) = args.between;
    let row = |number: usize| {
        rows.row(number - 1).ok_or_else(|| {
            Failure::Usage(format!("--between: {} has {} rows, no row {number}", args.data, rows.rows()))
        })
    };
    let between = model.interpolate(row(first)?, row(second)?, args.steps);
    let between = between.map_err(|error| Failure::with_rows(&args.data, error))?;
    goal.deliver(&model, &between, IN_A_LINE, &args.drawn, out)
}

pub(crate) fn traversal(args: &TraverseArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let goal = Goal::of(&args.drawn, None)?;
    if !(args.extent > 0.0 && args.extent.is_finite()) {
        return Err(Failure::Usage("--extent: it must be above 0 and finite".to_owned()));
    }
    let model = load(&args.model, common.threads())?;
    let steps = usize::from(args.steps);
    let Traversal { values, rows } = traverse(&model, steps, args.extent)?;
    match goal {
        Goal::Picture(_) => goal.deliver(&model, &rows, steps, &args.drawn, out),
        Goal::Table(_) => goal.deliver(&model, &placed(&rows, &values)?, steps, &args.drawn, out),
    }
}

/// The rows of a traversal, each preceded by the number of its latent dimension and the value of that.
fn placed(rows: &Dataset, values: &[f32]) -> Result<Dataset, Failure> {
    let features = rows.features();
    let mut cells = Vec::with_capacity(rows.rows() * (features + 2));
    for (place, row) in rows.values().chunks_exact(features).enumerate() {
        cells.extend([(place / values.len()) as f32, values[place % values.len()]]);
        cells.extend_from_slice(row);
    }
    let mut names = vec!["code".to_owned(), "code_value".to_owned()];
    match rows.names() {
        Some(known) => names.extend_from_slice(known),
        None => names.extend((1..=features).map(|number| number.to_string())),
    }
    Ok(Dataset::new(cells, features + 2)?.with_names(names)?)
}

/// Where to write: a table or a sheet of images.
enum Goal {
    Table(Target),
    Picture(PathBuf),
}

impl Goal {
    /// Parses and checks `-o` before any work is done. It may be a folder of images if `of_rows` gives
    /// the model of the rows and the data that they come from.
    fn of(args: &DrawnArgs, of_rows: Option<(&Autoencoder, Option<&str>)>) -> Result<Goal, Failure> {
        let is_png = |path: &&Path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
        match args.output.as_deref().filter(is_png) {
            Some(path) => {
                check_output(path)?;
                Ok(Goal::Picture(path.to_owned()))
            }
            None if args.image.is_some() => Err(Failure::Usage("--image is for -o FILE.png".to_owned())),
            None => Ok(Goal::Table(match of_rows {
                Some((model, data)) => Target::of_rows(args.output.as_deref(), model, data)?,
                None => Target::checked(args.output.as_deref())?,
            })),
        }
    }

    fn deliver(
        &self,
        model: &Autoencoder,
        rows: &Dataset,
        in_a_line: usize,
        args: &DrawnArgs,
        out: &mut Output,
    ) -> Result<(), Failure> {
        match self {
            Goal::Picture(path) => {
                // The size is optional if the model knows it.
                let sheet = sheet(rows, args.image.or(model.config().image()), in_a_line)?;
                ae_data::write_atomically(path, |file| sheet.write_png(file))
                    .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
                out.note(format!("{} images drawn to {}", rows.rows(), path.display()));
            }
            Goal::Table(target) => {
                tables::check_target(model, target)?;
                return tables::deliver(model, rows, target, out);
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

/// Draws the rows as images, `in_a_line` per line.
fn sheet(rows: &Dataset, image: Option<Image>, in_a_line: usize) -> Result<Sheet, Failure> {
    let features = rows.features();
    let side = features.isqrt();
    let told = image.is_some();
    let image = image.unwrap_or(Image { height: side, width: side, channels: 1 });
    if image.features() != features {
        let hint = if told { "" } else { "; give their size with --image HxW" };
        return Err(Failure::Usage(format!("rows of {features} values cannot be images of {image}{hint}")));
    }
    if rows.rows() > MOST {
        return Err(Failure::Usage(format!("a sheet holds at most {MOST} images, not {}", rows.rows())));
    }
    let (low, high) = pictures::range(rows.names(), image, rows.values());
    let in_a_line = in_a_line.min(rows.rows());
    let style = SheetStyle {
        image,
        zoom: (WIDTH / (in_a_line * image.width)).clamp(1, 16),
        gap: 4,
        range: (low, if high == low { low + 1.0 } else { high }),
    };
    let lines: Vec<&[f32]> = rows.values().chunks(in_a_line * features).collect();
    Ok(Sheet::draw(&lines, style)?)
}
