//! Exact distances to nearest neighbours, without a tree.
//!
//! The rows are sorted by their projection on the direction in which they spread most, and stored in
//! panels, their features in descending order of variance. There are two ways to search, for the same
//! results: outwards from the query row ([`Neighbours::search_outwards`]), for rows of few features or with
//! many categories, and by matrix products ([`products`]), for many wide rows at once.

mod order;
mod products;

use ae_data::{DataError, memory};
use ae_kernels::distance::{self, GROUP};
use ae_kernels::panel::{Panels, PanelsMut, gather_rows, panel_len};
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};

use order::{by_variance, principal_direction, project};

/// What the memory is for.
const REFERENCE: &str = "the rows to find neighbours among";
/// Least allowance for rounding in a bound, as a fraction of it.
const SLACK: f64 = 1e-4;
/// Rows that are searched outwards first; how much of the reference they read decides about the others.
const PROBES: usize = 16;
/// Bytes of a reference beyond what any L2 holds.
const FAR: usize = 2 << 20;
/// Rows of a panel.
const PANEL: usize = <f32 as Element>::PANEL;
/// Rows of a group.
const GROUP_ROWS: usize = GROUP * PANEL;

/// The rows to find neighbours among.
#[derive(Clone, Debug)]
pub(crate) struct Neighbours {
    isa: Isa,
    /// The features in the order in which they are compared.
    features: Vec<usize>,
    /// A unit vector.
    direction: Vec<f64>,
    /// Number of rows, which the last group may have fewer of than places.
    count: usize,
    /// `[features + 1, groups * GROUP_ROWS]` in panels; the last line is of [`products`]. Places beyond
    /// the last row are zero.
    panels: AlignedBuf<f32>,
    /// Smallest and largest projection of each group.
    spans: Vec<(f64, f64)>,
    /// See [`products`]; one for each place.
    uncertainty: Vec<f32>,
}

impl Neighbours {
    /// Prepares the rows `[rows, features]` for searching, of which there is a copy then.
    pub(crate) fn new(isa: Isa, rows: &[f32], features: usize) -> Result<Neighbours, DataError> {
        let direction = principal_direction(rows, features);
        let count = rows.len() / features.max(1);
        let mut order: Vec<(f64, usize)> = memory::room(REFERENCE, count, 1)?;
        let projected = rows.chunks_exact(features.max(1)).map(|row| project(&direction, row));
        order.extend(projected.zip(0..));
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let features = by_variance(rows, features);
        let places = count.next_multiple_of(GROUP_ROWS);
        // Only asks whether there is so much.
        drop(memory::room::<f32>(REFERENCE, places, features.len() + 1)?);
        let lines = features.len() + 1;
        let mut panels = AlignedBuf::zeroed(panel_len::<f32>(lines, places));
        let mut uncertainty = vec![0.0; places];
        let mut sorted = vec![0.0; PANEL * lines];
        let destinations = panels.as_mut_slice().chunks_exact_mut(PANEL * lines);
        for ((panel, uncertainty), rows_of_panel) in
            destinations.zip(uncertainty.chunks_exact_mut(PANEL)).zip(chunks_or_empty(&order))
        {
            sorted.fill(0.0);
            for (place, row) in sorted.chunks_exact_mut(lines).enumerate() {
                let (row, last) = row.split_at_mut(features.len());
                if let Some((_, index)) = rows_of_panel.get(place) {
                    let from = &rows[index * features.len()..][..features.len()];
                    row.iter_mut().zip(&features).for_each(|(x, feature)| *x = from[*feature]);
                }
                (last[0], uncertainty[place]) = products::bias(row, place < rows_of_panel.len());
            }
            let all: [usize; PANEL] = std::array::from_fn(|i| i);
            gather_rows(isa, &sorted, &all, None, PanelsMut::new(panel, lines, PANEL));
        }
        let span = |group: &[(f64, usize)]| (group[0].0, group[group.len() - 1].0);
        let spans = order.chunks(GROUP_ROWS).map(span).collect();
        Ok(Neighbours { isa, features, direction, count, panels, spans, uncertainty })
    }

    /// Number of features.
    pub(crate) fn features(&self) -> usize {
        self.features.len()
    }

