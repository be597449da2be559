//! The three products of training, on matrices in panels ([`crate::panel`]), each with its epilogue.
//!
//! With `W` of a layer `[inputs + 1, outputs]` (the bias is its last row), `X` `[inputs, batch]`, `Y` and its delta
//! `[outputs, batch]`:
//!
//! | | product | epilogue |
//! |---|---|---|
//! | [`forward`] | `Y = Wᵀ X`, starting from the bias | the activation |
//! | [`backward_input`] | `dX = W δ` | `⊙ act'` of the layer below |
//! | [`weight_gradient`] | `dW = X δᵀ` and, in the bias row, `Σ δ` | a [`Rule`] |
//!
//! In the terms of BLIS (Van Zee & van de Geijn 2015) the batch operand is already the packed `B` and
//! the weights are already the packed `A`; what is left are the loops around the micro-kernel:
//!
//! ```text
//! for each strip of nc features of the output              whose sums stay in L2
//!   for each block of kc contraction steps                 kc x 64 bytes of either operand: half of L1
//!     for each panel of weights                             read from L2 or L3 once per call ...
//!       for each panel of the batch                         ... and from L1 for every further panel
//!         register tile: load or start, kc steps, store; after the last block the epilogue on the tile in L1
//! ```
//!
//! `weight_gradient` goes over blocks of kc rows of the batch, whose deltas stay in L1 for some tiles of inputs; the sums
//! of those tiles wait in L1 for the next block, because what follows, the update, must see them finished.

mod few;
mod loops;
pub(crate) mod micro;

use crate::activation::{Epilogue, Slope};
use crate::isa::Isa;
use crate::panel::{Panels, PanelsMut, panel_count};
use crate::simd::{Element, Simd};
use crate::update::Rule;
use few::{FEW, ForwardFew};
use loops::{BackwardInput, Forward, WeightGradient};

