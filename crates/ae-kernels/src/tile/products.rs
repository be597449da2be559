//! The three products of training on tiles, each with its epilogue.

mod backward;
mod forward;
mod gradient;
mod weights;

use super::split::{self, LINE};
use super::{DEPTH, Interleaved, Operand, Parts, TILE, TileUnit, run};
use crate::activation::{Epilogue, Slope};
use crate::gemm::WeightRange;
use crate::isa::Isa;
use crate::panel::{Panels, PanelsMut, panel_count};
use crate::par::{Crew, DisjointSlice};
use crate::update::Rule;
use weights::Product;
pub use weights::scratch_len;

/// The result of a product in the forms that the next products take ([`super`]): [`forward`] writes
/// those of [`split::rows`] and [`split::inputs`], [`backward_input`] those of [`split::features`] and
/// [`split::transposed`].
#[derive(Debug)]
pub struct Forms<'a> {
    /// For the product of the next layer, if there is one: [`split::panel_len`] elements per batch
    /// panel.
    pub next: Option<&'a mut [f32]>,
    /// For [`weight_gradient`], if it is needed: [`split::pair_len`] of every `stride` elements.
    pub kept: Option<&'a mut [f32]>,
    /// Distance from one pair of batch panels in `kept` to the next.
    pub stride: usize,
}

impl Forms<'_> {
    fn fit(&self, parts: Parts, features: usize, batch_panels: usize) -> bool {
        let (pairs, len) = (batch_panels / 2, split::pair_len(parts, features));
        self.next.as_ref().is_none_or(|next| next.len() == batch_panels * split::panel_len(parts, features))
            && self.kept.as_ref().is_none_or(|kept| {
                let end = || (pairs - 1).checked_mul(self.stride)?.checked_add(len);
                self.stride >= len && (pairs == 0 || end().is_some_and(|end| end <= kept.len()))
            })
    }
}

/// What the tasks of a product write to: [`Forms`], or nothing. Each task writes what comes from its
/// strips.
#[derive(Clone, Copy)]
struct Written<'a> {
    next: Option<DisjointSlice<'a, f32>>,
    kept: Option<DisjointSlice<'a, f32>>,
    stride: usize,
}

impl<'a> Written<'a> {
    fn new(forms: Option<Forms<'a>>) -> Self {
        let Forms { next, kept, stride } = forms.unwrap_or(Forms { next: None, kept: None, stride: 0 });
        Written { next: next.map(DisjointSlice::new), kept: kept.map(DisjointSlice::new), stride }
    }
}

/// Minimum number of strips per task, and tasks per thread, which even out threads that are late.
const STRIPS: usize = 2;
const TASKS_PER_THREAD: usize = 2;

