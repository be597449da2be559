//! Horizontal bar charts.

use std::fmt::Write;

use super::{
    COLOURS, LINE_HEIGHT, RIGHT_MARGIN, WIDTH, escaped, max_text_width, number, open_svg, text, text_width,
};
use crate::scatter::shortened;

/// Space for the number next to a bar.
const NUMBER_SPACE: f64 = 84.0;

/// Maximum space for names.
const MAX_NAME_SPACE: f64 = 236.0;

/// The name, shortened to the space there is.
pub(super) fn fit_name(name: &str) -> String {
    let mut short = shortened(name);
    let mut kept = short.chars().count();
    while text_width(&short) > MAX_NAME_SPACE && kept > 0 {
        kept -= 1;
        short = name.chars().take(kept).chain("..".chars()).collect();
    }
    short
}

/// A horizontal bar chart, from top to bottom, each bar with its name and value. A value that is
/// negative or not finite has a bar of length 0.
pub fn bars(title: &str, values: &[(String, f64)]) -> String {
    let names: Vec<String> = values.iter().map(|(name, _)| fit_name(name)).collect();
    let left = 12.0 + max_text_width(names.iter().map(String::as_str));
    let most = values.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let mut svg = open_svg(title, LINE_HEIGHT * values.len().max(1) as f64 + 8.0);
    for (place, ((name, value), short)) in values.iter().zip(&names).enumerate() {
        let top = 4.0 + LINE_HEIGHT * place as f64;
        let fraction = if most > 0.0 && value.is_finite() { (value / most).clamp(0.0, 1.0) } else { 0.0 };
        let length = fraction * (WIDTH - RIGHT_MARGIN - NUMBER_SPACE - left);
        text(&mut svg, (left - 6.0, top + 15.0), "end", short);
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{}\"><title>{}: {value}</title></rect>",
            top + 2.0,
            LINE_HEIGHT - 4.0,
            COLOURS[0],
            escaped(name)
        );
        text(&mut svg, (left + length + 6.0, top + 15.0), "start", &number(*value));
    }
    svg.push_str("</svg>\n");
    svg
}
