//! The HTML page: sections of escaped HTML, and the plots in them.

use ae_eval::chart::escaped;

const STYLE: &str = include_str!("style.css");
/// Content security policy: the page may load nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A plot, to be written to a separate file too.
pub(super) struct Plot {
    pub(super) name: &'static str,
    pub(super) svg: String,
}

struct Section {
    id: &'static str,
    title: &'static str,
    body: String,
}

/// The page so far.
#[derive(Default)]
pub(super) struct Page {
    sections: Vec<Section>,
    plots: Vec<Plot>,
}

impl Page {
    /// Adds a section of HTML.
    pub(super) fn section(&mut self, id: &'static str, title: &'static str, body: String) {
        self.sections.push(Section { id, title, body });
    }

    /// Keeps a plot and returns the HTML of its figure. The caption is plain text.
    pub(super) fn plot(&mut self, name: &'static str, svg: String, caption: &str) -> String {
        let figure = figure(&svg, caption);
        self.plots.push(Plot { name, svg });
        figure
    }

    pub(super) fn plots(&self) -> &[Plot] {
        &self.plots
    }

    /// The ids of the sections.
    pub(super) fn sections(&self) -> Vec<&'static str> {
        self.sections.iter().map(|section| section.id).collect()
    }

    /// The whole HTML file, with this header.
    pub(super) fn html(&self, header: &Header) -> String {
        let title = escaped(&header.title);
        let mut links = String::new();
        let mut main = String::new();
        for Section { id, title, body } in &self.sections {
            links += &format!("<li><a href=\"#{id}\">{title}</a></li>");
            main += &format!(
                "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
            );
        }
        let facts: String = header.facts.iter().map(|(name, value)| fact(name, value)).collect();
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
             <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
             </head>\n<body>\n<header>\n<h1>{title}</h1>\n<dl class=\"facts\">{facts}</dl>\n</header>\n\
             <nav aria-label=\"Sections\"><ul>{links}</ul></nav>\n<main>\n{main}</main>\n</body>\n</html>\n"
        )
    }
}

/// The header of the page, as plain text.
pub(super) struct Header {
    pub(super) title: String,
    pub(super) facts: Vec<(&'static str, String)>,
}

fn fact(name: &str, value: &str) -> String {
    format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(value))
}

/// A figure: a drawing with its caption.
pub(super) fn figure(drawn: &str, caption: &str) -> String {
    format!("<figure>\n{drawn}<figcaption>{}</figcaption>\n</figure>\n", escaped(caption))
}

/// Figures side by side, if there is room.
pub(super) fn grid(figures: &str) -> String {
    format!("<div class=\"grid\">\n{figures}</div>\n")
}

/// A paragraph of text.
pub(super) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escaped(text))
}

/// A table of plain text in a scrolling box. The first cell of each row is its header.
pub(super) fn table(caption: &str, columns: &[String], rows: &[Vec<String>]) -> String {
    let caption = escaped(caption);
    let head: String =
        columns.iter().map(|name| format!("<th scope=\"col\">{}</th>", escaped(name))).collect();
    let mut body = String::new();
    for row in rows {
        body += "<tr>";
        for (place, cell) in row.iter().enumerate() {
            let cell = escaped(cell);
            body += &match place {
                0 => format!("<th scope=\"row\">{cell}</th>"),
                _ => format!("<td>{cell}</td>"),
            };
        }
        body += "</tr>\n";
    }
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\n<table>\n<caption>{caption}</caption>\n\
         <thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )
}

/// HTML that is folded away under a summary.
pub(super) fn details(summary: &str, html: &str) -> String {
    format!("<details>\n<summary>{}</summary>\n{html}</details>\n", escaped(summary))
}

/// Encodes bytes as base64 (RFC 4648).
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_as_the_rfc_has_them() {
        let known = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in known {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }
}
