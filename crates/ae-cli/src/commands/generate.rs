//! `ae generate`, `ae interpolate`: rows that were in no data, as tables or as pictures.

use std::path::{Path, PathBuf};

use ae_data::Dataset;
use ae_eval::{Sheet, SheetStyle};
use ae_model::Autoencoder;
use serde_json::json;

use crate::args::{Common, DrawnArgs, GenerateArgs, InterpolateArgs};
use crate::failure::Failure;
use crate::inputs::{Target, check_output, load, read_for};
use crate::output::Output;
use crate::tables;

/// Images in a line of a sheet, at most.
const IN_A_LINE: usize = 16;
/// Width of a sheet that images are enlarged to, about.
const WIDTH: usize = 1200;
/// Most images of a sheet.
const MOST: usize = 4096;

pub(crate) fn generate(args: &GenerateArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let goal = Goal::of(&args.drawn)?;
    let model = load(&args.model, common.threads())?;
    let rows = model.generate(args.rows as usize, args.seed)?;
    goal.deliver(&model, &rows, &args.drawn, out)
}

pub(crate) fn interpolate(args: &InterpolateArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let goal = Goal::of(&args.drawn)?;
    let model = load(&args.model, common.threads())?;
    let rows = read_for(&model, &args.data, &args.input, out)?;
    let (first, second) = args.between;
    let row = |number: usize| {
        rows.row(number - 1).ok_or_else(|| {
            Failure::Usage(format!("--between: {} has {} rows, no row {number}", args.data, rows.rows()))
        })
    };
    let between = model.interpolate(row(first)?, row(second)?, args.steps);
    let between = between.map_err(|error| Failure::with_rows(&args.data, error))?;
    goal.deliver(&model, &between, &args.drawn, out)
}

/// A table, or a picture.
enum Goal {
    Table(Target),
    Picture(PathBuf),
}

impl Goal {
    /// Checks an `-o` before any work is done for it.
    fn of(args: &DrawnArgs) -> Result<Goal, Failure> {
        let is_png = |path: &&Path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
        match args.output.as_deref().filter(is_png) {
            Some(path) => {
                check_output(path)?;
                Ok(Goal::Picture(path.to_owned()))
            }
            None if args.image.is_some() => Err(Failure::Usage("--image is for -o FILE.png".to_owned())),
            None => Ok(Goal::Table(Target::checked(args.output.as_deref())?)),
        }
    }

    fn deliver(
        &self,
        model: &Autoencoder,
        rows: &Dataset,
        args: &DrawnArgs,
        out: &mut Output,
    ) -> Result<(), Failure> {
        match self {
            Goal::Picture(path) => {
                // Grey images of a size that the model knows need not be told it.
                let known = model.config().image().filter(|image| image.channels == 1);
                let known = known.map(|image| (image.width, image.height));
                let sheet = sheet(rows, args.image.or(known))?;
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

/// The rows as images, from the smallest value to the largest.
fn sheet(rows: &Dataset, image: Option<(usize, usize)>) -> Result<Sheet, Failure> {
    let features = rows.features();
    let side = features.isqrt();
    let (wide, high) = image.unwrap_or((side, side));
    if wide * high != features {
        let hint = if image.is_some() { "" } else { "; --image HxW says how high and wide they are" };
        return Err(Failure::Usage(format!(
            "rows of {features} values are no images of {high}x{wide}{hint}"
        )));
    }
    if rows.rows() > MOST {
        return Err(Failure::Usage(format!("a sheet holds at most {MOST} images, not {}", rows.rows())));
    }
    let values = rows.values().iter();
    let low = values.clone().copied().fold(f32::INFINITY, f32::min);
    let high_value = values.copied().fold(f32::NEG_INFINITY, f32::max);
    let in_a_line = IN_A_LINE.min(rows.rows());
    let style = SheetStyle {
        image: (wide, high),
        zoom: (WIDTH / (in_a_line * wide)).clamp(1, 16),
        gap: 4,
        range: (low, if high_value > low { high_value } else { low + 1.0 }),
    };
    let lines: Vec<&[f32]> = rows.values().chunks(in_a_line * features).collect();
    Ok(Sheet::draw(&lines, style)?)
}
