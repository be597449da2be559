//! Scatter plots with one scale for both axes, coloured by class or by value.

use std::fmt::Write;

use super::{COLOURS, LINE_HEIGHT, WIDTH, escaped, max_text_width, number, open_svg, text, text_width};
use crate::reconstruction::quantile;
use crate::scatter::{Classes, MARKERS, Marker, corners, shortened};

/// Height of the plot area.
const SIDE: f64 = 360.0;
/// Space between the frame and the points.
const INSET: f64 = 14.0;
/// Colours of the lowest and the highest value.
const END_COLOURS: [[f64; 3]; 2] = [[58.0, 125.0, 205.0], [214.0, 88.0, 20.0]];
/// Values above this quantile all have the colour of the highest.
const TOP_QUANTILE: f64 = 0.95;
/// Segments of the colour bar, and the width of one.
const SEGMENTS: usize = 24;
const SEGMENT_WIDTH: f64 = 4.0;

/// What the colour of a point shows.
#[derive(Clone, Copy, Debug)]
pub enum Colouring<'a> {
    /// Its class, shown by colour and shape.
    Classes(Classes<'a>),
    /// Its value, from blue for low to orange for high; the text names the quantity.
    Values(&'a str, &'a [f64]),
}

/// Points to draw.
#[derive(Clone, Copy, Debug)]
pub struct ScatterPlot<'a> {
    /// What the plot shows, for screen readers.
    pub title: &'a str,
    /// The positions, `[points, 2]`.
    pub points: &'a [f32],
    /// The tooltip of each point.
    pub tooltips: &'a [String],
    /// The colours; points without a class or a value are grey.
    pub colouring: Colouring<'a>,
}

/// A scatter plot with a legend.
pub fn scatter(plot: &ScatterPlot<'_>) -> String {
    let finite = |axis: usize| plot.points.iter().skip(axis).step_by(2).map(|x| f64::from(*x));
    let range = |axis| {
        let values = finite(axis).filter(|x| x.is_finite());
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        if low <= high { ((low + high) / 2.0, high - low) } else { (0.0, 0.0) }
    };
    let ((x_middle, x_span), (y_middle, y_span)) = (range(0), range(1));
    let room = [WIDTH - 2.0 * INSET - 2.0, SIDE - 2.0 * INSET];
    let scale = (room[0] / x_span.max(f64::MIN_POSITIVE)).min(room[1] / y_span.max(f64::MIN_POSITIVE));
    let scale = if scale.is_finite() && (x_span > 0.0 || y_span > 0.0) { scale } else { 0.0 };
    let size = (100.0 / (plot.points.len() as f64 / 2.0).sqrt()).clamp(2.2, 4.5);

    let (legend, below) = legend(&plot.colouring);
    let mut svg = open_svg(plot.title, SIDE + below);
    let _ = writeln!(
        svg,
        "<rect x=\"1\" y=\"1\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-opacity=\"0.25\"/>",
        WIDTH - 2.0,
        SIDE - 2.0
    );
    let styles = styles(&plot.colouring);
    for (place, point) in plot.points.chunks_exact(2).enumerate() {
        let at = (
            WIDTH / 2.0 + (f64::from(point[0]) - x_middle) * scale,
            SIDE / 2.0 - (f64::from(point[1]) - y_middle) * scale,
        );
        if !(at.0.is_finite() && at.1.is_finite()) {
            continue;
        }
        let (marker, colour) = match styles.get(place) {
            Some((marker, colour)) => (*marker, colour.as_str()),
            None => (Marker::Circle, COLOURS[6]),
        };
        shape(&mut svg, at, size, marker, colour, plot.tooltips.get(place).map(String::as_str));
    }
    svg.push_str(&legend);
    svg.push_str("</svg>\n");
    svg
}

fn shape(
    svg: &mut String,
    (x, y): (f64, f64),
    size: f64,
    marker: Marker,
    colour: &str,
    tooltip: Option<&str>,
) {
    let tooltip = tooltip.map_or_else(String::new, |tooltip| format!("<title>{}</title>", escaped(tooltip)));
    let fill = format!("fill=\"{colour}\" fill-opacity=\"0.8\"");
    let _ = match corners(marker, size) {
        None => {
            writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{size:.1}\" {fill}>{tooltip}</circle>")
        }
        Some(corners) => {
            let corners: Vec<String> =
                corners.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect();
            writeln!(svg, "<polygon points=\"{}\" {fill}>{tooltip}</polygon>", corners.join(" "))
        }
    };
}