/// The loops of this module, which are large, compiled here for either type and not in every crate that uses them.
pub trait Compiled: Sized {
    #[doc(hidden)]
    fn forward(isa: Isa, kernel: Forward<'_, Self>);
    #[doc(hidden)]
    fn forward_few(isa: Isa, kernel: ForwardFew<'_, Self>);
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
    fn backward_input(isa: Isa, kernel: BackwardInput<'_, f64>) {
        f64::run(isa, kernel);
    }
    fn weight_gradient(isa: Isa, kernel: WeightGradient<'_, f64>) {
        f64::run(isa, kernel);
    }
}

/// Sizes of the loops around the micro-kernel. They change speed, never results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Contraction steps before the accumulators go to memory and the next block of operands comes to L1.
    pub kc: usize,
    /// Features of the output of [`forward`] and [`backward_input`] that go through all those blocks before the next do.
    pub nc: usize,
}

impl Default for Blocking {
    /// 192 steps: 12 KiB of each operand, together within an L1 cache of 32 KiB whatever the element type,
    /// since a step is a 64-byte line. 128 features: of 128 rows in f32 that is 64 KiB of sums, which stay in L2 until
    /// the last block has been added, and the weights of a strip are still read in long stretches.
    fn default() -> Self {
        Blocking { kc: 192, nc: 128 }
    }
}

/// `y = act(Wᵀ x + b)`: weights `[inputs + 1, outputs]` with the bias as the last row, `x` `[inputs, batch]`, `y` `[outputs, batch]`.
pub fn forward<'a, T: Element>(
    isa: Isa,
    blocking: Blocking,
    weights: Panels<'_, T>,
    x: Panels<'_, T>,
    y: PanelsMut<'_, T>,
    epilogue: impl Into<Epilogue<'a, T>>,
) {
    let epilogue = epilogue.into();
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

/// `dx = (W δ) ⊙ act'`: weights `[inputs + 1, outputs]`, `delta` `[outputs, batch]`, `dx` `[inputs, batch]`; `below` is what
/// the slope of the layer below is computed from, `[inputs, batch]`, and how. `dx` and `below` may be those of some of the inputs, from
/// `first` on.
pub fn backward_input<T: Element>(
    isa: Isa,
    blocking: Blocking,
    weights: Panels<'_, T>,
    first: usize,
    delta: Panels<'_, T>,
    below: (Panels<'_, T>, impl Into<Slope>),
    dx: PanelsMut<'_, T>,
) {
    let below: (Panels<'_, T>, Slope) = (below.0, below.1.into());
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

/// One matrix of every row block of a batch, at the same place of each block.
///
/// A batch of `rows` rows is divided into blocks of `block_panels` panels (the last may be shorter); the
/// blocks follow each other in `data`, `block_len` elements apart; in each, this matrix starts at `offset` and
/// takes `panel_len` elements a batch panel.
#[derive(Clone, Copy, Debug)]
pub struct BatchPanels<'a, T> {
    /// All blocks.
    pub data: &'a [T],
    /// Elements of a block.
    pub block_len: usize,
    /// Where the matrix starts in a block.
    pub offset: usize,
    /// Elements of a batch panel of this matrix.
    pub panel_len: usize,
    /// Batch panels of a block.
    pub block_panels: usize,
    /// Rows of the batch.
    pub rows: usize,
}

impl<T: Element> BatchPanels<'_, T> {
    pub(crate) fn count(&self) -> usize {
        panel_count::<T>(self.rows)
    }

    /// Where panel `panel` starts.
    #[inline(always)]
    pub(crate) fn start(&self, panel: usize) -> usize {
        panel / self.block_panels * self.block_len + self.offset + panel % self.block_panels * self.panel_len
    }

    /// Where panel `panel` ends, if that is a number.
    fn checked_end(&self, panel: usize) -> Option<usize> {
        let block = (panel / self.block_panels).checked_mul(self.block_len)?;
        let within = (panel % self.block_panels).checked_mul(self.panel_len)?;
        block.checked_add(self.offset)?.checked_add(within)?.checked_add(self.panel_len)
    }

    pub(crate) fn assert_holds_all(&self) {
        assert!(self.block_panels > 0, "blocks without panels");
        // The end grows with the panel within a block, so those of each block's last panel bound all others; and no number on the way to
        // a smaller end is too large if none is on the way to these.
        let inside = (0..self.count())
            .filter(|panel| panel + 1 == self.count() || panel % self.block_panels == self.block_panels - 1)
            .all(|panel| self.checked_end(panel).is_some_and(|end| end <= self.data.len()));
        assert!(inside, "batch panels outside their {} elements", self.data.len());
    }
}

/// A range of the parameters of one layer: rows `rows` of the panels `panels` of its `[inputs + 1, outputs]` matrix. They
/// lie together where it is one panel, or whole panels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightRange {
    /// Panels of outputs.
    pub panels: std::ops::Range<usize>,
    /// Rows: inputs, then the bias.
    pub rows: std::ops::Range<usize>,
}

impl WeightRange {
    /// Parameters, padding included.
    pub fn elements<T: Element>(&self) -> usize {
        self.panels.len() * self.rows.len() * T::PANEL
    }
}

/// Where the rows of a [`weight_gradient`] stand in a batch that is worked on in rounds: the sums over the rows of one are carried to the next.
#[derive(Debug)]
pub struct Round<'a, T> {
    /// The sums so far, laid out like the parameters; of a whole batch none.
    pub sums: &'a mut [T],
    /// Whether these are the first rows of the batch: what is in `sums` counts for nothing.
    pub first: bool,
    /// Whether they are the last: the sums go to the rule, and else to `sums`.
    pub last: bool,
}

impl<T> Round<'_, T> {
    /// All rows of a batch.
    pub fn whole() -> Self {
        Round { sums: &mut [], first: true, last: true }
    }
}

/// Finishes the gradient of a range of a layer's parameters and hands it to `rule`; or, if `round` is not the last one, carries its sums on.
/// However a batch is divided into rounds, the sums are the same to the bit.
///
/// `x` are the layer's inputs, `[inputs, P]` a batch panel; `delta` its turned deltas ([`crate::panel::turn`]),
/// `[P, outputs]` a batch panel; `weights` the parameters of the range ([`WeightRange::elements`] elements) and `state`
/// [`Rule::state`] times as many, neither of which is needed before the last round.
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
            && (weights.len() == range.elements::<T>() || !round.last)
            && state.len() == weights.len() * rule.state()
            && (round.sums.len() == range.elements::<T>() || round.first && round.last)
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

/// How wide tiles are that start with a panel of the batch.
#[derive(Clone, Copy)]
pub(crate) struct Width {
    /// Panels.
    pub(crate) panels: usize,
    /// Whether all rows are in the first vector of a panel row that is two, so that the other need not be computed.
    pub(crate) half: bool,
    /// Most rows of such a tile.
    pub(crate) most: usize,
}

impl Width {
    /// With panel `panel` of those of `rows` rows.
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

/// `total` in nearly equal pieces of at most `most`, as (start, length).
#[inline(always)]
pub(crate) fn pieces(total: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = total.div_ceil(most);
    (0..count).map(move |i| {
        let start_of = |i: usize| (i as u64 * total as u64 / count as u64) as usize;
        (start_of(i), start_of(i + 1) - start_of(i))
    })
}
