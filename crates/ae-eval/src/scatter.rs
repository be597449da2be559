//! Scatter plots side by side: maps of the same rows, coloured by class, as SVG or PNG.

mod raster;
mod svg;

use std::io;

use ae_data::Rows;

use crate::blocks::finite_values;
use crate::error::EvalError;
pub(crate) use svg::corners;
pub use svg::escaped;

/// Side of a panel, in units: a unit is one pixel of SVG, two of PNG.
const SIDE: f64 = 380.0;
/// Space around the drawing and between panels.
const GAP: f64 = 24.0;
/// Space between the frame of a panel and its points.
const INSET: f64 = 12.0;
/// Distance between lines of text.
const LINE_HEIGHT: f64 = 17.0;
/// Maximum characters of a name in the legend.
const MAX_NAME_CHARS: usize = 24;
/// Width of a character in the legend, which is that of the widest font used.
const CHARACTER_WIDTH: f64 = 7.2;
/// Colours that can be told apart with any colour vision (Okabe & Ito 2008), the pale one last.
const COLOURS: [[u8; 3]; 8] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [60, 60, 60],
    [240, 228, 66],
];
/// Colour of the classes beyond those with a colour and marker of their own.
const OTHER_COLOUR: [u8; 3] = [170, 170, 170];
const INK: [u8; 3] = [30, 30, 30];
const PALE_INK: [u8; 3] = [95, 95, 95];
const FRAME: [u8; 3] = [190, 190, 190];

/// A map to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Its title.
    pub title: String,
    /// Remarks below the title, one per line.
    pub remarks: Vec<String>,
    /// Its points, `[rows, 2]`.
    pub points: Vec<f32>,
}

/// The classes of rows, for colours and a legend.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'a> {
    /// Names of the classes; the legend leaves out those that no row has.
    pub names: &'a [String],
    /// For each row, the index of its class in `names`.
    pub codes: &'a [u32],
}

/// A drawing of one or more panels.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    width: f64,
    height: f64,
    shapes: Vec<Shape>,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// The outline of a square.
    Frame { x: f64, y: f64, side: f64 },
    /// A point; `size` is about its radius.
    Mark { x: f64, y: f64, size: f64, style: MarkerStyle },
    /// A line of text that starts at `x`, with its baseline at `y`.
    Text { x: f64, y: f64, text: String, style: TextStyle },
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct MarkerStyle {
    marker: Marker,
    colour: [u8; 3],
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
}

/// Markers, in order of use: each serves as many classes as there are colours.
pub(crate) const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Triangle, Marker::Square, Marker::Diamond];

#[derive(Clone, Copy, Debug, PartialEq)]
enum TextStyle {
    Title,
    Remark,
    Name,
}

impl TextStyle {
    fn colour(self) -> [u8; 3] {
        match self {
            TextStyle::Title | TextStyle::Name => INK,
            TextStyle::Remark => PALE_INK,
        }
    }
}

impl Scatter {
    /// Draws `panels` from left to right. Both axes of a panel have the same scale, because distances
    /// are what a map shows.
    ///
    /// # Errors
    /// [`EvalError::Empty`] for a panel without points, [`EvalError::Data`] for half a point,
    /// [`EvalError::Model`] for a coordinate that is not finite, [`EvalError::RowCount`] unless each
    /// point has a class, [`EvalError::Classes`] for a class without a name.
    pub fn draw(panels: &[Panel], classes: Option<Classes<'_>>) -> Result<Scatter, EvalError> {
        let present = match classes {
            Some(classes) => present(classes)?,
            None => Vec::new(),
        };
        let remarks = panels.iter().map(|panel| panel.remarks.len()).max().unwrap_or(0);
        let top = GAP + LINE_HEIGHT * (remarks + 1) as f64;
        let width = GAP + (SIDE + GAP) * panels.len().max(1) as f64;
        let mut shapes = Vec::new();
        for (place, panel) in panels.iter().enumerate() {
            let left = GAP + (SIDE + GAP) * place as f64;
            let lines = std::iter::once((&panel.title, TextStyle::Title))
                .chain(panel.remarks.iter().map(|remark| (remark, TextStyle::Remark)));
            for (line, (text, style)) in lines.enumerate() {
                let y = GAP + LINE_HEIGHT * (line as f64 + 0.4);
                shapes.push(Shape::Text { x: left, y, text: text.clone(), style });
            }
            shapes.push(Shape::Frame { x: left, y: top, side: SIDE });
            let points = finite_values(&Rows::new(&panel.points, 2)?)?;
            let styles: Option<Vec<MarkerStyle>> = match classes {
                Some(Classes { codes, .. }) if codes.len() * 2 != points.len() => {
                    let (expected, got) = (points.len() / 2, codes.len());
                    return Err(EvalError::RowCount { what: "classes", expected, got });
                }
                Some(Classes { codes, .. }) => {
                    Some(codes.iter().map(|code| style_of(*code, &present)).collect())
                }
                None => None,
            };
            add_points(&mut shapes, &points, styles.as_deref(), (left, top));
        }
        let mut bottom = top + SIDE + GAP;
        if let Some(Classes { names, .. }) = classes {
            bottom = add_legend(&mut shapes, names, &present, (width, bottom)) + GAP;
        }
        Ok(Scatter { width, height: bottom, shapes })
    }