/// Computes the product for all strips of its result, shared among the threads of `crew`. Each strip
/// belongs to one task, with everything that is written of it, and so do the `len` elements of `scratch`
/// that a task has at a time.
fn share<P: Product<PARTS> + Copy + Sync, const PARTS: usize>(
    (isa, crew): (Isa, Crew<'_>),
    product: P,
    (batch, pairs): (&[f32], usize),
    (scratch, len): (&mut [f32], usize),
) {
    let crew = crew.at_most(scratch.len() / len);
    let strips = product.features().div_ceil(DEPTH);
    let tasks =
        if crew.threads() == 1 { 1 } else { (strips / STRIPS).clamp(1, TASKS_PER_THREAD * crew.threads()) };
    let scratches = DisjointSlice::new(scratch);
    crew.share_with_index(tasks, |thread, task| {
        // SAFETY: `share_with_index` passes a thread number that no other call has at the time. It is
        // below the crew's number of threads, for each of which there are `len` elements.
        let scratch = unsafe { scratches.slice_mut(thread * len..(thread + 1) * len) };
        let strips = task * strips / tasks..(task + 1) * strips / tasks;
        run(isa, weights::Multiply::<_, PARTS> { product, batch, pairs, strips, scratch });
    });
}

/// Computes `y = act(Wᵀ x + b)`.
///
/// `weights` is `[inputs + 1, outputs]` with the bias as the last row, `x` holds the tiles of
/// [`split::rows`], and `y` is `[outputs, batch]` with an even number of batch panels; it is also
/// written in other `forms` if they are given. The threads of `crew` share the outputs, as many as
/// `scratch` has [`scratch_len`] elements for.
pub fn forward<'a>(
    (isa, crew): (Isa, Crew<'_>),
    parts: Parts,
    weights: Panels<'_, f32>,
    x: &[f32],
    y: PanelsMut<'_, f32>,
    epilogue: impl Into<Epilogue<'a, f32>>,
    forms: Option<Forms<'_>>,
    scratch: &mut [f32],
) {
    checked_forward((isa, crew), parts, weights, x, y, epilogue.into(), forms, scratch);
}

/// [`forward`] without a type parameter, so that it is compiled in this crate.
fn checked_forward(
    threads: (Isa, Crew<'_>),
    parts: Parts,
    weights: Panels<'_, f32>,
    x: &[f32],
    mut y: PanelsMut<'_, f32>,
    epilogue: Epilogue<'_, f32>,
    forms: Option<Forms<'_>>,
    scratch: &mut [f32],
) {
    let (inputs, batch_panels) = (weights.rows().saturating_sub(1), panel_count::<f32>(y.cols()));
    assert!(
        weights.rows() > 0
            && weights.cols() == y.rows()
            && batch_panels.is_multiple_of(2)
            && x.len() == batch_panels.saturating_mul(split::panel_len(parts, inputs))
            && epilogue.fits(y.rows(), y.cols())
            && forms.as_ref().is_none_or(|forms| forms.fit(parts, y.rows(), batch_panels))
            && scratch.len() >= scratch_len(parts, batch_panels),
        "forward: weights [{}, {}], x {}, y [{}, {}], scratch {}",
        weights.rows(),
        weights.cols(),
        x.len(),
        y.rows(),
        y.cols(),
        scratch.len(),
    );
    let Epilogue { activation, mut slopes } = epilogue;
    let product = forward::Forward {
        weights,
        y: DisjointSlice::new(y.data()),
        activation,
        slopes: slopes.as_mut().map(|slopes| DisjointSlice::new(slopes.data())),
        forms: Written::new(forms),
    };
    let (batch, scratch) = ((x, batch_panels / 2), (scratch, scratch_len(parts, batch_panels)));
    match parts {
        Parts::One => share::<_, 1>(threads, product, batch, scratch),
        Parts::Three => share::<_, 3>(threads, product, batch, scratch),
    }
}

/// Computes `dx = (W δ) ⊙ act'` in the `forms` of the next products, and in panels if `dx` is given.
///
/// `weights` is `[inputs + 1, outputs]` and `delta` holds the tiles of [`split::features`]. `below` is
/// what the activation derivative of the layer below is computed from, `[inputs, batch]` with an even
/// number of batch panels, and how. The threads of `crew` share the inputs, as in [`forward`].
pub fn backward_input(
    (isa, crew): (Isa, Crew<'_>),
    parts: Parts,
    weights: Panels<'_, f32>,
    delta: &[f32],
    below: (Panels<'_, f32>, impl Into<Slope>),
    forms: Forms<'_>,
    dx: Option<PanelsMut<'_, f32>>,
    scratch: &mut [f32],
) {
    checked_backward((isa, crew), parts, weights, delta, (below.0, below.1.into()), forms, dx, scratch);
}

/// [`backward_input`] without a type parameter, so that it is compiled in this crate.
fn checked_backward(
    threads: (Isa, Crew<'_>),
    parts: Parts,
    weights: Panels<'_, f32>,
    delta: &[f32],
    below: (Panels<'_, f32>, Slope),
    forms: Forms<'_>,
    mut dx: Option<PanelsMut<'_, f32>>,
    scratch: &mut [f32],
) {
    below.1.check();
    let batch_panels = below.0.count();
    assert!(
        weights.rows() == below.0.rows() + 1
            && batch_panels.is_multiple_of(2)
            && delta.len() == batch_panels.saturating_mul(split::panel_len(parts, weights.cols()))
            && forms.fit(parts, below.0.rows(), batch_panels)
            && dx.as_ref().is_none_or(|dx| dx.rows() == below.0.rows() && dx.cols() == below.0.cols())
            && scratch.len() >= scratch_len(parts, batch_panels),
        "backward_input: weights [{}, {}], delta {}, below [{}, {}], {forms:?}, scratch {}",
        weights.rows(),
        weights.cols(),
        delta.len(),
        below.0.rows(),
        below.0.cols(),
        scratch.len(),
    );
    let dx = dx.as_mut().map(|dx| DisjointSlice::new(dx.data()));
    let product = backward::Backward { weights, below, forms: Written::new(Some(forms)), dx };
    let (batch, scratch) = ((delta, batch_panels / 2), (scratch, scratch_len(parts, batch_panels)));
    match parts {
        Parts::One => share::<_, 1>(threads, product, batch, scratch),
        Parts::Three => share::<_, 3>(threads, product, batch, scratch),
    }
}

/// One operand of [`weight_gradient`]: the tiles of [`split::inputs`] or [`split::transposed`] for a
/// whole batch.
#[derive(Clone, Copy, Debug)]
pub struct PairedTiles<'a> {
    /// The memory that contains the tiles.
    pub data: &'a [f32],
    /// Where the tiles of the first two batch panels start.
    pub offset: usize,
    /// Distance from there to those of the next two.
    pub stride: usize,
    /// Number of pairs of batch panels.
    pub pairs: usize,
}

impl PairedTiles<'_> {
    fn holds(&self, len: usize) -> bool {
        let Some(others) = self.pairs.checked_sub(1) else { return true };
        let start = others.checked_mul(self.stride).and_then(|start| start.checked_add(self.offset));
        start.and_then(|start| start.checked_add(len)).is_some_and(|end| end <= self.data.len())
    }
}

/// Finishes the gradient of a range of a layer's parameters and passes it to `rule`. `range.rows` starts
/// at a multiple of 16; otherwise like [`crate::gemm::weight_gradient`].
pub fn weight_gradient(
    isa: Isa,
    parts: Parts,
    inputs: usize,
    range: &WeightRange,
    x: PairedTiles<'_>,
    delta: PairedTiles<'_>,
    rule: Rule<f32>,
    weights: &mut [f32],
    state: &mut [f32],
) {
    assert!(
        range.rows.start <= range.rows.end
            && range.rows.start.is_multiple_of(LINE)
            && range.rows.end <= inputs.saturating_add(1)
            && range.panels.start <= range.panels.end
            && range.checked_elements::<f32>() == Some(weights.len())
            && state.len() == weights.len() * rule.state_per_parameter()
            && x.pairs == delta.pairs
            && x.holds(split::pair_len(parts, inputs))
            && delta.holds(range.panels.end.saturating_mul(parts.count() * TILE)),
        "weight_gradient: {range:?} of {inputs} inputs, {} weights, {} of state, {} and {} pairs",
        weights.len(),
        state.len(),
        x.pairs,
        delta.pairs,
    );
    match parts {
        Parts::One => {
            run(isa, gradient::WeightGradient::<1> { inputs, range, x, delta, rule, weights, state });
        }
        Parts::Three => {
            run(isa, gradient::WeightGradient::<3> { inputs, range, x, delta, rule, weights, state });
        }
    }
}

/// An [`Operand`] that knows where it ends.
#[derive(Clone, Copy)]
struct Tiles<'a> {
    data: &'a [f32],
    stride: usize,
    step: usize,
    passes: bool,
}

impl Tiles<'_> {
    #[inline(always)]
    fn from(self, offset: usize) -> Self {
        Tiles { data: &self.data[offset..], ..self }
    }

    #[inline(always)]
    fn operand(self, across: usize, depth: usize, parts: usize) -> Operand {
        if depth > 0 {
            let product = |count: usize, each: usize| (count - 1).checked_mul(each);
            let end = product(across, self.stride)
                .zip(product(depth, self.step))
                .and_then(|(across, depth)| across.checked_add(depth)?.checked_add(parts * TILE));
            assert!(end.is_some_and(|end| end <= self.data.len()), "tiles end at {}", self.data.len());
        }
        Operand { start: self.data.as_ptr(), stride: self.stride, step: self.step, passes: self.passes }
    }
}

/// [`TileUnit::block`] with bounds checks.
#[inline(always)]
fn block<U: TileUnit, A: Interleaved, const PARTS: usize, const M: usize, const N: usize>(
    unit: U,
    depth: usize,
    a: Tiles<'_>,
    b: Tiles<'_>,
    sums: &mut [f32],
    fresh: bool,
    interleaved: &mut A,
) {
    assert!(sums.len() >= 4 * TILE);
    let (a, b) = (a.operand(M, depth, PARTS), b.operand(N, depth, PARTS));
    // SAFETY: the sums hold four tiles; `operand` has checked the last tile of the last step, and all
    // others come before it.
    unsafe { unit.block::<A, PARTS, M, N>(depth, a, b, sums.as_mut_ptr(), fresh, interleaved) }
}
