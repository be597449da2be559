//! The three matrix products of training, on matrices in panels ([`crate::panel`]), each with its
//! epilogue.
//!
//! For a layer with weights `W` `[inputs + 1, outputs]` (the last row is the bias), input `X`
//! `[inputs, batch]`, and output `Y` and its delta `δ` `[outputs, batch]`:
//!
//! | | product | epilogue |
//! |---|---|---|
//! | [`forward`], [`forward_row`] | `Y = Wᵀ X`, starting from the bias | the activation |
//! | [`backward_input`] | `dX = W δ` | `⊙ act'` of the layer below |
//! | [`weight_gradient`] | `dW = X δᵀ` and, in the bias row, `Σ δ` | a [`Rule`] |
//!
//! In the terms of BLIS (Van Zee & van de Geijn 2015), the batch operand is already the packed `B` and
//! the weights are already the packed `A`; what remains are the loops around the micro-kernel:
//!
//! ```text
//! for each strip of nc features of the output              whose sums stay in L2
//!   for each block of kc contraction steps                 kc x 64 bytes of either operand: half of L1
//!     for each panel of weights                             read from L2 or L3 once per call ...
//!       for each panel of the batch                         ... and from L1 for every further panel
//!         register tile: load or start, kc steps, store; after the last block the epilogue on the tile in L1
//! ```
//!
//! `weight_gradient` iterates over blocks of kc rows of the batch, whose deltas stay in L1 for several
//! tiles of inputs. The sums of those tiles wait in L1 for the next block, because the update that
//! follows needs them finished. Plain descent by a single block is applied to the sums in registers.

mod few;
mod loops;
pub(crate) mod micro;

use crate::activation::{Activation, Epilogue, Slope};
use crate::isa::Isa;
use crate::panel::{Panels, Spread, SpreadMut, panel_count};
use crate::simd::{Element, Kernel, Simd};
use crate::update::Rule;
use few::{FEW, ForwardFew, ForwardRow};
use loops::{BackwardInput, Forward, WeightGradient};

