//! Horizontal bar charts.

use std::fmt::Write;

use super::{COLOURS, LINE, RIGHT, WIDTH, escaped, number, opened, text, wide, widest};
use crate::scatter::shortened;

/// Space for the number next to a bar.
const NUMBER: f64 = 84.0;

/// Maximum space for names.
const NAMES: f64 = 236.0;

/// The name, shortened to the space there is.
pub(super) fn fitting(name: &str) -> String {
    let mut short = shortened(name);
    let mut kept = short.chars().count();
    while wide(&short) > NAMES && kept > 0 {
        kept -= 1;
        short = name.chars().take(kept).chain("..".chars()).collect();
    }
    short
}

/// A horizontal bar chart, from top to bottom, each bar with its name and value. A value that is
/// negative or not finite has a bar of length 0.
pub fn bars(title: &str, values: &[(String, f64)]) -> String {
    let names: Vec<String> = values.iter().map(|(name, _)| fitting(name)).collect();
    let left = 12.0 + widest(names.iter().map(String::as_str));
    let most = values.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let mut svg = opened(title, LINE * values.len().max(1) as f64 + 8.0);
    for (place, ((name, value), short)) in values.iter().zip(&names).enumerate() {
        let top = 4.0 + LINE * place as f64;
        let share = if most > 0.0 && value.is_finite() { (value / most).clamp(0.0, 1.0) } else { 0.0 };
        let length = share * (WIDTH - RIGHT - NUMBER - left);
        text(&mut svg, (left - 6.0, top + 15.0), "end", short);
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{}\"><title>{}: {value}</title></rect>",
            top + 2.0,
            LINE - 4.0,
            COLOURS[0],
            escaped(name)
        );
        text(&mut svg, (left + length + 6.0, top + 15.0), "start", &number(*value));
    }
    svg.push_str("</svg>\n");
    svg
}
