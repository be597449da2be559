//! Pixels as sums over their taps: the forward pass, and the backward pass to the input.

use crate::activation::{Epilogue, Slope, times_slope};
use crate::gemm::micro::{Body, accumulate, by_rows, place};
use crate::gemm::{Width, pieces};
use crate::panel::{Panels, PanelsMut};
use crate::simd::{Element, Kernel, Simd};

use super::{Conv, Tap};

/// What is done with the sums, which also determines the direction of the pass.
pub(super) enum Finish<'a, T> {
    Forward(Epilogue<'a, T>),
    Backward(Panels<'a, T>, Slope),
}

/// Computes the pixels of `to`, which start at pixel `first`, one after another from the pixels of
/// `from` that their lists name. The shapes have been checked.
#[allow(unnameable_types, reason = "the argument of a closed trait")]
pub struct Sums<'a, 'b, T> {
    pub(super) conv: &'a Conv,
    pub(super) weights: Panels<'a, T>,
    pub(super) from: Panels<'a, T>,
    pub(super) first: usize,
    pub(super) to: PanelsMut<'a, T>,
    pub(super) finish: Finish<'b, T>,
}

impl<T: Element> Kernel<T> for Sums<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let Sums { conv, weights, from, first: first_pixel, mut to, mut finish } = self;
        let (from_panel, to_panel) = (from.rows() * T::PANEL, to.rows() * T::PANEL);
        let batch_panels = from.count();
        let mut first = 0;
        while first < batch_panels {
            let width = Width::at::<T, S>(from.cols(), first);
            let panels = width.panels;
            let from = &from.data()[first * from_panel..][..panels * from_panel];
            let to = &mut to.data()[first * to_panel..][..panels * to_panel];
            let sizes = Sizes { width, from_panel, to_panel };
            match &mut finish {
                Finish::Forward(epilogue) => {
                    let line = conv.output.channels * T::PANEL;
                    for pixel in 0..to_panel / line {
                        let of_pixel = &mut to[pixel * line..];
                        one_pixel::<T, S, false>(
                            s,
                            conv,
                            weights,
                            first_pixel + pixel,
                            from,
                            of_pixel,
                            sizes,
                        );
                        for p in 0..panels {
                            let at = p * to_panel + pixel * line;
                            epilogue.finish(s, first * to_panel + at, &mut to[at..][..line]);
                        }
                    }
                }
                Finish::Backward(y, slope) => {
                    let line = conv.input.channels * T::PANEL;
                    for pixel in 0..to_panel / line {
                        let of_pixel = &mut to[pixel * line..];
                        one_pixel::<T, S, true>(s, conv, weights, first_pixel + pixel, from, of_pixel, sizes);
                        for p in 0..panels {
                            let at = p * to_panel + pixel * line;
                            let y = &y.data()[first * to_panel + at..][..line];
                            times_slope(s, *slope, y, &mut to[at..][..line]);
                        }
                    }
                }
            }
            first += panels;
        }
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    /// Size of the tiles over the panels of the batch that are processed together.
    width: Width,
    /// Elements per panel.
    from_panel: usize,
    to_panel: usize,
}

/// Computes all channels of a pixel of the output, from the bias; or with `BACK`, of the input, from
/// zero. They come first in `to`.
#[inline(always)]
fn one_pixel<T: Element, S: Simd<T>, const BACK: bool>(
    s: S,
    conv: &Conv,
    weights: Panels<'_, T>,
    pixel: usize,
    from: &[T],
    to: &mut [T],
    sizes: Sizes,
) {
    let (of_from, of_to) = if BACK { (conv.output, conv.input) } else { (conv.input, conv.output) };
    let taps = if BACK { conv.scatter.of(pixel) } else { conv.gather.of(pixel) };
    let panel_len = weights.rows() * T::PANEL;
    let mut channel = 0;
    while channel < of_to.channels {
        let (group, place) = (channel / of_to.group, channel % of_to.group);
        // As many channels as have adjacent scalars: those of the group and, forward, of the panel of
        // weights.
        let left = of_to.group - place;
        let left = if BACK { left } else { left.min(T::PANEL - channel % T::PANEL) };
        let first = group * of_from.group;
        let column = if BACK { first } else { channel };
        let scalars = &weights.data()[column / T::PANEL * panel_len..];
        for (more, rows) in pieces(left, sizes.width.most) {
            let lane = column % T::PANEL + if BACK { 0 } else { more };
            let row = if BACK { place + more } else { 0 };
            let sum = Sum::<T, BACK> {
                taps,
                bias: if BACK { &[] } else { &scalars[conv.weight_rows() * T::PANEL + lane..] },
                scalars: &scalars[row * T::PANEL..],
                scalars_stride: conv.input.group * T::PANEL,
                lane,
                vectors: &from[first * T::PANEL..],
                vectors_stride: of_from.channels * T::PANEL,
                vector_panel: sizes.from_panel,
                steps: of_from.group,
                lone: left == 1,
                panel_len,
                out: &mut to[(channel + more) * T::PANEL..],
                out_panel: sizes.to_panel,
            };
            run_sum(s, rows, sizes, of_from.pixels, conv.kernel_positions, sum);
        }
        channel += left;
    }
}

