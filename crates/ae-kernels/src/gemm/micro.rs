//! The register tile: `R` scalars times `NV` vectors per step, with `R * NV` sums in registers.
//!
//! ```text
//! acc = start
//! for each step p:   b[j] = vector j of line p            (along the panel row of the vector operand)
//!                    for each row i:  acc[i][j] += scalar(p, i) * b[j]
//! out = acc
//! ```
//!
//! A panel row is `T::PANEL / S::LANES` vectors, so a tile over one panel has that many vectors, and a
//! wide tile, over two panels, twice as many. Row counts are compile-time constants, so that the sums
//! stay in registers; `by_rows` is the one place that turns the run-time count into the constant.

use std::ops::Range;

use super::BatchPanels;
use crate::panel::{Lines, LinesMut, MAX_PANEL};
use crate::simd::{Element, Simd};

/// What the sums start from.
#[derive(Clone, Copy)]
pub(super) enum Start<'a, T> {
    Zero,
    /// Scalar `i` for all of row `i`.
    Splat(&'a [T]),
    /// What an earlier block of steps left in the output.
    Load,
}

/// What is done to finished sums on their way to the output, if it is done here rather than by a pass
/// over the output.
#[derive(Clone, Copy)]
pub(super) enum Finish<'a, T> {
    Nothing,
    /// ReLU.
    Rectify,
    /// Multiplication by the derivative of ReLU, computed from these lines of its output.
    KeepPositive(Lines<'a, T>),
}

/// The two operands of a tile that is stored.
///
/// Step `p` is step `p % segment_steps` of segment `p / segment_steps`. Its scalars are at
/// `scalar_segment * segment + scalar_step * (p % segment_steps) + scalar_row * i`, its vectors are line
/// `p` in each panel of `vectors`.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a, T> {
    pub(super) scalars: &'a [T],
    pub(super) scalar_step: usize,
    pub(super) scalar_row: usize,
    pub(super) scalar_segment: usize,
    pub(super) vectors: Lines<'a, T>,
    pub(super) steps: usize,
    pub(super) segment_steps: usize,
}

/// A tile of `rows` lines in each of `panels` panels of the output; or, if `half`, in the first of the
/// two vectors of the lines of a single panel.
pub(super) struct Tile<'a, T> {
    pub(super) rows: usize,
    pub(super) panels: usize,
    pub(super) half: bool,
    pub(super) start: Start<'a, T>,
    pub(super) operand: Operand<'a, T>,
    pub(super) finish: Finish<'a, T>,
    pub(super) out: LinesMut<'a, T>,
}

/// Computes the tile and writes it to its output.
#[inline(always)]
pub(super) fn store_tile<T: Element, S: Simd<T>>(s: S, tile: Tile<'_, T>) {
    let Operand { scalars, scalar_step, scalar_row, scalar_segment, vectors, steps, segment_steps } =
        tile.operand;
    let (rows, panels) = (tile.rows, tile.panels);
    if rows == 0 || panels == 0 {
        return;
    }
    if steps > 0 {
        let segments = steps.div_ceil(segment_steps);
        let last_scalar = (segments - 1) * scalar_segment
            + (segment_steps.min(steps) - 1) * scalar_step
            + (rows - 1) * scalar_row;
        assert!(last_scalar < scalars.len() && vectors.hold(panels, steps));
    }
    assert!(tile.out.hold(panels, rows));
    if let Start::Splat(from) = tile.start {
        assert!(rows <= from.len());
    }
    if let Finish::KeepPositive(y) = tile.finish {
        assert!(y.hold(panels, rows));
    }
    let vectors_per_line = T::PANEL / S::LANES;
    // SAFETY: the largest offset into the scalars is that of the last step and row, which is inside;
    // otherwise `Stored` touches the first lines of panels that hold them, as asserted.
    unsafe {
        if panels == 1 && (vectors_per_line == 1 || tile.half) {
            by_rows::<T, S, _, 1>(s, rows, Stored(tile));
        } else if panels * vectors_per_line == 2 {
            by_rows::<T, S, _, 2>(s, rows, Stored(tile));
        } else {
            unreachable!("tiles of {panels} panels of {vectors_per_line} vectors");
        }
    }
}

