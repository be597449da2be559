//! The weight gradient of a convolution: for each kernel position, input channel and output channel, a
//! sum over pairs of pixels in which each row of the batch has its own lane. The lanes are summed at the
//! end.

use std::ops::Range;

use crate::gemm::{BatchPanels, pieces};
use crate::panel::{MAX_PANEL, Panels, panel_count};
use crate::simd::{Element, Kernel, Simd};
use crate::update::{Rule, Target};
use crate::workspace::Line;

use super::{Conv, Tap};

/// Input channels of a tile with four output channels, on instruction sets with many registers and with
/// few.
const ROWS: [usize; 2] = [6, 3];
/// Maximum number of input channels of a tile.
const MAX_ROWS: usize = 16;

/// See [`Conv::weight_gradient`].
#[allow(unnameable_types, reason = "the argument of a closed trait")]
pub struct PanelGradients<'a, T> {
    pub(super) conv: &'a Conv,
    pub(super) x: Panels<'a, T>,
    pub(super) delta: Panels<'a, T>,
    /// Elements of `gradients` per batch panel: panel rows of the parameters, from panel row `first` on.
    pub(super) panel_len: usize,
    pub(super) first: usize,
    pub(super) gradients: &'a mut [T],
}

impl<T: Element> Kernel<T> for PanelGradients<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let PanelGradients { conv, x, delta, panel_len, first: first_line, gradients } = self;
        let (inputs, outputs) = (conv.input.group, conv.output.channels);
        let side = T::PANEL * T::PANEL;
        let lines_per_panel = conv.weight_rows() + 1;
        let end_line = first_line + panel_len / T::PANEL;
        let rows_at_once = if S::WIDE_TILE_ROWS > 0 { ROWS[0] } else { ROWS[1] };
        for (index, gradients) in gradients.chunks_exact_mut(panel_len).enumerate() {
            let lanes = x.lanes(index);
            for panel in 0..panel_count::<T>(outputs) {
                let width = T::PANEL.min(outputs - panel * T::PANEL);
                // The part of a range of this panel's lines that is requested.
                let start = panel * lines_per_panel;
                let wanted = |lines: Range<usize>| {
                    lines.start.max(first_line.saturating_sub(start))
                        ..lines.end.min(end_line.saturating_sub(start))
                };
                if wanted(0..lines_per_panel).is_empty() {
                    continue;
                }
                // For each input channel, one line per output channel, whose lanes are the rows of the
                // batch.
                let mut lines = [Line::default(); MAX_ROWS * MAX_PANEL];
                let sums: &mut [T] = bytemuck::cast_slice_mut(&mut lines);
                for at in 0..conv.kernel_positions {
                    let channels = wanted(at * inputs..(at + 1) * inputs);
                    // If one side has few channels, a tile takes many of the other.
                    let most = match (inputs, width) {
                        (..4, _) => 1,
                        (_, ..4) if channels.len().is_multiple_of(MAX_ROWS) => MAX_ROWS,
                        _ => rows_at_once,
                    };
                    for (first, rows) in pieces(channels.len(), most) {
                        let line = start + channels.start + first - first_line;
                        let first = channels.start + first - at * inputs;
                        let pairs = Pairs {
                            list: conv.pairs.of(at),
                            x: x.panel(index),
                            x_pixels: conv.input.pixels,
                            x_stride: conv.input.channels * T::PANEL,
                            delta: delta.panel(index),
                            delta_pixels: conv.output.pixels,
                            delta_stride: outputs * T::PANEL,
                        };
                        let mut channel = 0;
                        while channel < width {
                            let of_all = panel * T::PANEL + channel;
                            let (group, place) = (of_all / conv.output.group, of_all % conv.output.group);
                            let left = (width - channel).min(conv.output.group - place);
                            let columns = match rows {
                                1 if left >= 16 && S::WIDE_TILE_ROWS > 0 => 16,
                                ..7 if left >= 4 => 4,
                                _ => 1,
                            };
                            let sums = &mut sums[channel * T::PANEL..];
                            pairs.tile(s, lanes, (rows, columns), group * inputs + first, of_all, sums);
                            channel += columns;
                        }
                        for (row, sums) in sums.chunks_exact(side).take(rows).enumerate() {
                            let line = (line + row) * T::PANEL;
                            across(s, sums, width, lanes, &mut gradients[line..][..T::PANEL]);
                        }
                    }
                }
                for line in wanted(conv.weight_rows()..lines_per_panel) {
                    bias(s, conv, delta.panel(index), panel * T::PANEL, &mut sums[..width * T::PANEL]);
                    let line = (start + line - first_line) * T::PANEL;
                    across(s, sums, width, lanes, &mut gradients[line..][..T::PANEL]);
                }
            }
        }
    }
}