    /// Writes the squared distances from each of `rows` `[rows, features]` to the `k` nearest rows to
    /// `nearest` `[rows, k]`, ascending; infinite if there are fewer rows. `skip_self` leaves out one row
    /// at distance 0, which is taken to be the row itself.
    pub(crate) fn squared_distances(&self, rows: &[f32], skip_self: bool, k: usize, nearest: &mut [f32]) {
        nearest.fill(f32::INFINITY);
        let features = self.features().max(1);
        let mut lines = 0;
        let outwards = rows.chunks_exact(features).zip(nearest.chunks_exact_mut(k)).enumerate();
        for (searched, (row, found)) in outwards {
            if searched == PROBES && lines > PROBES * self.lines_worth_products() {
                let (rows, nearest) = (&rows[searched * features..], &mut nearest[searched * k..]);
                return self.search_by_products(rows, skip_self, k, nearest);
            }
            lines += self.search_outwards(row, Nearest { skip_self, nearest: found });
        }
    }

    /// Lines of groups that a search reads outwards in the time that it takes by products.
    fn lines_worth_products(&self) -> usize {
        // Products cost a multiply-add instead of three operations, but of every feature, and their results
        // are looked at. A search by itself waits for lines that are not in L2, while a product reads them
        // once for many rows, which matters where both are fast.
        let far = size_of_val(self.panels.as_slice()) > FAR;
        let share = if far && !matches!(self.isa, Isa::Portable(_)) { 6 } else { 2 };
        self.spans.len() * (self.features() / share + 16)
    }

    /// Goes outwards from the query's position. Two rows are at least as far apart as their projections,
    /// so the search ends on either side where that bound alone is too far; and a group is given up once
    /// all its rows are too far: of tables with many categories, few features are read. Returns the number
    /// of lines of groups that were.
    fn search_outwards(&self, row: &[f32], mut nearest: Nearest<'_>) -> usize {
        let mut lines = 0;
        // What rounding, and squares that underflow, can take from a computed distance.
        let features = self.features() as f64;
        let slack = SLACK.max((features + 4.0) * f64::from(f32::EPSILON));
        let vanished = features * f64::from(f32::MIN_POSITIVE);
        let projection = project(&self.direction, row);
        let row: Vec<f32> = self.features.iter().map(|feature| row[*feature]).collect();
        let mut above = self.spans.partition_point(|(_, high)| *high < projection);
        let mut below = above;
        loop {
            let worst = f64::from(nearest.worst());
            // A lower bound on the distance to the next group on each side; negative if `row` lies
            // within it.
            let up = self.spans.get(above).map(|(low, _)| low - projection);
            let down = below.checked_sub(1).map(|group| projection - self.spans[group].1);
            let (gap, group) = match (up, down) {
                (Some(up), Some(down)) if down < up => (down, below - 1),
                (Some(up), _) => (up, above),
                (None, Some(down)) => (down, below - 1),
                (None, None) => return lines,
            };
            if gap > 0.0 && gap * gap * (1.0 - slack) - vanished > worst {
                return lines;
            }
            if group == above {
                above += 1;
            } else {
                below = group;
            }
            let first = group * GROUP;
            lines += self.search(&row, &[first, first + 1, first + 2, first + 3], &mut nearest);
        }
    }

    /// Compares a row, whose features are in order, with the rows of at most [`GROUP`] panels. Returns the
    /// number of features that it read.
    fn search(&self, row: &[f32], panels: &[usize], nearest: &mut Nearest<'_>) -> usize {
        // Those that are not asked for are compared again, for nothing.
        let compared = std::array::from_fn(|i| *panels.get(i).unwrap_or(&panels[0]));
        let found = distance::squared_distances(self.isa, row, self.panels(), compared, nearest.worst());
        let found = match found {
            Ok(found) => found,
            Err(features) => return features,
        };
        for (squares, panel) in found.iter().zip(panels) {
            let rows = self.count.saturating_sub(panel * PANEL);
            squares.iter().take(rows).for_each(|square| nearest.offer(*square));
        }
        row.len()
    }

    fn panels(&self) -> Panels<'_, f32> {
        Panels::new(self.panels.as_slice(), self.features.len() + 1, self.uncertainty.len())
    }
}

/// The rows of each panel; those after the last are empty, as often as necessary.
fn chunks_or_empty<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    all.chunks(PANEL).chain(std::iter::repeat(&[][..]))
}

/// The smallest squared distances so far, ascending.
struct Nearest<'a> {
    nearest: &'a mut [f32],
    skip_self: bool,
}

impl Nearest<'_> {
    /// The distance that a row must be below to matter.
    fn worst(&self) -> f32 {
        self.nearest.last().copied().unwrap_or(0.0)
    }

    fn offer(&mut self, square: f32) {
        if self.skip_self && square == 0.0 {
            self.skip_self = false;
            return;
        }
        if self.nearest.last().is_some_and(|worst| square < *worst) {
            let position = self.nearest.partition_point(|nearer| *nearer <= square);
            self.nearest[position..].rotate_right(1);
            self.nearest[position] = square;
        }
    }
}

#[cfg(test)]
mod tests;