/// The two operands of a weight gradient, which sums over the batch.
#[derive(Clone, Copy)]
pub(super) struct BatchOperand<'a, T> {
    /// Scalars: line `k` of a batch panel holds input `k` of its rows.
    pub(super) x: BatchPanels<'a, T>,
    /// Vectors: line `r` of the square at `delta_at` of a batch panel holds the deltas of row `r`.
    pub(super) delta: BatchPanels<'a, T>,
    pub(super) delta_at: usize,
}

/// Walks the batch panels of a span in order: where `x` and the square of `delta` start, and how many
/// rows are left. A struct, because a closure is not reliably inlined into the function that is compiled
/// for the instruction set.
#[derive(Clone, Copy)]
struct BatchWalk {
    left: usize,
    x: usize,
    delta: usize,
    panel: usize,
    block_panels: usize,
    x_len: usize,
    delta_len: usize,
    x_to_next_block: usize,
    delta_to_next_block: usize,
}

impl BatchWalk {
    #[inline(always)]
    fn over<T: Element>(source: &BatchOperand<'_, T>, span: &Range<usize>) -> BatchWalk {
        let BatchOperand { x, delta, delta_at } = source;
        let rows = x.rows.min(span.end * T::PANEL);
        let gap = |of: &BatchPanels<'_, T>| of.block_len.wrapping_sub(of.block_panels * of.panel_len);
        BatchWalk {
            left: rows.saturating_sub(span.start * T::PANEL),
            x: x.start(span.start),
            delta: delta.start(span.start) + delta_at,
            panel: span.start % x.block_panels,
            block_panels: x.block_panels,
            x_len: x.panel_len,
            delta_len: delta.panel_len,
            x_to_next_block: gap(x),
            delta_to_next_block: gap(delta),
        }
    }

    /// Rows of the current panel.
    #[inline(always)]
    fn rows<T: Element>(&self) -> usize {
        self.left.min(T::PANEL)
    }

    /// Moves past these rows to the next panel.
    #[inline(always)]
    fn advance(&mut self, rows: usize) {
        self.left -= rows;
        self.x = self.x.wrapping_add(self.x_len);
        self.delta = self.delta.wrapping_add(self.delta_len);
        self.panel += 1;
        if self.panel == self.block_panels {
            self.panel = 0;
            self.x = self.x.wrapping_add(self.x_to_next_block);
            self.delta = self.delta.wrapping_add(self.delta_to_next_block);
        }
    }
}

/// Where gradient tiles leave their sums: one line per input, with the lines of each panel of outputs
/// `panel` elements after those of the one before.
pub(super) struct Sums<'a, T> {
    pub(super) lines: &'a mut [T],
    pub(super) panel: usize,
    pub(super) end: End<T>,
}

/// What is done with finished sums.
#[derive(Clone, Copy)]
pub(super) enum End<T> {
    /// They replace the lines.
    Store,
    /// They are added to the lines, which hold the sums of other rows.
    Add,
    /// A step of gradient descent: the lines are the parameters, from which `step` times the sums is
    /// subtracted.
    Descend { step: T },
}

