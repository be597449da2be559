//! Finds the images of a folder and sorts them.

use std::cmp::Ordering;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::DataError;

/// File extensions of images.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// The files of a folder.
pub(super) struct Files {
    /// Sorted paths of the images, relative to the folder.
    pub(super) paths: Vec<PathBuf>,
    /// Number of files that are not images.
    pub(super) others: usize,
}

impl Files {
    /// Lists the files of the folder and its subfolders, at least one of them an image.
    pub(super) fn list(folder: &Path) -> Result<Files, DataError> {
        let mut files = Files { paths: Vec::new(), others: 0 };
        files.add(folder, Path::new(""), &mut Vec::new())?;
        if files.paths.is_empty() {
            return Err(DataError::NoImages { path: folder.to_owned(), others: files.others });
        }
        files.paths.sort_by(|a, b| compare_paths(a, b));
        Ok(files)
    }

    /// Adds the files of the folder `here`, whose path relative to the root is `inner`; `above` are its
    /// parent folders.
    fn add(&mut self, here: &Path, inner: &Path, above: &mut Vec<PathBuf>) -> Result<(), DataError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DataError::Io { path, source }
        };
        // Links may form a cycle.
        let place = fs::canonicalize(here).map_err(failed(here))?;
        if above.contains(&place) {
            let source = std::io::Error::other("a link to a parent folder");
            return Err(DataError::Io { path: here.to_owned(), source });
        }
        above.push(place);
        for entry in fs::read_dir(here).map_err(failed(here))? {
            let name = entry.map_err(failed(here))?.file_name();
            if name.to_string_lossy().starts_with('.') {
                continue;
            }
            let path = here.join(&name);
            let is_image = is_image(&path);
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() => self.add(&path, &inner.join(&name), above)?,
                Err(source) if is_image => return Err(DataError::Io { path, source }),
                // Reading from a pipe might never end.
                Ok(found) if is_image && found.is_file() => self.paths.push(inner.join(&name)),
                _ => self.others += 1,
            }
        }
        above.pop();
        Ok(())
    }
}

fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Returns a path as a name, the same on every system.
pub(super) fn name(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// Returns the top-level folder of a file, if it is in one.
pub(super) fn top_folder(path: &Path) -> Option<String> {
    let mut parts = path.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(folder)), Some(_)) => Some(folder.to_string_lossy().into_owned()),
        _ => None,
    }
}

/// Compares paths component by component, with numbers in a component by value.
fn compare_paths(a: &Path, b: &Path) -> Ordering {
    let text = |part: Component<'_>| part.as_os_str().to_string_lossy().into_owned();
    let (mut left, mut right) = (a.components(), b.components());
    loop {
        match (left.next(), right.next()) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => return compare_natural(&text(a), &text(b)).then_with(|| a.cmp(&b)),
            (a, b) => return a.is_some().cmp(&b.is_some()),
        }
    }
}

/// Compares texts with runs of digits as numbers; equal numbers with fewer leading zeros come first.
fn compare_natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let (Some(x), Some(y)) = (left.chars().next(), right.chars().next()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (n, m) = (digits(left), digits(right));
            let (value, other) = (n.trim_start_matches('0'), m.trim_start_matches('0'));
            let order = value.len().cmp(&other.len()).then_with(|| value.cmp(other));
            if order.is_ne() {
                return order;
            }
            (left, right) = (&left[n.len()..], &right[m.len()..]);
        } else if x == y {
            (left, right) = (&left[x.len_utf8()..], &right[y.len_utf8()..]);
        } else {
            return x.cmp(&y);
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.len().cmp(&b.len()))
}

/// Returns the digits at the start of a text.
fn digits(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_order_of_their_value() {
        let sorted = [
            "",
            "IMG_3.png",
            "a",
            "a1b2",
            "a1b10",
            "a2.jpg",
            "a02.jpg",
            "a10",
            "a123456789012345678901234567890",
            "b",
            "é2",
            "é10",
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(compare_natural(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        let paths = ["2/1.png", "10/1.png", "10/2.png", "a.png", "a/1.png"].map(Path::new);
        for (i, a) in paths.iter().enumerate() {
            for (j, b) in paths.iter().enumerate() {
                let expected = compare_natural(&name(a), &name(b));
                assert!(compare_paths(a, b) == compare_paths(b, a).reverse(), "{expected:?}");
                assert!(i / 3 == 1 || j / 3 == 1 || compare_paths(a, b) == i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn endings_and_classes() {
        let images = ["a.png", "a.JPG", "x/y.jpeg"].map(|path| is_image(Path::new(path)));
        assert_eq!(images, [true; 3]);
        assert!(["png", "a.gif", "a.png.txt", ""].iter().all(|path| !is_image(Path::new(path))));
        assert_eq!(top_folder(Path::new("cat/deep/1.png")).as_deref(), Some("cat"));
        assert_eq!(top_folder(Path::new("1.png")), None);
        assert_eq!(name(Path::new("cat/deep/1.png")), "cat/deep/1.png");
    }
}
