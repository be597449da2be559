//! The active features of a batch, grouped by feature.

use super::Active;
use crate::simd::Element;

/// The location of a transposed matrix ([`crate::panel::transpose_deltas`]): the rows of a batch one
/// after the other, with features along the lines.
///
/// The rows are divided into blocks, `block_len` elements apart; all but the last hold `block_rows`
/// rows. In each block, the matrix starts at `offset` and takes `panel_len` elements per batch panel.
/// All lengths and offsets are whole lines.
#[derive(Clone, Copy, Debug)]
pub struct TransposedRows {
    /// Rows of a block; whole batch panels.
    pub block_rows: usize,
    /// Elements of a block.
    pub block_len: usize,
    /// Offset of the matrix within a block.
    pub offset: usize,
    /// Elements of the matrix per batch panel.
    pub panel_len: usize,
}

impl TransposedRows {
    /// Returns the first line of `row`, counted in lines of [`Element::PANEL`] elements. The lines of
    /// its further features follow at intervals of as many lines.
    #[inline(always)]
    pub(super) fn line<T: Element>(&self, row: usize) -> usize {
        let within = row % self.block_rows;
        let start = row / self.block_rows * self.block_len + self.offset + within / T::PANEL * self.panel_len;
        start / T::PANEL + within % T::PANEL
    }
}

/// A row in which a feature is active.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry<T> {
    /// The value of the feature, and its delta.
    pub(super) value: T,
    pub(super) delta: T,
    /// The first line of the row in the inputs, and in the deltas of the outputs.
    pub(super) input: u32,
    pub(super) output: u32,
}

/// The active features of some rows of a batch.
#[derive(Clone, Copy, Debug)]
pub struct ActiveRows<'a, T> {
    /// The position of the first of these rows in the batch.
    pub first: usize,
    /// The active features of the rows.
    pub active: Active<'a, T>,
    /// The deltas of the active features, as computed by [`super::decode_backward`].
    pub deltas: &'a [T],
    /// Where the output deltas of these rows are.
    pub outputs: TransposedRows,
}

/// For each feature, the rows in which it is active, in order.
#[derive(Clone, Debug, Default)]
pub struct Index<T> {
    rows: usize,
    /// Where the entries of each feature start, and where the last ones end.
    starts: Vec<u32>,
    entries: Vec<Entry<T>>,
}

impl<T: Element> Index<T> {
    /// Creates an index with room for `rows` rows and an average of `k` active features per row, out of
    /// `features`.
    pub fn with_room(features: usize, k: usize, rows: usize) -> Self {
        Index { rows: 0, starts: vec![0; features + 2], entries: vec![Entry::default(); rows * k] }
    }

    /// Fills the index for `rows` rows from lists of active features; the entries of a feature are in
    /// the order of the lists. If there is not room for all entries, none are stored: that many values
    /// must be infinite or NaN ([`super::batch_threshold`]), and nothing can be learned from them.
    pub fn fill<'a>(
        &mut self,
        rows: usize,
        lists: impl Iterator<Item = ActiveRows<'a, T>> + Clone,
        inputs: TransposedRows,
    ) {
        // Count two places ahead: placing the entries moves every start to that of the next feature.
        self.starts.fill(0);
        for ActiveRows { active, .. } in lists.clone() {
            for row in 0..active.rows() {
                active.row(row).0.iter().for_each(|&feature| self.starts[feature as usize + 2] += 1);
            }
        }
        let mut sum = 0;
        for start in &mut self.starts {
            sum += *start;
            *start = sum;
        }
        self.rows = rows;
        if sum as usize > self.entries.len() {
            self.starts.fill(0);
            return;
        }
        for ActiveRows { first, active, deltas, outputs } in lists {
            for row in 0..active.rows() {
                let (features, values) = active.row(row);
                let deltas = &deltas[active.range(row)];
                let [input, output] = [inputs, outputs].map(|place| place.line::<T>(first + row) as u32);
                for ((&feature, &value), &delta) in features.iter().zip(values).zip(deltas) {
                    let place = &mut self.starts[feature as usize + 1];
                    self.entries[*place as usize] = Entry { value, delta, input, output };
                    *place += 1;
                }
            }
        }
    }

    /// The number of rows of the batch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The number of features.
    pub(super) fn features(&self) -> usize {
        self.starts.len().saturating_sub(2)
    }

    /// Returns the entries of a feature; none for an index beyond the last feature.
    #[inline(always)]
    pub(super) fn of(&self, feature: usize) -> &[Entry<T>] {
        match self.starts.get(feature..feature + 2) {
            Some([start, end]) if feature < self.features() => &self.entries[*start as usize..*end as usize],
            _ => &[],
        }
    }
}