/// Sums the products of the batch panels of `span` to the gradients of `inputs` for `outputs` outputs,
/// at most as many as a tile has. If one vector holds all outputs, the rest of each line is padding: no
/// products are computed for it, its sums are zero, and a descent leaves it unchanged.
///
/// # Safety
/// The caller has checked that both operands of `source` hold all their panels, as many rows as each
/// other, and blocks of as many panels: a walk goes through both by those of `x`.
#[inline(always)]
pub(super) unsafe fn gradient_tiles<T: Element, S: Simd<T>>(
    s: S,
    inputs: Range<usize>,
    outputs: usize,
    source: BatchOperand<'_, T>,
    span: Range<usize>,
    sums: Sums<'_, T>,
) {
    let Sums { lines, panel, end } = sums;
    let panels = outputs.div_ceil(T::PANEL);
    let side = T::PANEL * T::PANEL;
    let count = inputs.len();
    let end_of_lines = (panels - 1).checked_mul(panel).and_then(|at| at.checked_add(count * T::PANEL));
    assert!(count > 0 && panels > 0 && end_of_lines.is_some_and(|end| end <= lines.len()));
    assert!(inputs.end * T::PANEL <= source.x.panel_len && span.end <= source.x.count());
    assert!(source.delta_at + panels * side <= source.delta.panel_len);
    let vectors = if outputs <= S::LANES { 1 } else { panels * (T::PANEL / S::LANES) };
    let tiles = count.div_ceil(row_limit::<T, S>(vectors));
    // First the tiles with one input more, then the others.
    let (rows, larger) = (count / tiles, count % tiles);
    let mut first = 0;
    for (tiles, rows) in [(larger, rows + 1), (tiles - larger, rows)] {
        if tiles == 0 {
            continue;
        }
        let lines = &mut lines[first * T::PANEL..];
        let sums = Sums { lines, panel, end };
        let body = Gradients { first: inputs.start + first, tiles, panels, source, span: span.clone(), sums };
        first += tiles * rows;
        // SAFETY: every panel, `panel_len` elements from its start, lies inside its data by
        // `BatchPanels::assert_holds_all`; the lines of `inputs` in `x` and the squares from `delta_at`
        // on in `delta` lie inside a panel (asserted above); the sums have a line for each of these
        // inputs and panels.
        unsafe {
            if vectors == 1 {
                by_rows::<T, S, _, 1>(s, rows, body);
            } else if vectors == 2 {
                by_rows::<T, S, _, 2>(s, rows, body);
            } else {
                unreachable!("tiles of {panels} panels of {} vectors", T::PANEL / S::LANES);
            }
        }
    }
}

/// Adds the batch to the gradients of the biases of `panels` panels of outputs, at most [`BIASES`]. The
/// "input" of a bias is one for every row, so its gradient is the sum of the deltas. Each panel's sums
/// are the first `PANEL` elements of its array.
///
/// # Safety
/// The caller has checked that both operands of `source` hold all their panels, as many rows as each
/// other, and blocks of as many panels: a walk goes through both by those of `x`.
#[inline(always)]
pub(super) unsafe fn bias_gradients<T: Element, S: Simd<T>>(
    s: S,
    panels: usize,
    source: BatchOperand<'_, T>,
    sums: &mut [[T; MAX_PANEL]; BIASES],
) {
    assert!(source.delta_at + panels * T::PANEL * T::PANEL <= source.delta.panel_len);
    // SAFETY: every panel, `panel_len` elements from its start, lies inside the data by
    // `BatchPanels::assert_holds_all`, and holds that many squares from `delta_at` on (asserted above).
    unsafe {
        match panels {
            0 => {}
            1 => sum_lines::<T, S, 1>(s, source, sums),
            2 => sum_lines::<T, S, 2>(s, source, sums),
            3 => sum_lines::<T, S, 3>(s, source, sums),
            4 => sum_lines::<T, S, 4>(s, source, sums),
            _ => unreachable!("biases of {panels} panels"),
        }
    }
}

/// Panels of outputs whose biases are summed together: each sum is a chain of additions, and a single
/// chain would wait for its own latency.
pub(super) const BIASES: usize = 4;

