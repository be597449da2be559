//! The active features of a batch, feature by feature.

use super::Active;
use crate::simd::Element;

/// Where a matrix of the rows of a batch is, one row after the other of features in lines ([`crate::panel::turn`]), block by block: all blocks
/// but the last are `block_rows` rows, `block_len` elements apart; in each, the matrix starts at `offset` and takes `panel_len` elements for a
/// batch panel. All of them whole lines.
#[derive(Clone, Copy, Debug)]
pub struct TurnedRows {
    /// Rows of a block, whole batch panels.
    pub block_rows: usize,
    /// Elements of a block.
    pub block_len: usize,
    /// Where the matrix starts in a block.
    pub offset: usize,
    /// Elements of a batch panel of it.
    pub panel_len: usize,
}

impl TurnedRows {
    /// The first line of `row`, counted in lines of [`Element::PANEL`] elements. Those of its further features are as many lines apart.
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
    /// Lines of the row in the inputs and in the deltas of the outputs.
    pub(super) input: u32,
    pub(super) output: u32,
}

/// The active features of some rows of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a, T> {
    /// Which row of the batch the first one is.
    pub first: usize,
    /// Their active features.
    pub active: Active<'a, T>,
    /// The deltas of those, as [`super::deltas`] leaves them.
    pub deltas: &'a [T],
    /// Where the deltas of the outputs are that belong to them.
    pub outputs: TurnedRows,
}

/// For each feature the rows in which it is active, in their order.
#[derive(Clone, Debug, Default)]
pub struct Index<T> {
    rows: usize,
    /// Where the entries of each feature start, and where the last end.
    starts: Vec<u32>,
    entries: Vec<Entry<T>>,
}

impl<T: Element> Index<T> {
    /// Room for `rows` rows with `k` of `features` features listed in the mean.
    pub fn with_room(features: usize, k: usize, rows: usize) -> Self {
        Index { rows: 0, starts: vec![0; features + 2], entries: vec![Entry::default(); rows * k] }
    }

    /// Fills it for `rows` rows from lists of active features, those of the same feature in the order of the lists. Where there is no room for
    /// all, none is listed: that many are infinite or NaN ([`super::least_of_largest`]), and nothing is to be learnt from them.
    pub fn fill<'a>(
        &mut self,
        rows: usize,
        lists: impl Iterator<Item = Listed<'a, T>> + Clone,
        inputs: TurnedRows,
    ) {
        // Counted two places ahead: placing the entries moves every start to that of the next feature.
        self.starts.fill(0);
        for Listed { active, .. } in lists.clone() {
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
        for Listed { first, active, deltas, outputs } in lists {
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

    /// Rows of the batch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Features.
    pub(super) fn features(&self) -> usize {
        self.starts.len().saturating_sub(2)
    }

    /// The rows of a feature; none beyond the last one.
    #[inline(always)]
    pub(super) fn of(&self, feature: usize) -> &[Entry<T>] {
        match self.starts.get(feature..feature + 2) {
            Some([start, end]) if feature < self.features() => &self.entries[*start as usize..*end as usize],
            _ => &[],
        }
    }
}
