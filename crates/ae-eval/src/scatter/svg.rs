//! A drawing as SVG: shapes and texts that any browser can show.

use std::io::{self, Write};

use super::{FRAME, Marker, Scatter, Shape, TextStyle};

pub(super) fn write(scatter: &Scatter, out: impl Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    let (width, height) = (scatter.width, scatter.height);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"Helvetica, Arial, 'Liberation Sans', sans-serif\">"
    )?;
    writeln!(out, "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>")?;
    for shape in &scatter.shapes {
        match shape {
            Shape::Frame { x, y, side } => writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" fill=\"none\" stroke=\"{}\"/>",
                colour(FRAME)
            )?,
            Shape::Mark { x, y, size, style } => {
                let fill = format!("fill=\"{}\" fill-opacity=\"0.8\"", colour(style.colour));
                match corners(style.marker, *size) {
                    None => writeln!(out, "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{size:.2}\" {fill}/>")?,
                    Some(corners) => {
                        write!(out, "<polygon points=\"")?;
                        for (dx, dy) in corners {
                            write!(out, "{:.2},{:.2} ", x + dx, y + dy)?;
                        }
                        writeln!(out, "\" {fill}/>")?;
                    }
                }
            }
            Shape::Text { x, y, text, style } => {
                let font = match style {
                    TextStyle::Title => "font-size=\"15\" font-weight=\"bold\"",
                    TextStyle::Remark | TextStyle::Name => "font-size=\"12\"",
                };
                let fill = colour(style.colour());
                writeln!(out, "<text x=\"{x}\" y=\"{y}\" {font} fill=\"{fill}\">{}</text>", escaped(text))?;
            }
        }
    }
    writeln!(out, "</svg>")?;
    out.flush()
}

/// The corners of a marker relative to its centre; a circle has none.
pub(crate) fn corners(marker: Marker, size: f64) -> Option<Vec<(f64, f64)>> {
    // All have about the area of the circle.
    match marker {
        Marker::Circle => None,
        Marker::Square => {
            let half = 0.9 * size;
            Some(vec![(-half, -half), (half, -half), (half, half), (-half, half)])
        }
        Marker::Diamond => {
            let far = 1.25 * size;
            Some(vec![(0.0, -far), (far, 0.0), (0.0, far), (-far, 0.0)])
        }
        Marker::Triangle => {
            let (half, up, down) = (1.3 * size, 1.45 * size, 0.85 * size);
            Some(vec![(0.0, -up), (half, down), (-half, down)])
        }
    }
}

fn colour([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Escapes text for XML and HTML, including attribute values in double quotes. Control characters become
/// spaces, and U+FFFE and U+FFFF question marks.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => safe.push('?'),
            other if other.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_text_whatever_they_hold() {
        assert_eq!(super::escaped("a<b> & \"c\"\n\u{1}\u{ffff}ü"), "a&lt;b&gt; &amp; &quot;c&quot;  ?ü");
    }
}