/// # Safety
/// Each batch panel of `source.delta` has `N` squares from `delta_at` on.
#[inline(always)]
unsafe fn sum_lines<T: Element, S: Simd<T>, const N: usize>(
    s: S,
    source: BatchOperand<'_, T>,
    sums: &mut [[T; MAX_PANEL]; BIASES],
) {
    let per_line = T::PANEL / S::LANES;
    let mut acc = [[s.splat(T::ZERO); 2]; N];
    for n in 0..N {
        for j in 0..per_line {
            acc[n][j] = s.load(&sums[n][j * S::LANES..]);
        }
    }
    let mut walk = BatchWalk::over(&source, &(0..source.x.count()));
    while walk.left > 0 {
        let rows = walk.rows::<T>();
        for row in 0..rows {
            for n in 0..N {
                for j in 0..per_line {
                    let at = walk.delta + (n * T::PANEL + row) * T::PANEL + j * S::LANES;
                    // SAFETY: line `row` of square `n`; a square has `PANEL` lines, and `row` is less.
                    let line = unsafe { s.load_ptr(source.delta.data.as_ptr().add(at)) };
                    acc[n][j] = s.add(acc[n][j], line);
                }
            }
        }
        walk.advance(rows);
    }
    for n in 0..N {
        for j in 0..per_line {
            s.store(acc[n][j], &mut sums[n][j * S::LANES..]);
        }
    }
}

/// The work on a tile of `R` rows and `NV` vectors.
pub(crate) trait Body<T: Element, S: Simd<T>> {
    /// # Safety
    /// The offsets that a tile of `R` rows and `NV` vectors reaches lie inside the slices of the
    /// implementor.
    unsafe fn run<const R: usize, const NV: usize>(self, s: S);
}

/// Maximum number of rows of a tile of `vectors` vectors.
const fn row_limit<T: Element, S: Simd<T>>(vectors: usize) -> usize {
    if vectors * S::LANES == T::PANEL {
        S::TILE_ROWS
    } else if vectors * S::LANES < T::PANEL {
        S::HALF_TILE_ROWS
    } else {
        S::WIDE_TILE_ROWS
    }
}

/// Runs the body compiled for this number of rows.
///
/// # Safety
/// As for [`Body::run`] with `R = rows`.
#[inline(always)]
pub(crate) unsafe fn by_rows<T: Element, S: Simd<T>, B: Body<T, S>, const NV: usize>(
    s: S,
    rows: usize,
    body: B,
) {
    // SAFETY: the caller's obligation, for exactly this number of rows.
    unsafe {
        match rows {
            1 => at_most::<T, S, B, 1, NV>(s, body),
            2 => at_most::<T, S, B, 2, NV>(s, body),
            3 => at_most::<T, S, B, 3, NV>(s, body),
            4 => at_most::<T, S, B, 4, NV>(s, body),
            5 => at_most::<T, S, B, 5, NV>(s, body),
            6 => at_most::<T, S, B, 6, NV>(s, body),
            7 => at_most::<T, S, B, 7, NV>(s, body),
            8 => at_most::<T, S, B, 8, NV>(s, body),
            9 => at_most::<T, S, B, 9, NV>(s, body),
            10 => at_most::<T, S, B, 10, NV>(s, body),
            11 => at_most::<T, S, B, 11, NV>(s, body),
            12 => at_most::<T, S, B, 12, NV>(s, body),
            13 => at_most::<T, S, B, 13, NV>(s, body),
            14 => at_most::<T, S, B, 14, NV>(s, body),
            15 => at_most::<T, S, B, 15, NV>(s, body),
            16 => at_most::<T, S, B, 16, NV>(s, body),
            _ => unreachable!("a tile of {rows} rows"),
        }
    }
}

/// Keeps tiles that this instruction set never asks for, half of all, out of the program. The condition
/// is a constant, so that they are not even instantiated.
///
/// # Safety
/// As for [`Body::run`].
#[inline(always)]
unsafe fn at_most<T: Element, S: Simd<T>, B: Body<T, S>, const R: usize, const NV: usize>(s: S, body: B) {
    if const { R <= row_limit::<T, S>(NV) } {
        // SAFETY: the caller's obligation.
        unsafe { body.run::<R, NV>(s) }
    } else {
        unreachable!("tiles have at most {} rows", row_limit::<T, S>(NV));
    }
}