/// Compiles the large loops of this module here, for either element type, rather than in every crate
/// that uses them.
pub trait Compiled: Sized {
    #[doc(hidden)]
    fn forward(isa: Isa, kernel: Forward<'_, Self>);
    #[doc(hidden)]
    fn forward_few(isa: Isa, kernel: ForwardFew<'_, Self>);
    #[doc(hidden)]
    fn forward_row(isa: Isa, kernel: ForwardRow<'_, Self>);
    #[doc(hidden)]
    fn backward_input(isa: Isa, kernel: BackwardInput<'_, Self>);
    #[doc(hidden)]
    fn weight_gradient(isa: Isa, kernel: WeightGradient<'_, Self>);
}

impl Compiled for f32 {
    fn forward(isa: Isa, kernel: Forward<'_, f32>) {
        f32::run(isa, kernel);
    }
    fn forward_few(isa: Isa, kernel: ForwardFew<'_, f32>) {
        f32::run(isa, kernel);
    }
    fn forward_row(isa: Isa, kernel: ForwardRow<'_, f32>) {
        f32::run(isa, kernel);
    }
    fn backward_input(isa: Isa, kernel: BackwardInput<'_, f32>) {
        f32::run(isa, kernel);
    }
    fn weight_gradient(isa: Isa, kernel: WeightGradient<'_, f32>) {
        f32::run(isa, kernel);
    }
}

impl Compiled for f64 {
    fn forward(isa: Isa, kernel: Forward<'_, f64>) {
        f64::run(isa, kernel);
    }
    fn forward_few(isa: Isa, kernel: ForwardFew<'_, f64>) {
        f64::run(isa, kernel);
    }
    fn forward_row(isa: Isa, kernel: ForwardRow<'_, f64>) {
        f64::run(isa, kernel);
    }
    fn backward_input(isa: Isa, kernel: BackwardInput<'_, f64>) {
        f64::run(isa, kernel);
    }
    fn weight_gradient(isa: Isa, kernel: WeightGradient<'_, f64>) {
        f64::run(isa, kernel);
    }
}

/// Block sizes of the loops around the micro-kernel. They affect speed, never results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Contraction steps before the accumulators are written to memory and the next block of operands is
    /// brought into L1.
    pub kc: usize,
    /// Output features of [`forward`] and [`backward_input`] that go through all those blocks before the
    /// next features do.
    pub nc: usize,
}

impl Default for Blocking {
    /// `kc` is 192 steps: 12 KiB of each operand, which together fit in an L1 cache of 32 KiB whatever
    /// the element type, since a step is a 64-byte line. `nc` is 128 features: for 128 rows in `f32`
    /// that is 64 KiB of sums, which stay in L2 until the last block has been added, while the weights
    /// of a strip are still read in long runs.
    fn default() -> Self {
        Blocking { kc: 192, nc: 128 }
    }
}

/// Computes `y = act(Wᵀ x + b)`.
///
/// `weights` is `[inputs + 1, outputs]` with the bias as the last row, `x` is `[inputs, batch]` and `y`
/// is `[outputs, batch]`.
pub fn forward<'x, 'y, 'a, T: Element>(
    isa: Isa,
    blocking: Blocking,
    weights: Panels<'_, T>,
    x: impl Into<Spread<'x, T>>,
    y: impl Into<SpreadMut<'y, T>>,
    epilogue: impl Into<Epilogue<'a, T>>,
) {
    let (x, y, epilogue) = (x.into(), y.into(), epilogue.into());
    assert!(
        weights.rows() == x.rows() + 1
            && weights.cols() == y.rows()
            && x.cols() == y.cols()
            && epilogue.fits(y.rows(), y.cols())
            && blocking.kc > 0
            && blocking.nc > 0,
        "forward: weights [{}, {}], x [{}, {}], y [{}, {}], {blocking:?}",
        weights.rows(),
        weights.cols(),
        x.rows(),
        x.cols(),
        y.rows(),
        y.cols(),
    );
    if y.cols() <= FEW {
        T::forward_few(isa, ForwardFew { weights, x, y, epilogue });
    } else {
        T::forward(isa, Forward { blocking, weights, x, y, epilogue });
    }
}

/// Computes `y = act(Wᵀ x + b)` for a single row whose values are next to each other, to the same bits
/// as [`forward`].
///
/// `weights` is `[inputs + 1, outputs]` with the bias as the last row, `x` is `[inputs]`. `y` is
/// `[outputs]`, rounded up to whole panel rows, whose padding may become anything.
pub fn forward_row<T: Element>(
    isa: Isa,
    weights: Panels<'_, T>,
    x: &[T],
    y: &mut [T],
    activation: Activation,
) {
    assert!(
        weights.rows() == x.len() + 1 && y.len() == panel_count::<T>(weights.cols()) * T::PANEL,
        "forward_row: weights [{}, {}], x [{}], y [{}]",
        weights.rows(),
        weights.cols(),
        x.len(),
        y.len(),
    );
    T::forward_row(isa, ForwardRow { weights, x, y, activation });
}

/// Computes `dx = (W δ) ⊙ act'`.
///
/// `weights` is `[inputs + 1, outputs]`, `delta` is `[outputs, batch]` and `dx` is `[inputs, batch]`.
/// `below` is what the activation derivative of the layer below is computed from, `[inputs, batch]`, and
/// how. `dx` and `below` may cover only some of the inputs, from `first` on.
pub fn backward_input<'x, 'y, T: Element>(
    isa: Isa,
    blocking: Blocking,
    weights: Panels<'_, T>,
    first: usize,
    delta: impl Into<Spread<'x, T>>,
    below: (impl Into<Spread<'x, T>>, impl Into<Slope>),
    dx: impl Into<SpreadMut<'y, T>>,
) {
    let (delta, dx): (Spread<'_, T>, SpreadMut<'_, T>) = (delta.into(), dx.into());
    let below: (Spread<'_, T>, Slope) = (below.0.into(), below.1.into());
    below.1.check();
    assert!(
        first.checked_add(dx.rows()).is_some_and(|end| end < weights.rows())
            && weights.cols() == delta.rows()
            && delta.cols() == dx.cols()
            && below.0.rows() == dx.rows()
            && below.0.cols() == dx.cols()
            && blocking.kc > 0
            && blocking.nc > 0,
        "backward_input: weights [{}, {}] from {first}, delta [{}, {}], below [{}, {}], dx [{}, {}], {blocking:?}",
        weights.rows(),
        weights.cols(),
        delta.rows(),
        delta.cols(),
        below.0.rows(),
        below.0.cols(),
        dx.rows(),
        dx.cols(),
    );
    T::backward_input(isa, BackwardInput { blocking, weights, first, delta, below, dx });
}

/// One matrix of a batch that is stored in blocks of rows, at the same offset in each block.
///
/// A batch of `rows` rows is divided into blocks of `block_panels` panels (the last may be shorter). The
/// blocks are stored one after another in `data`, `block_len` elements apart; in each, this matrix
/// starts at `offset` and takes `panel_len` elements per batch panel.
#[derive(Clone, Copy, Debug)]
pub struct BatchPanels<'a, T> {
    /// The data of all blocks.
    pub data: &'a [T],
    /// Elements per block.
    pub block_len: usize,
    /// Where the matrix starts within a block.
    pub offset: usize,
    /// Elements of this matrix per batch panel.
    pub panel_len: usize,
    /// Batch panels per block.
    pub block_panels: usize,
    /// Rows of the batch.
    pub rows: usize,
}

impl<T: Element> BatchPanels<'_, T> {
    pub(crate) fn count(&self) -> usize {
        panel_count::<T>(self.rows)
    }

    /// Where panel `panel` starts in `data`.
    #[inline(always)]
    pub(crate) fn start(&self, panel: usize) -> usize {
        panel / self.block_panels * self.block_len + self.offset + panel % self.block_panels * self.panel_len
    }

    /// Where panel `panel` ends in `data`; `None` on overflow.
    fn checked_end(&self, panel: usize) -> Option<usize> {
        let block = (panel / self.block_panels).checked_mul(self.block_len)?;
        let within = (panel % self.block_panels).checked_mul(self.panel_len)?;
        block.checked_add(self.offset)?.checked_add(within)?.checked_add(self.panel_len)
    }

    pub(crate) fn assert_holds_all(&self) {
        assert!(self.block_panels > 0, "blocks without panels");
        // Within a block the end grows with the panel, so the ends of each block's last panel bound all
        // others; and if nothing overflows in computing these, nothing does for a smaller end.
        let inside = (0..self.count())
            .filter(|panel| panel + 1 == self.count() || panel % self.block_panels == self.block_panels - 1)
            .all(|panel| self.checked_end(panel).is_some_and(|end| end <= self.data.len()));
        assert!(inside, "batch panels outside their {} elements", self.data.len());
    }
}

/// A range of the parameters of one layer: rows `rows` of the panels `panels` of its
/// `[inputs + 1, outputs]` matrix. The elements are contiguous if the range lies in one panel or
/// consists of whole panels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightRange {
    /// Panels of outputs.
    pub panels: std::ops::Range<usize>,
    /// Rows: inputs, then the bias.
    pub rows: std::ops::Range<usize>,
}

impl WeightRange {
    /// Number of parameters, including padding.
    pub fn elements<T: Element>(&self) -> usize {
        self.panels.len() * self.rows.len() * T::PANEL
    }

    /// [`WeightRange::elements`]; `None` on overflow.
    pub(crate) fn checked_elements<T: Element>(&self) -> Option<usize> {
        self.panels.len().checked_mul(self.rows.len())?.checked_mul(T::PANEL)
    }
}

/// The position of a [`weight_gradient`] call in a batch that is processed in rounds. The sums over the
/// rows of one round are carried to the next.
#[derive(Debug)]
pub struct Round<'a, T> {
    /// The sums so far, laid out like the parameters; empty for a whole batch.
    pub sums: &'a mut [T],
    /// Whether these are the first rows of the batch, so that the contents of `sums` are ignored.
    pub first: bool,
    /// Whether these are the last rows, so that the sums go to the rule instead of to `sums`.
    pub last: bool,
}

impl<T> Round<'_, T> {
    /// The single round that covers all rows of a batch.
    pub fn whole() -> Self {
        Round { sums: &mut [], first: true, last: true }
    }
}

