//! Charts as SVG, for web pages and files: lines, histograms, bars and points.
//!
//! Each function returns a complete `<svg>` of fixed size with `role="img"`. Text and axes take the
//! colour of the surrounding text; the other colours stand out on light and dark backgrounds. Values
//! that are not finite are left out; texts are escaped.

mod axis;
mod bars;
mod histogram;
mod lines;
mod scatter;

use std::fmt::Write;

pub use bars::bars;
pub use histogram::histogram;
pub use lines::{Line, Stroke, labelled_lines, lines};
pub use scatter::{Colouring, ScatterPlot, scatter};

pub use crate::scatter::escaped;
use axis::AxisRange;

/// Width of all charts: little more than that of a phone, so that text is hardly scaled down there.
const WIDTH: f64 = 400.0;
/// Height of charts with two axes.
const HEIGHT: f64 = 280.0;
/// Size of the text.
const FONT_SIZE: f64 = 14.0;
/// Approximate character widths in axis text, rather too large than too small: most characters,
/// capitals, the widest Latin letters, East Asian characters.
const CHARACTER_WIDTHS: [f64; 4] = [7.8, 10.2, 13.0, 14.5];
/// Space at the right edge.
const RIGHT_MARGIN: f64 = 14.0;
/// Space for a line of text.
const LINE_HEIGHT: f64 = 20.0;
/// Colours of medium lightness: each has three times the luminance of a dark background and a third of
/// that of a light one.
const COLOURS: [&str; 9] =
    ["#2f7fd1", "#d9620f", "#14936a", "#c2589a", "#a8790a", "#8a6fd6", "#7d858e", "#d64550", "#6a951c"];

/// The text of a value next to its mark.
fn number(value: f64) -> String {
    if value == 0.0 || (1e-3..1e5).contains(&value.abs()) {
        format!("{value:.4}")
    } else {
        format!("{value:.2e}")
    }
}

/// How values are mapped to an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scale {
    /// Linearly, over the range of the values.
    #[default]
    Linear,
    /// Logarithmically; like [`Scale::Linear`] if a value is not positive.
    Log,
    /// Linearly, between two fixed ends.
    Fixed(f64, f64),
}

/// The title and the axes of a chart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Axes<'a> {
    /// What the chart shows, for screen readers.
    pub title: &'a str,
    /// Label of the horizontal axis.
    pub x: &'a str,
    /// Label of the vertical axis.
    pub y: &'a str,
    /// Scale of the horizontal axis.
    pub x_scale: Scale,
    /// Scale of the vertical axis.
    pub y_scale: Scale,
}

/// A named value on the horizontal axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark<'a> {
    /// The value.
    pub at: f64,
    /// Its name.
    pub name: &'a str,
}

/// Approximate width of a text.
fn text_width(text: &str) -> f64 {
    let [normal, capital, large, square] = CHARACTER_WIDTHS;
    let of_one = |character: char| match character {
        'm' | 'w' | 'M' | 'W' | '@' | '%' => large,
        '\u{1100}'.. => square,
        character if character.is_uppercase() => capital,
        _ => normal,
    };
    text.chars().map(of_one).sum()
}

/// Width of the widest text.
fn max_text_width<'a>(texts: impl Iterator<Item = &'a str>) -> f64 {
    texts.map(text_width).fold(0.0, f64::max)
}

/// A chart being drawn, from the frame inwards.
struct Canvas {
    svg: String,
    x: AxisRange,
    y: AxisRange,
    /// Left, right, top and bottom of the plot area.
    plot_area: [f64; 4],
}

/// The opening tag.
fn open_svg(title: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{}\" font-family=\"system-ui, sans-serif\" font-size=\"{FONT_SIZE}\" fill=\"currentColor\">\n",
        escaped(title)
    )
}

/// Adds a text whose `anchor` is at `x`.
fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    // Writing to a string cannot fail.
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
}

impl Canvas {
    /// Draws the frame with its grid and labels, below a legend of this height.
    fn new(axes: &Axes<'_>, x: AxisRange, y: AxisRange, legend_height: f64) -> Canvas {
        Canvas::with_ticks(axes, (x, &x.ticks(5)), y, legend_height, RIGHT_MARGIN)
    }

    /// Like `new`, with the given ticks of the horizontal axis and this much space to the right of the
    /// plot.
    fn with_ticks(
        axes: &Axes<'_>,
        (x, x_ticks): (AxisRange, &[(f64, String)]),
        y: AxisRange,
        legend_height: f64,
        right_margin: f64,
    ) -> Canvas {
        let y_ticks = y.ticks(5);
        let plot_area = [
            12.0 + max_text_width(y_ticks.iter().map(|(_, label)| label.as_str())),
            WIDTH - right_margin,
            legend_height + LINE_HEIGHT + 10.0,
            HEIGHT - 2.0 * LINE_HEIGHT - 4.0,
        ];
        let mut canvas = Canvas { svg: open_svg(axes.title, HEIGHT), x, y, plot_area };
        let [left, right, _, bottom] = plot_area;
        text(&mut canvas.svg, (4.0, legend_height + LINE_HEIGHT - 4.0), "start", axes.y);
        text(&mut canvas.svg, ((left + right) / 2.0, HEIGHT - 6.0), "middle", axes.x);
        for (value, label) in &y_ticks {
            let y = canvas.at_y(*value);
            canvas.rule((left, y), (right, y), "stroke-opacity=\"0.15\"");
            text(&mut canvas.svg, (left - 6.0, y + 4.0), "end", label);
        }
        let mut free = f64::NEG_INFINITY;
        for (value, label) in x_ticks {
            let x = canvas.at_x(*value);
            canvas.rule((x, bottom), (x, bottom + 4.0), "stroke-opacity=\"0.5\"");
            let half = text_width(label) / 2.0;
            // Labels that would overlap or leave the chart are left out.
            if x - half > free && x + half < WIDTH {
                text(&mut canvas.svg, (x, bottom + LINE_HEIGHT), "middle", label);
                free = x + half + 2.0;
            }
        }
        canvas.rule((left, bottom), (right, bottom), "stroke-opacity=\"0.5\"");
        canvas
    }

    fn at_x(&self, value: f64) -> f64 {
        self.plot_area[0] + self.x.fraction(value) * (self.plot_area[1] - self.plot_area[0])
    }

    fn at_y(&self, value: f64) -> f64 {
        self.plot_area[3] - self.y.fraction(value) * (self.plot_area[3] - self.plot_area[2])
    }

    /// Draws a straight line in the colour of the text.
    fn rule(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), style: &str) {
        let _ = writeln!(
            self.svg,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"currentColor\" {style}/>"
        );
    }

    /// Draws a dashed vertical line with its name next to its upper end.
    fn mark(&mut self, mark: &Mark<'_>) {
        let x = self.at_x(mark.at);
        let [left, right, top, bottom] = self.plot_area;
        if !(x >= left && x <= right) {
            return;
        }
        self.rule((x, top), (x, bottom), "stroke-dasharray=\"5 4\"");
        let (x, anchor) = if x > (left + right) / 2.0 { (x - 5.0, "end") } else { (x + 5.0, "start") };
        text(&mut self.svg, (x, top + FONT_SIZE - 2.0), anchor, mark.name);
    }

    fn finish(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

#[cfg(test)]
mod tests;