/// `acc[i][j] += scalars[p * scalar_step + i * scalar_row] * (vector j of line p)` for `p < steps`, in
/// order.
///
/// # Safety
/// - `scalars` is valid for reading at every `p * scalar_step + i * scalar_row` with `p < steps`,
///   `i < R`;
/// - `vectors` is valid for reading `steps * T::PANEL` elements, and so is `vectors + vector_panel` for
///   a wide tile.
#[inline(always)]
pub(crate) unsafe fn accumulate<T: Element, S: Simd<T>, const R: usize, const NV: usize>(
    s: S,
    steps: usize,
    scalars: *const T,
    scalar_step: usize,
    scalar_row: usize,
    vectors: *const T,
    vector_panel: usize,
    acc: &mut [[S::V; NV]; R],
) {
    let per_line = T::PANEL / S::LANES;
    for p in 0..steps {
        // SAFETY: both obligations of the caller, at step `p`.
        unsafe {
            let line = vectors.add(p * T::PANEL);
            let mut b = [s.splat(T::ZERO); NV];
            for j in 0..NV {
                b[j] = s.load_ptr(line.add(j / per_line * vector_panel + j % per_line * S::LANES));
            }
            let scalar = scalars.add(p * scalar_step);
            for i in 0..R {
                let a = s.splat(*scalar.add(i * scalar_row));
                for j in 0..NV {
                    acc[i][j] = s.mul_add(a, b[j], acc[i][j]);
                }
            }
        }
    }
}

/// Offset of vector `j` of row `i` of a tile in its output.
#[inline(always)]
pub(crate) fn place<T: Element, S: Simd<T>>(i: usize, j: usize, panel: usize) -> usize {
    let per_line = T::PANEL / S::LANES;
    j / per_line * panel + i * T::PANEL + j % per_line * S::LANES
}

struct Stored<'a, T>(Tile<'a, T>);

impl<T: Element, S: Simd<T>> Body<T, S> for Stored<'_, T> {
    #[inline(always)]
    unsafe fn run<const R: usize, const NV: usize>(self, s: S) {
        let Tile { start, operand, finish, out, .. } = self.0;
        let (out, out_panel) = out.place();
        let mut acc = [[s.splat(T::ZERO); NV]; R];
        for i in 0..R {
            for j in 0..NV {
                // SAFETY: `store_tile` checked that there are `R` scalars, and that the output has these
                // lines.
                unsafe {
                    match start {
                        Start::Zero => {}
                        Start::Splat(from) => acc[i][j] = s.splat(*from.get_unchecked(i)),
                        Start::Load => {
                            acc[i][j] = s.load_ptr(out.add(place::<T, S>(i, j, out_panel)));
                        }
                    }
                }
            }
        }
        let mut scalars = operand.scalars.as_ptr();
        let (mut vectors, vector_panel) = operand.vectors.place();
        let mut left = operand.steps;
        while left > 0 {
            let steps = left.min(operand.segment_steps);
            // SAFETY: `store_tile` checked the last scalar of the last segment and the number of lines.
            unsafe {
                accumulate::<T, S, R, NV>(
                    s,
                    steps,
                    scalars,
                    operand.scalar_step,
                    operand.scalar_row,
                    vectors,
                    vector_panel,
                    &mut acc,
                );
            }
            left -= steps;
            if left > 0 {
                // SAFETY: there are further steps, so the next segment starts inside both operands.
                unsafe {
                    scalars = scalars.add(operand.scalar_segment);
                    vectors = vectors.add(steps * T::PANEL);
                }
            }
        }
        let zero = s.splat(T::ZERO);
        match finish {
            Finish::Nothing => {}
            // NaN passes through, since `max` returns its second operand. Loops, because a closure is
            // not reliably inlined into the function that is compiled for the instruction set.
            Finish::Rectify => {
                for i in 0..R {
                    for j in 0..NV {
                        acc[i][j] = s.max(zero, acc[i][j]);
                    }
                }
            }
            Finish::KeepPositive(y) => {
                let (y, y_panel) = y.place();
                for i in 0..R {
                    for j in 0..NV {
                        // SAFETY: `store_tile` checked that there are as many lines as in the tile.
                        let y = unsafe { s.load_ptr(y.add(place::<T, S>(i, j, y_panel))) };
                        acc[i][j] = s.zero_unless_lt(zero, y, acc[i][j]);
                    }
                }
            }
        }
        for i in 0..R {
            for j in 0..NV {
                // SAFETY: `store_tile` checked that the output has these lines.
                unsafe { s.store_ptr(acc[i][j], out.add(place::<T, S>(i, j, out_panel))) }
            }
        }
    }
}