/// Finishes the gradient of a range of a layer's parameters and passes it to `rule`; or, if `round` is
/// not the last one, carries its sums on. However a batch is divided into rounds, the sums are
/// bit-identical.
///
/// `x` is the layer's input, `[inputs, P]` per batch panel, and `delta` its transposed deltas
/// ([`crate::panel::transpose_deltas`]), `[P, outputs]` per batch panel. `weights` holds the parameters
/// of the range ([`WeightRange::elements`] elements) and `state` [`Rule::state_per_parameter`] times as
/// many; neither is needed before the last round.
pub fn weight_gradient<T: Element>(
    isa: Isa,
    blocking: Blocking,
    (inputs, outputs): (usize, usize),
    range: &WeightRange,
    x: BatchPanels<'_, T>,
    delta: BatchPanels<'_, T>,
    (round, rule): (Round<'_, T>, Rule<T>),
    weights: &mut [T],
    state: &mut [T],
) {
    let side = T::PANEL * T::PANEL;
    assert!(
        range.rows.start <= range.rows.end
            && range.rows.end <= inputs + 1
            && range.panels.start <= range.panels.end
            && (range.checked_elements::<T>() == Some(weights.len()) || !round.last)
            && state.len() == weights.len() * rule.state_per_parameter()
            && (range.checked_elements::<T>() == Some(round.sums.len()) || round.first && round.last)
            && x.rows == delta.rows
            && x.block_panels == delta.block_panels
            && inputs.checked_mul(T::PANEL).is_some_and(|len| len <= x.panel_len)
            && range.panels.end <= panel_count::<T>(outputs)
            && range.panels.end.checked_mul(side).is_some_and(|len| len <= delta.panel_len)
            && blocking.kc > 0
            && blocking.nc > 0,
        "weight_gradient: {blocking:?}, {range:?} of {inputs} inputs, {} weights, {} of state, {} sums, {} rows of x, {} of delta",
        weights.len(),
        state.len(),
        round.sums.len(),
        x.rows,
        delta.rows,
    );
    let kernel = WeightGradient { blocking, inputs, outputs, range, x, delta, round, rule, weights, state };
    T::weight_gradient(isa, kernel);
}

/// How many batch panels a register tile of [`forward`] and [`backward_input`] spans: a batch of fewer
/// does not fill the tiles.
pub fn panels_per_tile<T: Element>(isa: Isa) -> usize {
    T::run(isa, PanelsPerTile)
}

struct PanelsPerTile;

impl<T: Element> Kernel<T> for PanelsPerTile {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd<T>>(self, _: S) -> usize {
        if S::WIDE_TILE_ROWS > 0 { 2 } else { 1 }
    }
}

/// The size of the register tiles that start at a given batch panel.
#[derive(Clone, Copy)]
pub(crate) struct Width {
    /// Panels per tile.
    pub(crate) panels: usize,
    /// Whether the remaining rows of the batch all fit in the first of the two vectors of a panel row,
    /// so that the other need not be computed.
    pub(crate) half: bool,
    /// Maximum number of rows per tile.
    pub(crate) most: usize,
}

impl Width {
    /// The size of tiles that start at panel `panel` of a batch of `rows` rows.
    #[inline(always)]
    pub(crate) fn at<T: Element, S: Simd<T>>(rows: usize, panel: usize) -> Width {
        let left = rows - panel * T::PANEL;
        if S::WIDE_TILE_ROWS > 0 && left > T::PANEL {
            Width { panels: 2, half: false, most: S::WIDE_TILE_ROWS }
        } else if S::HALF_TILE_ROWS > 0 && left <= S::LANES {
            Width { panels: 1, half: true, most: S::HALF_TILE_ROWS }
        } else {
            Width { panels: 1, half: false, most: S::TILE_ROWS }
        }
    }
}

/// Splits `total` into nearly equal pieces of at most `most`, as (start, length).
#[inline(always)]
pub(crate) fn pieces(total: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = total.div_ceil(most);
    (0..count).map(move |i| {
        let start_of = |i: usize| (i as u64 * total as u64 / count as u64) as usize;
        (start_of(i), start_of(i + 1) - start_of(i))
    })
}
