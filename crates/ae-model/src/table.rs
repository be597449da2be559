//! Tables of rows in memory, the input of a step.

use ae_data::{BatchSource, contiguous_values, memory};
use ae_kernels::Isa;
use ae_kernels::finite::all_finite;
use ae_kernels::par::Crew;

use crate::error::Error;

/// Rows per piece that a thread checks.
const CHECKED_ROWS: usize = 128;

/// Rows in row-major order, and their targets if these are not the rows themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    /// The input rows.
    pub(crate) rows: &'a [f32],
    /// The targets, row for row, of the same length.
    pub(crate) targets: Option<&'a [f32]>,
}

impl<'a> From<&'a [f32]> for Table<'a> {
    fn from(rows: &'a [f32]) -> Self {
        Table { rows, targets: None }
    }
}

impl<'a> Table<'a> {
    /// The expected outputs, which errors are measured against.
    pub(crate) fn expected(self) -> &'a [f32] {
        self.targets.unwrap_or(self.rows)
    }

    /// Rows `first..first + count`, each of `features` values.
    pub(crate) fn part(self, first: usize, count: usize, features: usize) -> Self {
        let part = |rows: &'a [f32]| &rows[first * features..][..count * features];
        Table { rows: part(self.rows), targets: self.targets.map(part) }
    }
}

/// Reads rows from a source that need not be in memory, some at a time.
pub(crate) struct Feed<'a> {
    data: &'a dyn BatchSource,
    targets: Option<&'a dyn BatchSource>,
    /// The whole source, if all of it is in memory.
    whole: Option<Table<'a>>,
    staged: [Vec<f32>; 2],
    positions: Vec<usize>,
}

impl<'a> Feed<'a> {
    /// Reads up to `max_rows` rows of `data` at a time, and of `targets` alongside.
    pub(crate) fn new(
        data: &'a dyn BatchSource,
        targets: Option<&'a dyn BatchSource>,
        max_rows: usize,
    ) -> Result<Self, Error> {
        let whole = match (contiguous_values(data), targets.map(contiguous_values)) {
            (Some(rows), None) => Some(Table { rows, targets: None }),
            (Some(rows), Some(Some(targets))) => Some(Table { rows, targets: Some(targets) }),
            _ => None,
        };
        let buffer = |wanted: bool| {
            let rows = if wanted { max_rows } else { 0 };
            memory::zeros("the rows read at a time", rows, data.features())
        };
        let staged = [buffer(whole.is_none())?, buffer(whole.is_none() && targets.is_some())?];
        Ok(Feed { data, targets, whole, staged, positions: memory::indices(0..max_rows)? })
    }

    /// The most rows that can be read at a time.
    pub(crate) fn max_rows(&self) -> usize {
        self.positions.len()
    }

    /// Returns a table that holds the rows `indices`, and their positions in it.
    pub(crate) fn rows<'s>(&'s mut self, indices: &'s [usize]) -> Result<(Table<'s>, &'s [usize]), Error> {
        if let Some(whole) = self.whole {
            return Ok((whole, indices));
        }
        let len = indices.len() * self.data.features();
        let [rows, target_rows] = &mut self.staged;
        let rows = &mut rows[..len];
        self.data.read_rows(indices, rows)?;
        let targets = match self.targets {
            Some(targets) => {
                let target_rows = &mut target_rows[..len];
                targets.read_rows(indices, target_rows).map_err(|error| Error::of_targets(error.into()))?;
                Some(&*target_rows)
            }
            None => None,
        };
        Ok((Table { rows, targets }, &self.positions[..indices.len()]))
    }
}

/// Returns an error for the first value that is not finite. NaN is allowed if values may be missing.
pub(crate) fn check_values(
    (isa, crew): (Isa, Crew<'_>),
    data: &dyn BatchSource,
    first_row: usize,
    table: &[f32],
    allow_missing: bool,
) -> Result<(), Error> {
    let features = data.features().max(1);
    // Whole pieces are checked in parallel, without a branch per element; only pieces that fail are
    // searched for the position.
    let piece = CHECKED_ROWS * features;
    let mut fine = vec![true; table.len().div_ceil(piece)];
    crew.for_each_chunk(&mut fine, 1, |index, fine| {
        let end = table.len().min((index + 1) * piece);
        fine[0] = all_finite(isa, &table[index * piece..end]);
    });
    for (index, _) in fine.iter().enumerate().filter(|(_, fine)| !**fine) {
        let end = table.len().min((index + 1) * piece);
        if let Some((at, value)) = first_wrong(&table[index * piece..end], allow_missing) {
            let (row, column) = (first_row + index * CHECKED_ROWS + at / features, at % features);
            let name = data.names().and_then(|names| names.get(column).cloned());
            return Err(Error::NotFinite { row, column, name, value });
        }
    }
    Ok(())
}

/// Finds the first value that is infinite, or NaN where values may not be missing, and its position.
pub(crate) fn first_wrong(values: &[f32], allow_missing: bool) -> Option<(usize, f32)> {
    values.iter().copied().enumerate().find(|(_, x)| !(x.is_finite() || allow_missing && x.is_nan()))
}