/// Sums `delta` over the pixels, for the channels from `first` on, one line each.
#[inline(always)]
fn bias<T: Element, S: Simd<T>>(s: S, conv: &Conv, delta: &[T], first: usize, sums: &mut [T]) {
    sums.fill(T::ZERO);
    for pixel in delta.chunks_exact(conv.output.channels * T::PANEL) {
        let lines = &pixel[first * T::PANEL..][..sums.len()];
        for (sum, line) in sums.chunks_exact_mut(S::LANES).zip(lines.chunks_exact(S::LANES)) {
            s.store(s.add(s.load(sum), s.load(line)), sum);
        }
    }
}

/// Sums the first `lanes` lanes of each of `width` lines, in order, and writes the sums next to each
/// other, followed by zeros. Lines beyond `width` must be zero.
#[inline(always)]
fn across<T: Element, S: Simd<T>>(s: S, lines: &[T], width: usize, lanes: usize, out: &mut [T]) {
    if width < 4 {
        out.fill(T::ZERO);
        for (sum, line) in out.iter_mut().zip(lines.chunks_exact(T::PANEL)).take(width) {
            *sum = line[..lanes].iter().fold(T::ZERO, |sum, value| sum + *value);
        }
        return;
    }
    let mut transposed = [T::ZERO; MAX_PANEL * MAX_PANEL];
    s.transpose(&lines[..T::PANEL * T::PANEL], T::PANEL, &mut transposed, T::PANEL);
    for at in (0..T::PANEL).step_by(S::LANES) {
        let mut sum = s.splat(T::ZERO);
        for line in transposed.chunks_exact(T::PANEL).take(lanes) {
            sum = s.add(sum, s.load(&line[at..]));
        }
        s.store(sum, &mut out[at..]);
    }
}

/// The pairs of pixels of a kernel position, and one batch panel of either side.
struct Pairs<'a, T> {
    list: &'a [Tap],
    x: &'a [T],
    x_pixels: usize,
    x_stride: usize,
    delta: &'a [T],
    delta_pixels: usize,
    delta_stride: usize,
}

