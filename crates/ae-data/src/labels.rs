//! Labels of rows.

/// One label per row: distinct names, and for each row the index of its name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    names: Vec<String>,
    codes: Vec<u32>,
}

impl Labels {
    /// Creates labels from texts. The names are sorted, by value if all are whole numbers, else
    /// alphabetically.
    pub fn from_texts<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Labels {
        let texts: Vec<String> = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
        let mut names = texts.clone();
        names.sort_unstable();
        names.dedup();
        if names.iter().all(|name| name.parse::<i64>().is_ok()) {
            names.sort_by_key(|name| name.parse::<i64>().unwrap_or(0));
        }
        let places: std::collections::HashMap<&str, u32> =
            names.iter().zip(0..).map(|(name, code)| (name.as_str(), code)).collect();
        let codes = texts.iter().map(|text| places.get(text.as_str()).copied().unwrap_or(0)).collect();
        Labels { names, codes }
    }

    /// Creates labels from whole numbers; the names are sorted by value.
    pub fn from_integers(values: impl IntoIterator<Item = i64>) -> Labels {
        let values: Vec<i64> = values.into_iter().collect();
        let mut distinct = values.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let code = |value: &i64| distinct.binary_search(value).unwrap_or(0) as u32;
        let codes = values.iter().map(code).collect();
        Labels { names: distinct.iter().map(ToString::to_string).collect(), codes }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The distinct names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// For each row, the index of its name.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The label of a row, if there is such a row.
    pub fn name_of(&self, row: usize) -> Option<&str> {
        let code = *self.codes.get(row)?;
        self.names.get(code as usize).map(String::as_str)
    }

    /// Returns the labels of these rows with all names. Indices out of range are skipped.
    pub(crate) fn select(&self, indices: &[usize]) -> Labels {
        let codes = indices.iter().filter_map(|&index| self.codes.get(index).copied()).collect();
        Labels { names: self.names.clone(), codes }
    }
}

/// Returns a name for the label column that no other column has.
pub(crate) fn column_name(names: &[String]) -> String {
    let taken = |name: &str| names.iter().any(|other| other == name);
    let numbered = (1..).map(|i| format!("label_{i}"));
    std::iter::once("label".to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_and_codes_point_at_them() {
        let labels = Labels::from_texts(["10", "9", "10"]);
        assert_eq!(labels.names(), ["9", "10"]);
        assert_eq!(labels.codes(), [1, 0, 1]);
        let labels = Labels::from_texts(["b", "a", "10"]);
        assert_eq!(labels.names(), ["10", "a", "b"]);
        assert_eq!(labels.name_of(0), Some("b"));
        assert_eq!(labels.name_of(3), None);
        assert_eq!(Labels::from_integers([5, -1, 5]).codes(), [1, 0, 1]);
    }
}
