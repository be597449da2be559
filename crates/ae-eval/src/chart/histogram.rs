//! Histograms.

use std::fmt::Write;

use super::axis::AxisRange;
use super::{Axes, COLOURS, Canvas, Mark, Scale};

/// A histogram of `values` in `bins` equal parts of the axis (clamped to 1 to 400), with named values
/// marked.
pub fn histogram(axes: &Axes<'_>, values: &[f64], bins: usize, marks: &[Mark<'_>]) -> String {
    let x = AxisRange::of(values.iter().copied(), axes.x_scale, false);
    let bins = bins.clamp(1, 400);
    let mut counts = vec![0usize; bins];
    for value in values.iter().filter(|value| value.is_finite()) {
        let place = (x.fraction(*value) * bins as f64).clamp(0.0, (bins - 1) as f64) as usize;
        counts[place] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let y = AxisRange::of([0.0, 1.05 * most].into_iter(), Scale::Linear, false);
    let mut canvas = Canvas::new(axes, x, y, 0.0);
    let [left, right, _, bottom] = canvas.plot_area;
    let pitch = (right - left) / bins as f64;
    for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (at, top) = (left + pitch * place as f64, canvas.at_y(*count as f64));
        let _ = writeln!(
            canvas.svg,
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"><title>{count}</title></rect>",
            at + 0.5,
            (pitch - 1.0).max(0.5),
            bottom - top,
            COLOURS[0]
        );
    }
    for mark in marks {
        canvas.mark(mark);
    }
    canvas.finish()
}