impl<T: Element> Pairs<'_, T> {
    /// Computes the sums of the `rows` input channels from `first` on and the `columns` output channels
    /// from `channel` on. The sums of an input channel are consecutive lines of `sums`, a whole square
    /// before those of the next. Vectors without any of the first `lanes` lanes are left unchanged.
    #[inline(always)]
    fn tile<S: Simd<T>>(
        &self,
        s: S,
        lanes: usize,
        (rows, columns): (usize, usize),
        first: usize,
        channel: usize,
        sums: &mut [T],
    ) {
        let side = T::PANEL * T::PANEL;
        let (x_at, delta_at) = (first * T::PANEL, channel * T::PANEL);
        assert!(
            (self.x_pixels - 1) * self.x_stride + x_at + rows * T::PANEL <= self.x.len()
                && (self.delta_pixels - 1) * self.delta_stride + delta_at + columns * T::PANEL
                    <= self.delta.len()
                && (rows - 1) * side + columns * T::PANEL <= sums.len()
        );
        let start = (x_at, delta_at);
        assert!(lanes <= T::PANEL);
        for lane in (0..lanes).step_by(S::LANES) {
            // SAFETY: lists name pixels below `x_pixels` and `delta_pixels` (`Conv::new`), so the
            // assertion keeps all lines of the tile inside their slices; each `lane` is at least a whole
            // vector before the end of its line.
            unsafe {
                match (rows, columns) {
                    (1, 16) => self.outer::<S, 1, 16>(s, start, lane, sums),
                    (16, 1) => self.outer::<S, 16, 1>(s, start, lane, sums),
                    (1, 4) => self.outer::<S, 1, 4>(s, start, lane, sums),
                    (2, 4) => self.outer::<S, 2, 4>(s, start, lane, sums),
                    (3, 4) => self.outer::<S, 3, 4>(s, start, lane, sums),
                    (4, 4) => self.outer::<S, 4, 4>(s, start, lane, sums),
                    (5, 4) => self.outer::<S, 5, 4>(s, start, lane, sums),
                    (6, 4) => self.outer::<S, 6, 4>(s, start, lane, sums),
                    (1, 1) => self.outer::<S, 1, 1>(s, start, lane, sums),
                    (2, 1) => self.outer::<S, 2, 1>(s, start, lane, sums),
                    (3, 1) => self.outer::<S, 3, 1>(s, start, lane, sums),
                    (4, 1) => self.outer::<S, 4, 1>(s, start, lane, sums),
                    (5, 1) => self.outer::<S, 5, 1>(s, start, lane, sums),
                    (6, 1) => self.outer::<S, 6, 1>(s, start, lane, sums),
                    _ => unreachable!("a tile of {rows} by {columns} channels"),
                }
            }
        }
    }

    /// # Safety
    /// For every pixel of the list, the `R` lines from `x_at` on lie inside `x` and the `C` lines from
    /// `delta_at` on inside `delta`; the lines of the tile lie inside `sums`; `lane + LANES` is at most
    /// the length of a line.
    #[inline(always)]
    unsafe fn outer<S: Simd<T>, const R: usize, const C: usize>(
        &self,
        s: S,
        (x_at, delta_at): (usize, usize),
        lane: usize,
        sums: &mut [T],
    ) {
        let x = self.x.as_ptr().wrapping_add(x_at + lane);
        let delta = self.delta.as_ptr().wrapping_add(delta_at + lane);
        let mut acc = [[s.splat(T::ZERO); C]; R];
        for tap in self.list {
            // SAFETY: the caller's obligation, for this pair.
            unsafe {
                let x = x.add(tap.pixel as usize * self.x_stride);
                let delta = delta.add(tap.other as usize * self.delta_stride);
                let mut b = [s.splat(T::ZERO); C];
                for j in 0..C {
                    b[j] = s.load_ptr(delta.add(j * T::PANEL));
                }
                for i in 0..R {
                    let a = s.load_ptr(x.add(i * T::PANEL));
                    for j in 0..C {
                        acc[i][j] = s.mul_add(a, b[j], acc[i][j]);
                    }
                }
            }
        }
        for i in 0..R {
            for j in 0..C {
                let at = i * T::PANEL * T::PANEL + j * T::PANEL + lane;
                // SAFETY: the caller's obligation.
                unsafe { s.store_ptr(acc[i][j], sums.as_mut_ptr().add(at)) }
            }
        }
    }
}

/// See [`super::sum_gradients`].
pub(super) struct OverBatch<'a, T> {
    pub(super) gradients: BatchPanels<'a, T>,
    pub(super) first: usize,
    pub(super) rule: Rule<T>,
    pub(super) weights: &'a mut [T],
    pub(super) state: &'a mut [T],
}

impl<T: Element> Kernel<T> for OverBatch<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let OverBatch { gradients, first, rule, weights, state } = self;
        let lines = weights.len() / T::PANEL;
        let mut target = Target { rule, weights, state };
        let mut sums = [T::ZERO; MAX_PANEL];
        for line in 0..lines {
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut sum = s.splat(T::ZERO);
                for panel in 0..gradients.count() {
                    let at = gradients.start(panel) + first + line * T::PANEL + lane;
                    sum = s.add(sum, s.load(&gradients.data[at..]));
                }
                s.store(sum, &mut sums[lane..]);
            }
            target.update(s, line * T::PANEL, &sums[..T::PANEL]);
        }
    }
}