/// Lines that each tile prefetches of a batch panel's deltas for the next panels of outputs. A chunk of
/// 48 inputs is eight tiles of six inputs, so all 16 lines of a square have been prefetched by its end.
/// On AVX-512, where 192 inputs are sixteen tiles over two squares, it makes no difference.
const DELTAS_AHEAD: usize = 2;

struct Gradients<'a, T> {
    first: usize,
    tiles: usize,
    /// Panels of outputs that are processed together.
    panels: usize,
    source: BatchOperand<'a, T>,
    span: Range<usize>,
    sums: Sums<'a, T>,
}

impl<T: Element, S: Simd<T>> Body<T, S> for Gradients<'_, T> {
    #[inline(always)]
    unsafe fn run<const R: usize, const NV: usize>(self, s: S) {
        let Gradients { first, tiles, panels, source, span, sums } = self;
        let Sums { lines, panel, end } = sums;
        let start = BatchWalk::over(&source, &span);
        let (x_data, delta_data) = (source.x.data.as_ptr(), source.delta.data.as_ptr());
        for tile in 0..tiles {
            let lines = lines[tile * R * T::PANEL..].as_mut_ptr();
            let input = (first + tile * R) * T::PANEL;
            let mut acc = [[s.splat(T::ZERO); NV]; R];
            if let End::Add = end {
                for i in 0..R {
                    for j in 0..NV {
                        // SAFETY: the sums have `R` lines for each tile and panel.
                        acc[i][j] = unsafe { s.load_ptr(lines.add(place::<T, S>(i, j, panel))) };
                    }
                }
            }
            let mut walk = start;
            while walk.left > 0 {
                let rows = walk.rows::<T>();
                let scalars = x_data.wrapping_add(walk.x + input);
                // The inputs of one panel are far from those of the next, so the hardware does not
                // predict them; those of the next tile are prefetched one tile ahead.
                for i in 0..R {
                    s.prefetch(scalars.wrapping_add((R + i) * T::PANEL));
                }
                // So are the deltas for the next panels of outputs, which every one of their tiles
                // reads.
                let square = T::PANEL * T::PANEL;
                for line in tile * DELTAS_AHEAD..(tile + 1) * DELTAS_AHEAD {
                    s.prefetch(delta_data.wrapping_add(walk.delta + panels * square + line * T::PANEL));
                }
                // SAFETY: `gradient_tiles` argued that the lines of the tile's inputs in `x`, each with
                // `rows` elements to read, and `rows` lines of each square of `delta` lie inside their
                // panels.
                unsafe {
                    let vectors = delta_data.add(walk.delta);
                    accumulate::<T, S, R, NV>(s, rows, scalars, 1, T::PANEL, vectors, square, &mut acc);
                }
                walk.advance(rows);
            }
            if let End::Descend { step } = end {
                // The sums need not pass through memory, and what is left of the line stays.
                for i in 0..R {
                    for j in 0..NV {
                        // SAFETY: the parameters have `R` lines for each tile and panel.
                        unsafe {
                            let at = lines.add(place::<T, S>(i, j, panel));
                            s.store_ptr(s.neg_mul_add(s.splat(step), acc[i][j], s.load_ptr(at)), at);
                        }
                    }
                }
                continue;
            }
            for i in 0..R {
                for j in 0..NV {
                    // SAFETY: the sums have `R` lines for each tile and panel.
                    unsafe { s.store_ptr(acc[i][j], lines.add(place::<T, S>(i, j, panel))) }
                }
                for lane in (NV * S::LANES..T::PANEL).step_by(S::LANES) {
                    // SAFETY: as above; for half a panel, these are the lanes of the other half.
                    unsafe { s.store_ptr(s.splat(T::ZERO), lines.add(i * T::PANEL + lane)) }
                }
            }
        }
    }
}
