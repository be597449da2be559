//! Just enough of Rust's syntax to separate code from comments and literals.

/// Replaces comments and literals by spaces and keeps the lines.
pub(super) fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let in_word = before.is_alphanumeric() || before == '_';
        let length = match next {
            '/' => comment(rest),
            '"' => quoted(rest, 1),
            '\'' => character(rest),
            'b' | 'c' | 'r' if !in_word => literal_with_prefix(rest),
            _ => None,
        };
        match length {
            Some(length) => {
                out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                before = ' ';
                rest = &rest[length..];
            }
            None => {
                out.push(next);
                before = next;
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    out
}

/// Returns the length of the comment at the start; block comments nest.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (1, 2);
    while depth > 0 {
        let Some(next) = text[at..].find(['/', '*']).map(|offset| at + offset) else {
            return Some(text.len());
        };
        at = next + 1;
        if text[next..].starts_with("/*") {
            (depth, at) = (depth + 1, next + 2);
        } else if text[next..].starts_with("*/") {
            (depth, at) = (depth - 1, next + 2);
        }
    }
    Some(at)
}

/// Returns the length of the string whose contents begin at `start`, including escapes.
fn quoted(text: &str, start: usize) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text[start..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(start + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// Returns the length of the character literal at the start, if it is not a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        let (_, _escaped) = chars.next()?;
        return chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

/// Returns the length of a literal such as `r#"..."#`, `b"..."`, `br"..."`, `c"..."` or `b'.'` at the
/// start.
fn literal_with_prefix(text: &str) -> Option<usize> {
    let letters = text.find(|c: char| !matches!(c, 'b' | 'c' | 'r'))?;
    let after = &text[letters..];
    if text[..letters].ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let contents = after[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let start = letters + hashes + 1;
        return Some(contents.find(&end).map_or(text.len(), |at| start + at + end.len()));
    }
    match after.chars().next()? {
        '"' => quoted(text, letters + 1),
        '\'' => character(after).map(|length| letters + length),
        _ => None,
    }
}

/// Returns the identifiers and keywords of a line.
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Whether the file is the root of a library or program, not counting tests and benches.
pub(super) fn is_crate_root(path: &str) -> bool {
    path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs") || path.contains("/src/bin/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_remains() {
        for (text, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("a /* b\nc", "a     \n "),
            (r#"f("x", 'y', '\'', b'z')"#, "f(   ,    ,     ,     )"),
            (r##"r#"a "b" c"# d"##, "             d"),
            (r#""a\"b" c"#, "       c"),
            (r#"br"\" c"#, "      c"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("'outer: loop {}", "'outer: loop {}"),
            ("var\"x\"", "var   "),
            ("a / b", "a / b"),
            ("r#fn", "r#fn"),
            ("\"é\" é", "    é"),
            ("\"open", "     "),
        ] {
            assert_eq!(code_only(text), expected, "{text}");
            assert_eq!(code_only(text).lines().count(), text.lines().count(), "{text}");
        }
    }

    #[test]
    fn words_are_whole() {
        let found: Vec<&str> = words("unsafe_op(unsafe, x1)").collect();
        assert_eq!(found, ["unsafe_op", "unsafe", "x1"]);
    }
}
