//! Lines through points, several in a plane.

use std::fmt::Write;

use super::{Axes, CHARACTER, COLOURS, Canvas, LINE, Mark, WIDTH, text};
use crate::chart::axis::Span;

/// Points of a line that would be nearer to each other than this are left out.
const NEAR: f64 = 0.4;
/// Most points that are marked one by one.
const MARKED: usize = 40;

/// How a line is drawn, so that lines are told apart without colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stroke {
    /// Unbroken.
    #[default]
    Solid,
    /// In dashes.
    Dashed,
    /// Thin, grey and in dots: something to compare with.
    Dotted,
}

/// A line through points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<'a> {
    /// Its name, for the legend.
    pub name: &'a str,
    /// Its points `(x, y)`, in their order. The line is broken where one is not finite.
    pub points: &'a [(f64, f64)],
    /// How it is drawn.
    pub stroke: Stroke,
}

/// A line chart, with a legend where there are several lines; `marks` are named values of `x`.
pub fn lines(axes: &Axes<'_>, lines: &[Line<'_>], marks: &[Mark<'_>]) -> String {
    let points = || lines.iter().flat_map(|line| line.points).filter(|(x, y)| x.is_finite() && y.is_finite());
    let x = Span::of(points().map(|(x, _)| *x), axes.x_scale, false);
    let y = Span::of(points().map(|(_, y)| *y), axes.y_scale, true);
    let (places, above) = legend(lines);
    let mut canvas = Canvas::new(axes, x, y, above);
    for mark in marks {
        canvas.mark(mark);
    }
    for (place, line) in lines.iter().enumerate() {
        let (colour, width, dashes) = match line.stroke {
            Stroke::Solid => (COLOURS[place % COLOURS.len()], 2.0, ""),
            Stroke::Dashed => (COLOURS[place % COLOURS.len()], 2.0, " stroke-dasharray=\"7 4\""),
            Stroke::Dotted => (COLOURS[6], 1.5, " stroke-dasharray=\"2 4\""),
        };
        let look = format!(
            "fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dashes}"
        );
        let path = path(&canvas, line.points);
        let _ = writeln!(canvas.svg, "<path d=\"{path}\" {look}/>");
        if line.points.len() <= MARKED && line.stroke != Stroke::Dotted {
            for (x, y) in line.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
                let (at_x, at_y) = (canvas.at_x(*x), canvas.at_y(*y));
                let _ = writeln!(
                    canvas.svg,
                    "<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"3\" fill=\"{colour}\"><title>{x}: {y}</title></circle>"
                );
            }
        }
        if let Some((left, top)) = places.get(place) {
            let (y, to) = (top + 10.0, left + 22.0);
            let _ = writeln!(canvas.svg, "<path d=\"M{left:.1} {y}H{to:.1}\" {look}/>");
            text(&mut canvas.svg, (left + 27.0, top + 15.0), "start", line.name);
        }
    }
    canvas.finish()
}

/// Where the names of several lines go, in as many lines of text as they need, and how high that is.
fn legend(lines: &[Line<'_>]) -> (Vec<(f64, f64)>, f64) {
    if lines.len() < 2 {
        return (Vec::new(), 0.0);
    }
    let (mut left, mut top) = (4.0, 0.0);
    let mut places = Vec::with_capacity(lines.len());
    for line in lines {
        let wide = 34.0 + CHARACTER * line.name.chars().count() as f64;
        if left > 4.0 && left + wide > WIDTH {
            (left, top) = (4.0, top + LINE);
        }
        places.push((left, top));
        left += wide + 8.0;
    }
    (places, top + LINE)
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
            Some(last) if !ends && (last.0 - at.0).abs() < NEAR && (last.1 - at.1).abs() < NEAR => continue,
            Some(_) => {
                let _ = write!(path, "L{:.1} {:.1}", at.0, at.1);
            }
        }
        last = Some(at);
    }
    path
}
