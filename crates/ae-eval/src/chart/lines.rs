//! Line charts.

use std::fmt::Write;

use super::{
    Axes, COLOURS, Canvas, FONT_SIZE, LINE_HEIGHT, Mark, WIDTH, escaped, max_text_width, text, text_width,
};
use crate::chart::axis::AxisRange;

/// Points of a line that would be nearer to each other than this are left out.
const MIN_POINT_DISTANCE: f64 = 0.4;
/// Most points of a line that has a mark at each.
const MAX_MARKED_POINTS: usize = 40;

/// Space between the plot area and the names next to it.
const LABEL_GAP: f64 = 22.0;

/// How a line is drawn, so that lines can be told apart without colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stroke {
    /// Solid.
    #[default]
    Solid,
    /// Dashed.
    Dashed,
    /// Thin, grey and dotted: for a reference line.
    Dotted,
}

/// A line through points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Its points `(x, y)`, in order. The line is broken at points that are not finite.
    pub points: &'a [(f64, f64)],
    /// How it is drawn.
    pub stroke: Stroke,
}

/// A line chart, with a legend if there are several lines. `marks` are named values of `x`.
pub fn lines(axes: &Axes<'_>, lines: &[Line<'_>], marks: &[Mark<'_>]) -> String {
    let points = || lines.iter().flat_map(|line| line.points).filter(|(x, y)| x.is_finite() && y.is_finite());
    let x = AxisRange::of(points().map(|(x, _)| *x), axes.x_scale, false);
    let y = AxisRange::of(points().map(|(_, y)| *y), axes.y_scale, true);
    let (places, above) = legend(lines);
    let mut canvas = Canvas::new(axes, x, y, above);
    for mark in marks {
        canvas.mark(mark);
    }
    for (place, line) in lines.iter().enumerate() {
        let style = draw_line(&mut canvas, place, line);
        if let Some((left, top)) = places.get(place) {
            let (y, to) = (top + 10.0, left + 22.0);
            let _ = writeln!(canvas.svg, "<path d=\"M{left:.1} {y}H{to:.1}\" {style}/>");
            text(&mut canvas.svg, (left + 27.0, top + 15.0), "start", line.name);
        }
    }
    canvas.finish()
}

/// A line chart of values measured at few places. Those places are the ticks of the horizontal axis, and
/// the names are at the right ends of the lines.
pub fn labelled_lines(axes: &Axes<'_>, lines: &[Line<'_>]) -> String {
    let points = || lines.iter().flat_map(|line| line.points).filter(|(x, y)| x.is_finite() && y.is_finite());
    let x = AxisRange::of(points().map(|(x, _)| *x), axes.x_scale, false);
    let y = AxisRange::of(points().map(|(_, y)| *y), axes.y_scale, true);
    let mut places: Vec<f64> = points().map(|(x, _)| *x).collect();
    places.sort_unstable_by(f64::total_cmp);
    places.dedup();
    let ticks: Vec<(f64, String)> = places.into_iter().map(|x| (x, x.to_string())).collect();
    let label_space = (LABEL_GAP + 4.0 + max_text_width(lines.iter().map(|line| line.name))).min(WIDTH / 2.0);
    let mut canvas = Canvas::with_ticks(axes, (x, &ticks), y, 0.0, label_space);
    let mut ends = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        draw_line(&mut canvas, place, line);
        let last = line.points.iter().rev().find(|(x, y)| x.is_finite() && y.is_finite());
        ends.extend(last.map(|(x, y)| (canvas.at_y(*y), canvas.at_x(*x), place)));
    }
    ends.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
    let heights =
        spread_labels(ends.iter().map(|end| end.0).collect(), canvas.plot_area[2], canvas.plot_area[3]);
    let label_x = canvas.plot_area[1] + LABEL_GAP;
    for ((at, x, place), height) in ends.into_iter().zip(heights) {
        let colour = colour(place, lines[place].stroke);
        let _ = writeln!(
            canvas.svg,
            "<path d=\"M{:.1} {at:.1}L{:.1} {height:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"0.7\"/>",
            x + 4.0,
            label_x - 2.0
        );
        let name = escaped(lines[place].name);
        let _ = writeln!(
            canvas.svg,
            "<text x=\"{label_x:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            height + 4.5
        );
    }
    canvas.finish()
}

/// Moves ascending heights apart by the height of a text, within the plot area where there is room.
fn spread_labels(mut heights: Vec<f64>, top: f64, bottom: f64) -> Vec<f64> {
    let mut free = top;
    for height in &mut heights {
        *height = height.max(free);
        free = *height + FONT_SIZE;
    }
    let mut free = bottom;
    for height in heights.iter_mut().rev() {
        *height = height.min(free);
        free = *height - FONT_SIZE;
    }
    heights
}

fn colour(place: usize, stroke: Stroke) -> &'static str {
    if stroke == Stroke::Dotted { COLOURS[6] } else { COLOURS[place % COLOURS.len()] }
}

/// Draws a line with its points, and returns its SVG attributes.
fn draw_line(canvas: &mut Canvas, place: usize, line: &Line<'_>) -> String {
    let colour = colour(place, line.stroke);
    let (width, dashes) = match line.stroke {
        Stroke::Solid => (2.0, ""),
        Stroke::Dashed => (2.0, " stroke-dasharray=\"7 4\""),
        Stroke::Dotted => (1.5, " stroke-dasharray=\"2 4\""),
    };
    let style = format!(
        "fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dashes}"
    );
    let path = path(canvas, line.points);
    let _ = writeln!(canvas.svg, "<path d=\"{path}\" {style}/>");
    if line.points.len() <= MAX_MARKED_POINTS && line.stroke != Stroke::Dotted {
        for (x, y) in line.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let (at_x, at_y) = (canvas.at_x(*x), canvas.at_y(*y));
            let _ = writeln!(
                canvas.svg,
                "<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"3\" fill=\"{colour}\"><title>{x}: {y}</title></circle>"
            );
        }
    }
    style
}

/// The positions of the names of several lines, in as many rows as they need, and the height of the
/// legend.
fn legend(lines: &[Line<'_>]) -> (Vec<(f64, f64)>, f64) {
    if lines.len() < 2 {
        return (Vec::new(), 0.0);
    }
    let (mut left, mut top) = (4.0, 0.0);
    let mut places = Vec::with_capacity(lines.len());
    for line in lines {
        let text_width = 34.0 + text_width(line.name);
        if left > 4.0 && left + text_width > WIDTH {
            (left, top) = (4.0, top + LINE_HEIGHT);
        }
        places.push((left, top));
        left += text_width + 8.0;
    }
    (places, top + LINE_HEIGHT)
}

fn path(canvas: &Canvas, points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    let mut last: Option<(f64, f64)> = None;
    for (place, (x, y)) in points.iter().enumerate() {
        if !(x.is_finite() && y.is_finite()) {
            last = None;
            continue;
        }
        let at = (canvas.at_x(*x), canvas.at_y(*y));
        let ends = place + 1 == points.len();
        match last {
            None => {
                let _ = write!(path, "M{:.1} {:.1}", at.0, at.1);
            }
            Some(last)
                if !ends
                    && (last.0 - at.0).abs() < MIN_POINT_DISTANCE
                    && (last.1 - at.1).abs() < MIN_POINT_DISTANCE =>
            {
                continue;
            }
            Some(_) => {
                let _ = write!(path, "L{:.1} {:.1}", at.0, at.1);
            }
        }
        last = Some(at);
    }
    path
}