/// Checks what the loops below rely on and runs the sum.
#[inline(always)]
fn run_sum<T: Element, S: Simd<T>, const BACK: bool>(
    s: S,
    rows: usize,
    Sizes { width: Width { panels, half, .. }, .. }: Sizes,
    pixels: usize,
    kernel_positions: usize,
    sum: Sum<'_, T, BACK>,
) {
    let (step, row) = strides::<T, BACK>();
    // Forward, the steps go down the rows of a panel; backward, along the lanes of a row and on into the
    // next panel.
    let last_step = if BACK {
        let last = sum.lane + sum.steps - 1;
        last / T::PANEL * sum.panel_len + last % T::PANEL
    } else {
        sum.lane + (sum.steps - 1) * step
    };
    let last_scalar = (kernel_positions - 1) * sum.scalars_stride + last_step + (rows - 1) * row;
    assert!(
        last_scalar < sum.scalars.len()
            && (panels - 1) * sum.vector_panel + (pixels - 1) * sum.vectors_stride + sum.steps * T::PANEL
                <= sum.vectors.len()
            && (panels - 1) * sum.out_panel + rows * T::PANEL <= sum.out.len()
            && (BACK || rows <= sum.bias.len())
    );
    // SAFETY: the taps of a list name pixels below `pixels` and kernel positions below
    // `kernel_positions` (`Conv::new`), so the largest offsets are those of the last of each, which the
    // assertion keeps inside the slices, like those of the output and the bias.
    unsafe {
        if half || panels * (T::PANEL / S::LANES) == 1 {
            by_rows::<T, S, _, 1>(s, rows, sum);
        } else {
            by_rows::<T, S, _, 2>(s, rows, sum);
        }
    }
}

/// Distances between the scalars of consecutive steps, and of consecutive rows. Output channels are
/// adjacent: forward they are the rows, backward the steps.
#[inline(always)]
const fn strides<T: Element, const BACK: bool>() -> (usize, usize) {
    if BACK { (1, T::PANEL) } else { (T::PANEL, 1) }
}

/// The channels of a pixel that one tile computes: `Σ_taps Σ_steps scalar · vector`.
struct Sum<'a, T, const BACK: bool> {
    taps: &'a [Tap],
    /// What forward sums start from.
    bias: &'a [T],
    /// The weights, from a line of a panel on.
    scalars: &'a [T],
    /// Distance between the scalars of consecutive kernel positions.
    scalars_stride: usize,
    /// Position of the first scalar in its line.
    lane: usize,
    vectors: &'a [T],
    /// Distance between the vectors of consecutive pixels.
    vectors_stride: usize,
    vector_panel: usize,
    /// Steps per tap.
    steps: usize,
    /// Whether only one channel is summed at a time, however wide the tile.
    lone: bool,
    /// Elements per panel of weights: backward, the scalars go on at the start of the line in the next
    /// panel.
    panel_len: usize,
    out: &'a mut [T],
    out_panel: usize,
}

/// Independent partial sums of a lone channel: enough to hide the latency of a multiply-add where loads
/// are the limit.
const PARTIAL_SUMS: usize = 4;

impl<T: Element, S: Simd<T>, const BACK: bool> Body<T, S> for Sum<'_, T, BACK> {
    #[inline(always)]
    unsafe fn run<const R: usize, const NV: usize>(self, s: S) {
        let Sum { taps, bias, scalars, vectors, vector_panel, out, out_panel, .. } = self;
        let (step, row) = strides::<T, BACK>();
        let mut acc = [[s.splat(T::ZERO); NV]; R];
        // The other partial sums of a lone channel. Whether a channel is lone depends on the layer, not
        // on the rows of the batch or the width of a tile.
        let lone = R == 1 && self.lone;
        let mut more = [[[s.splat(T::ZERO); NV]; 1]; PARTIAL_SUMS - 1];
        if !BACK {
            for i in 0..R {
                // SAFETY: `run_sum` checked that there are `R` of them.
                acc[i] = [s.splat(unsafe { *bias.get_unchecked(i) }); NV];
            }
        }
        for tap in taps {
            // SAFETY: `run_sum` argued that the scalars and vectors of every tap lie inside the slices.
            unsafe {
                let mut line = scalars.as_ptr().add(tap.other as usize * self.scalars_stride);
                let mut lane = self.lane;
                let mut vectors = vectors.as_ptr().add(tap.pixel as usize * self.vectors_stride);
                let mut left = self.steps;
                loop {
                    let mut steps = if BACK { left.min(T::PANEL - lane) } else { left };
                    left -= steps;
                    let mut scalars = line.add(lane);
                    if lone {
                        while steps >= PARTIAL_SUMS {
                            accumulate::<T, S, R, NV>(
                                s,
                                1,
                                scalars,
                                step,
                                row,
                                vectors,
                                vector_panel,
                                &mut acc,
                            );
                            for (j, sum) in more.iter_mut().enumerate() {
                                let scalars = scalars.add((j + 1) * step);
                                let vectors = vectors.add((j + 1) * T::PANEL);
                                accumulate::<T, S, 1, NV>(
                                    s,
                                    1,
                                    scalars,
                                    step,
                                    row,
                                    vectors,
                                    vector_panel,
                                    sum,
                                );
                            }
                            steps -= PARTIAL_SUMS;
                            scalars = scalars.wrapping_add(PARTIAL_SUMS * step);
                            vectors = vectors.wrapping_add(PARTIAL_SUMS * T::PANEL);
                        }
                    }
                    accumulate::<T, S, R, NV>(s, steps, scalars, step, row, vectors, vector_panel, &mut acc);
                    if left == 0 {
                        break;
                    }
                    line = line.wrapping_add(self.panel_len);
                    lane = 0;
                    vectors = vectors.wrapping_add(steps * T::PANEL);
                }
            }
        }
        if lone {
            let [a, b, c] = more;
            for j in 0..NV {
                acc[0][j] = s.add(s.add(acc[0][j], a[0][j]), s.add(b[0][j], c[0][j]));
            }
        }
        for i in 0..R {
            for j in 0..NV {
                // SAFETY: `run_sum` checked the end of the last row of the last panel.
                unsafe { s.store_ptr(acc[i][j], out.as_mut_ptr().add(place::<T, S>(i, j, out_panel))) }
            }
        }
    }
}
