//! The section on reconstructions: the best, median and worst rows next to theirs.

use ae_data::Dataset;
use ae_eval::chart::escaped;
use ae_eval::{Sheet, SheetStyle};
use ae_model::Image;

use super::page::{Page, base64, figure, grid, paragraph, table};
use super::{Facts, with_thousands_separators};
use crate::commands::evaluate::number;
use crate::failure::Failure;
use crate::pictures;

/// Most images in a group, and most rows in a group of a table.
const MAX_IMAGES: usize = 8;
const MAX_ROWS: usize = 2;
/// Most feature columns of the table.
const MAX_COLUMNS: usize = 40;
/// About how wide to draw images, in pixels.
const IMAGE_WIDTH: usize = 56;
/// Greatest width of a line of images, in pixels.
const MAX_LINE_WIDTH: usize = 1024;

/// A group of rows, such as the worst ones.
struct Group {
    name: &'static str,
    rows: Vec<usize>,
}

pub(super) fn section(facts: &Facts<'_>, page: &mut Page) -> Result<(), Failure> {
    let size =
        facts.image.map_or(MAX_ROWS, |image| (MAX_LINE_WIDTH / image.width.max(1)).clamp(1, MAX_IMAGES));
    let groups = groups(&facts.errors, size);
    let body = match facts.image {
        Some(image) => images(facts, image, &groups)?,
        None => rows(facts, &groups)?,
    };
    page.section("reconstructions", "Reconstructions", body);
    Ok(())
}

fn groups(errors: &[Option<f64>], size: usize) -> Vec<Group> {
    let mut order: Vec<(usize, f64)> =
        errors.iter().enumerate().filter_map(|(row, error)| Some((row, (*error)?))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let order: Vec<usize> = order.into_iter().map(|(row, _)| row).collect();
    let count = order.len();
    if count < 3 {
        return vec![Group { name: "all", rows: order }];
    }
    let size = size.min(count / 3);
    let middle = (count - size) / 2;
    vec![
        Group { name: "best", rows: order[..size].to_vec() },
        Group { name: "median", rows: order[middle..middle + size].to_vec() },
        Group { name: "worst", rows: order[count - size..].iter().rev().copied().collect() },
    ]
}

fn images(facts: &Facts<'_>, image: Image, groups: &[Group]) -> Result<String, Failure> {
    let range = pictures::range(facts.rows.names(), image, facts.rows.values());
    let zoom = (IMAGE_WIDTH / image.width.max(1)).max(1);
    let style = SheetStyle { image, zoom, gap: 4, range };
    let mut figures = String::new();
    for Group { name, rows } in groups {
        let chosen = facts.rows.select_rows(rows)?;
        let reconstructed = facts.model.reconstruct(&chosen)?;
        let sheet = Sheet::draw(&[chosen.values(), reconstructed.values()], style)?;
        let mut png = Vec::new();
        sheet.write_png(&mut png).map_err(|error| Failure::Other(format!("a picture: {error}")))?;
        let ids = facts.rows.row_ids();
        let id = |row: &usize| ids.map_or_else(|| (row + 1).to_string(), |ids| ids[*row].clone());
        let numbers: Vec<String> = rows.iter().map(id).collect();
        let errors: Vec<f64> = rows.iter().filter_map(|row| facts.errors[*row]).collect();
        let (first, last) =
            (errors.first().copied().unwrap_or_default(), errors.last().copied().unwrap_or_default());
        let caption = format!(
            "{} rows: {} (errors {} to {})",
            capital(name),
            numbers.join(", "),
            number(first.min(last)),
            number(first.max(last))
        );
        let alt = format!("Above, {name} rows {}; below, their reconstructions", numbers.join(", "));
        let drawn = format!(
            "<img src=\"data:image/png;base64,{}\" width=\"{}\" height=\"{}\" alt=\"{}\"/>\n",
            base64(&png),
            sheet.width,
            sheet.height,
            escaped(&alt)
        );
        figures += &figure(&drawn, &caption);
    }
    let mut text = "Originals above, reconstructions below.".to_owned();
    if !matches!(image.channels, 1 | 3) {
        text += " Pixels are drawn as the mean of their channels.";
    }
    Ok(paragraph(&text) + &grid(&figures))
}

fn rows(facts: &Facts<'_>, groups: &[Group]) -> Result<String, Failure> {
    let count = facts.evaluation.columns.len();
    let shown = count.min(MAX_COLUMNS);
    let mut columns = vec!["row".to_owned(), "error".to_owned()];
    columns.extend(facts.evaluation.columns.iter().take(shown).map(|column| column.name.clone()));
    let mut lines = Vec::new();
    for Group { name, rows } in groups {
        let chosen = facts.rows.select_rows(rows)?;
        let reconstructed = facts.model.reconstruct(&chosen)?;
        for (place, row) in rows.iter().enumerate() {
            let label = facts.label(*row).map_or(String::new(), |label| format!(" ({label})"));
            let error = facts.errors[*row].map_or(String::new(), number);
            let line = |head: String, error: String, cells: Vec<String>| {
                [head, error].into_iter().chain(cells.into_iter().take(shown)).collect::<Vec<_>>()
            };
            let head = format!("{name}: {}{label}", row + 1);
            lines.push(line(head, error, cells(facts, &chosen, place)?));
            lines.push(line(
                "reconstruction".to_owned(),
                String::new(),
                cells(facts, &reconstructed, place)?,
            ));
        }
    }
    let caption = match count {
        count if count > shown => {
            format!(
                "Rows and their reconstructions, the first {shown} of {} features",
                with_thousands_separators(count)
            )
        }
        _ => "Rows and their reconstructions, in the units of the data".to_owned(),
    };
    Ok(table(&caption, &columns, &lines))
}

/// The cells of a row: those of the table's columns if the model has a schema, else its values.
fn cells(facts: &Facts<'_>, rows: &Dataset, row: usize) -> Result<Vec<String>, Failure> {
    let Some(schema) = facts.model.schema() else {
        return Ok(rows.row(row).unwrap_or_default().iter().map(|x| value(*x)).collect());
    };
    let table = schema.decode(&rows.select_rows(&[row])?)?;
    let cell = |text: &str| if text.is_empty() { "missing".to_owned() } else { text.to_owned() };
    Ok(table.row(0).take(facts.evaluation.columns.len()).map(cell).collect())
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Formats a value with few digits.
fn value(x: f32) -> String {
    if x.is_nan() {
        return "missing".to_owned();
    }
    if x == 0.0 || (1e-3..1e6).contains(&x.abs()) {
        let text = format!("{x:.4}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    format!("{x:.3e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_what_their_names_say() {
        let errors: Vec<Option<f64>> =
            [5.0, 1.0, 3.0, 2.0, 4.0, 7.0, 6.0].into_iter().map(Some).chain([None]).collect();
        let found: Vec<Vec<usize>> = groups(&errors, 2).into_iter().map(|group| group.rows).collect();
        assert_eq!(found, [vec![1, 3], vec![2, 4], vec![5, 6]]);
        assert_eq!(groups(&errors[..2], 2)[0].rows, [1, 0]);
        assert_eq!(groups(&[None], 2)[0].rows, [0; 0]);
    }

    #[test]
    fn values_are_short() {
        let expected = ["0", "1", "-2.5", "0.0013", "1.000e-5", "3.000e9", "missing"];
        assert_eq!([0.0, 1.0, -2.5, 0.00126, 1e-5, 3e9, f32::NAN].map(value), expected);
    }
}