/// The distinct classes of the points, ascending.
fn present_classes(classes: &Classes<'_>) -> Vec<u32> {
    let mut present_classes = classes.codes.to_vec();
    present_classes.sort_unstable();
    present_classes.dedup();
    present_classes
}

fn style(place: usize) -> (Marker, String) {
    match MARKERS.get(place / COLOURS.len()) {
        Some(marker) => (*marker, COLOURS[place % COLOURS.len()].to_owned()),
        None => (Marker::Circle, COLOURS[6].to_owned()),
    }
}

fn blend(fraction: f64) -> String {
    let fraction = if fraction.is_nan() { 1.0 } else { fraction.clamp(0.0, 1.0) };
    let part = |place: usize| {
        (END_COLOURS[0][place] + fraction * (END_COLOURS[1][place] - END_COLOURS[0][place])).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", part(0), part(1), part(2))
}

/// The values at both ends of the colour scale.
fn ends(values: &[f64]) -> (f64, f64) {
    let mut known: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    known.sort_unstable_by(f64::total_cmp);
    (quantile(&known, 0.0).unwrap_or(0.0), quantile(&known, TOP_QUANTILE).unwrap_or(0.0))
}

fn styles(colouring: &Colouring<'_>) -> Vec<(Marker, String)> {
    match colouring {
        Colouring::Classes(classes) => {
            let present_classes = present_classes(classes);
            let place = |code| present_classes.binary_search(code).unwrap_or(usize::MAX);
            classes.codes.iter().map(|code| style(place(code))).collect()
        }
        Colouring::Values(_, values) => {
            let (low, high) = ends(values);
            let fraction = |value: f64| if high > low { (value - low) / (high - low) } else { 0.0 };
            values.iter().map(|value| (Marker::Circle, blend(fraction(*value)))).collect()
        }
    }
}

/// The legend of the colours, and its height.
fn legend(colouring: &Colouring<'_>) -> (String, f64) {
    let mut svg = String::new();
    match colouring {
        Colouring::Values(name, values) => {
            let (low, high) = ends(values);
            let y = SIDE + 8.0;
            let low = format!("{name} {}", number(low));
            let from = 12.0 + text_width(&low);
            text(&mut svg, (4.0, y + 11.0), "start", &low);
            for part in 0..SEGMENTS {
                let x = from + SEGMENT_WIDTH * part as f64;
                let colour = blend(part as f64 / (SEGMENTS - 1) as f64);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"12\" fill=\"{colour}\"/>",
                    SEGMENT_WIDTH + 0.2
                );
            }
            let right = from + SEGMENT_WIDTH * SEGMENTS as f64 + 8.0;
            text(&mut svg, (right, y + 11.0), "start", &format!("{} and above", number(high)));
            (svg, 28.0)
        }
        Colouring::Classes(classes) => {
            let present_classes = present_classes(classes);
            let known = COLOURS.len() * MARKERS.len();
            let name = |code: &u32| classes.names.get(*code as usize).map_or("", String::as_str);
            let mut entries: Vec<((Marker, String), String)> = present_classes
                .iter()
                .take(known)
                .enumerate()
                .map(|(place, code)| (style(place), shortened(name(code))))
                .collect();
            if present_classes.len() > known {
                entries.push((style(known), format!("{} others", present_classes.len() - known)));
            }
            let cell = 30.0 + max_text_width(entries.iter().map(|(_, name)| name.as_str()));
            let in_a_line = ((WIDTH / cell) as usize).max(1);
            for (place, ((marker, colour), name)) in entries.iter().enumerate() {
                let x = 4.0 + (place % in_a_line) as f64 * cell;
                let y = SIDE + 16.0 + (place / in_a_line) as f64 * LINE_HEIGHT;
                shape(&mut svg, (x + 5.0, y), 4.5, *marker, colour, None);
                text(&mut svg, (x + 14.0, y + 4.0), "start", name);
            }
            (svg, 12.0 + LINE_HEIGHT * entries.len().div_ceil(in_a_line) as f64)
        }
    }
}
