//! Interprets the text of a cell.

/// What stands for a missing value, in lower case, in addition to anything that parses as NaN.
const MISSING: [&str; 8] = ["", "na", "n/a", "#n/a", "null", "none", "?", "-"];
/// Maximum number of characters of a cell in a message.
const EXCERPT_CHARS: usize = 40;

/// What a cell holds.
pub(crate) enum Parsed {
    Number(f32),
    Missing,
    /// A finite number beyond the range of `f32`.
    TooLarge,
    Text,
}

pub(crate) fn parse(cell: &[u8]) -> Parsed {
    // Parsed as `f32` directly: going through `f64` would round twice.
    match std::str::from_utf8(cell).ok().and_then(|text| text.parse::<f32>().ok()) {
        Some(x) if x.is_nan() => Parsed::Missing,
        // A literal infinity contains an n, as in `inf`; digits do not.
        Some(x) if x.is_infinite() && !cell.iter().any(|byte| matches!(byte, b'n' | b'N')) => {
            Parsed::TooLarge
        }
        Some(x) => Parsed::Number(x),
        None if MISSING.iter().any(|text| cell.eq_ignore_ascii_case(text.as_bytes())) => Parsed::Missing,
        None => Parsed::Text,
    }
}

/// Whether the cell is not text, or would not be if its comma were a decimal point.
pub(crate) fn looks_numeric(cell: &[u8]) -> bool {
    !matches!(parse(cell), Parsed::Text)
        || std::str::from_utf8(cell)
            .is_ok_and(|text| matches!(parse(text.replacen(',', ".", 1).as_bytes()), Parsed::Number(_)))
}

/// Returns the start of a cell for a message, without control characters, which would upset a terminal.
pub(crate) fn excerpt(cell: &[u8]) -> String {
    let text = String::from_utf8_lossy(cell);
    let mut start: String = text
        .chars()
        .take(EXCERPT_CHARS)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        start.push_str("...");
    }
    start
}

/// Parses `true` and `yes`, `false` and `no`, in any case.
pub(crate) fn parse_boolean(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    match (is("true") || is("yes"), is("false") || is("no")) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// Whether the cell is a number with a leading zero, such as the postcode `01067`.
pub(crate) fn is_code(cell: &[u8]) -> bool {
    matches!(cell, [b'0', second, rest @ ..]
        if second.is_ascii_digit() && rest.iter().all(u8::is_ascii_digit))
}

/// Whether this is the name that readers give to a column without one: `column 1`, or pandas'
/// `Unnamed: 0`.
pub(crate) fn is_unnamed(name: &str) -> bool {
    let number = name.strip_prefix("column ").or_else(|| name.strip_prefix("Unnamed: "));
    number.is_some_and(|number| number.parse::<usize>().is_ok())
}

/// Whether the text stands for a missing value.
pub(crate) fn is_missing(text: &str) -> bool {
    matches!(parse(text.as_bytes()), Parsed::Missing)
}