    /// Writes the drawing as SVG.
    ///
    /// # Errors
    /// An I/O error from `out`.
    pub fn write_svg(&self, out: impl io::Write) -> io::Result<()> {
        svg::write(self, out)
    }

    /// Writes the drawing as a PNG file, at two pixels per unit, with a built-in font.
    ///
    /// # Errors
    /// An I/O error from `out`.
    pub fn write_png(&self, out: impl io::Write) -> io::Result<()> {
        raster::write(self, out)
    }
}

/// The distinct classes of the rows, ascending.
fn present(classes: Classes<'_>) -> Result<Vec<u32>, EvalError> {
    let Classes { names, codes } = classes;
    if codes.iter().any(|code| *code as usize >= names.len()) {
        return Err(EvalError::Classes { rows: codes.len(), labels: codes.len(), classes: names.len() });
    }
    let mut present = codes.to_vec();
    present.sort_unstable();
    present.dedup();
    Ok(present)
}

fn style_of(code: u32, present: &[u32]) -> MarkerStyle {
    let place = present.binary_search(&code).unwrap_or(usize::MAX);
    match MARKERS.get(place / COLOURS.len()) {
        Some(marker) => MarkerStyle { marker: *marker, colour: COLOURS[place % COLOURS.len()] },
        None => MarkerStyle { marker: Marker::Circle, colour: OTHER_COLOUR },
    }
}

/// Adds the points in order, centred in the panel whose top left corner is `(left, top)`.
fn add_points(
    shapes: &mut Vec<Shape>,
    points: &[f32],
    styles: Option<&[MarkerStyle]>,
    (left, top): (f64, f64),
) {
    let range = |axis: usize| {
        let values = points.iter().skip(axis).step_by(2).map(|x| f64::from(*x));
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        ((low + high) / 2.0, high - low)
    };
    let ((x_middle, x_span), (y_middle, y_span)) = (range(0), range(1));
    let span = x_span.max(y_span);
    let scale = if span > 0.0 { (SIDE - 2.0 * INSET) / span } else { 0.0 };
    let size = (100.0 / (points.len() as f64 / 2.0).sqrt()).clamp(1.4, 4.0);
    let plain = MarkerStyle { marker: Marker::Circle, colour: COLOURS[0] };
    for (row, point) in points.chunks_exact(2).enumerate() {
        shapes.push(Shape::Mark {
            x: left + SIDE / 2.0 + (f64::from(point[0]) - x_middle) * scale,
            // Larger values are higher up.
            y: top + SIDE / 2.0 - (f64::from(point[1]) - y_middle) * scale,
            size,
            style: styles.and_then(|styles| styles.get(row)).copied().unwrap_or(plain),
        });
    }
}

/// Adds the names next to their marks, in as many lines as needed below `top`, and returns where the
/// last line is.
fn add_legend(shapes: &mut Vec<Shape>, names: &[String], present: &[u32], (width, top): (f64, f64)) -> f64 {
    let known = COLOURS.len() * MARKERS.len();
    let mut entries: Vec<(MarkerStyle, String)> = present
        .iter()
        .take(known)
        .map(|code| (style_of(*code, present), shortened(&names[*code as usize])))
        .collect();
    if present.len() > known {
        let others = MarkerStyle { marker: Marker::Circle, colour: OTHER_COLOUR };
        entries.push((others, format!("{} others", present.len() - known)));
    }
    let longest = entries.iter().map(|(_, name)| name.chars().count()).max().unwrap_or(0);
    let cell = 34.0 + CHARACTER_WIDTH * longest as f64;
    let in_a_line = (((width - 2.0 * GAP) / cell) as usize).max(1);
    for (place, (style, text)) in entries.iter().enumerate() {
        let x = GAP + (place % in_a_line) as f64 * cell;
        let y = top + (place / in_a_line) as f64 * LINE_HEIGHT;
        shapes.push(Shape::Mark { x: x + 6.0, y: y + 2.0, size: 4.5, style: *style });
        shapes.push(Shape::Text { x: x + 16.0, y: y + 6.0, text: text.clone(), style: TextStyle::Name });
    }
    top + entries.len().div_ceil(in_a_line).saturating_sub(1) as f64 * LINE_HEIGHT
}

pub(crate) fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME_CHARS) {
        Some(_) => name.chars().take(MAX_NAME_CHARS - 2).chain("..".chars()).collect(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
