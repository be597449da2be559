//! Convolutions and transposed convolutions of batches in panels, as sums over lists of taps, without
//! copying patches.
//!
//! An image of `height x width` pixels with `channels` channels is a row of features in the order (y, x,
//! channel). In panels `[features, batch]`, the channels of a pixel are consecutive lines, so a pixel of
//! the output is a sum of short dense products, one for each pixel of its receptive field; pixels of the
//! padding are left out. The weights are a matrix `[kernel positions * channels in + 1, channels out]`
//! in panels like those of a dense layer, with the bias as the last row.
//!
//! The channels of both sides may be divided into groups of equal size, each connected only to its
//! counterpart (with one channel per group, a depthwise convolution). The weights of an output channel
//! are then those from its group: `[kernel positions * channels in / groups + 1, channels out]`.
//!
//! A transposed convolution ([`Conv::up`]) connects the same pixels in the opposite direction, so it
//! runs the same code with the lists exchanged. Its output has exactly the size of the convolution's
//! input.
//!
//! | | list | sums |
//! |---|---|---|
//! | [`Conv::forward`] | per output pixel | over its taps and the input channels of the group, from the bias |
//! | [`Conv::backward_input`] | per input pixel | over its taps and the output channels of the group |
//! | [`Conv::weight_gradient`] | per kernel position | over its pairs of pixels, separately for each row of the batch; then over the rows of a panel |
//!
//! [`sum_gradients`] finishes each parameter gradient by summing over the panels of the batch in order.

mod gradient;
mod sums;

use crate::activation::{Epilogue, Slope};
use crate::gemm::BatchPanels;
use crate::isa::Isa;
use crate::panel::{Panels, PanelsMut, panel_len};
use crate::simd::Element;
use crate::update::Rule;
use gradient::PanelGradients;
use sums::{Finish, Sums};

/// The shape of a convolution of images of `height x width` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Height of the image in pixels.
    pub height: usize,
    /// Width of the image in pixels.
    pub width: usize,
    /// Channels of the image.
    pub channels_in: usize,
    /// Channels of the result.
    pub channels_out: usize,
    /// Kernel size in pixels, in both directions.
    pub kernel: usize,
    /// Pixels from one position of the kernel to the next, in both directions.
    pub stride: usize,
    /// Pixels of zero padding on each side of the image.
    pub padding: usize,
    /// Groups that the channels of both sides are divided into.
    pub groups: usize,
}

impl Conv2d {
    /// `[height, width]` of the result, or `None` if there is none: a size of zero, a kernel that does
    /// not fit into the padded image, channels that the groups do not divide, or a padded size that
    /// overflows.
    pub fn output_size(&self) -> Option<[usize; 2]> {
        let Conv2d { height, width, channels_in, channels_out, kernel, stride, padding, groups } = *self;
        if [height, width, channels_in, channels_out, kernel, stride, groups].contains(&0)
            || !channels_in.is_multiple_of(groups)
            || !channels_out.is_multiple_of(groups)
        {
            return None;
        }
        let along = |pixels: usize| {
            let padded = padding.checked_mul(2)?.checked_add(pixels)?;
            Some(padded.checked_sub(kernel)? / stride + 1)
        };
        Some([along(height)?, along(width)?])
    }
}

/// Compiles the large loops of this module here, for either element type, rather than in every crate
/// that uses them.
pub trait Compiled: Sized {
    #[doc(hidden)]
    fn sums(isa: Isa, kernel: Sums<'_, '_, Self>);
    #[doc(hidden)]
    fn gradients(isa: Isa, kernel: PanelGradients<'_, Self>);
}

impl Compiled for f32 {
    fn sums(isa: Isa, kernel: Sums<'_, '_, f32>) {
        f32::run(isa, kernel);
    }
    fn gradients(isa: Isa, kernel: PanelGradients<'_, f32>) {
        f32::run(isa, kernel);
    }
}

impl Compiled for f64 {
    fn sums(isa: Isa, kernel: Sums<'_, '_, f64>) {
        f64::run(isa, kernel);
    }
    fn gradients(isa: Isa, kernel: PanelGradients<'_, f64>) {
        f64::run(isa, kernel);
    }
}

/// An entry of a list: a pixel and a kernel position, or two pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tap {
    /// The pixel: of the input in lists of output pixels and of kernel positions, of the output in lists
    /// of input pixels.
    pixel: u32,
    /// The kernel position; in lists of kernel positions, the pixel of the output.
    other: u32,
}

/// A list of taps for each of a number of places.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lists {
    /// Where each list starts, and where the last one ends.
    starts: Vec<u32>,
    taps: Vec<Tap>,
}

impl Lists {
    /// Groups the taps `(place, tap)` by their places, of which there are `count`. The taps of a place
    /// keep their order.
    fn new(count: usize, taps: &[(u32, Tap)]) -> Lists {
        let mut sorted = taps.to_vec();
        sorted.sort_by_key(|(place, _)| *place);
        let starts = (0..=count).map(|place| sorted.partition_point(|tap| (tap.0 as usize) < place) as u32);
        Lists { starts: starts.collect(), taps: sorted.iter().map(|(_, tap)| *tap).collect() }
    }

    #[inline(always)]
    fn of(&self, place: usize) -> &[Tap] {
        &self.taps[self.starts[place] as usize..self.starts[place + 1] as usize]
    }
}

/// Pixels and channels of the input or the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Side {
    pixels: usize,
    channels: usize,
    /// Channels per group.
    group: usize,
}

/// The pixels that a convolution or transposed convolution connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    input: Side,
    output: Side,
    kernel_positions: usize,
    /// The taps of each output pixel.
    gather: Lists,
    /// The taps of each input pixel.
    scatter: Lists,
    /// The pairs of pixels of each kernel position.
    pairs: Lists,
}

impl Conv {
    /// The convolution of images of `shape` to smaller ones. `None` as for [`Conv2d::output_size`], or
    /// with 2³² or more pixels or connections, counting those to the padding.
    pub fn down(shape: Conv2d) -> Option<Conv> {
        Conv::new(shape, false)
    }

    /// The transposed convolution of what [`Conv::down`] produces, with `channels_out` channels, to
    /// images of `shape`, with `channels_in`. `None` as there.
    pub fn up(shape: Conv2d) -> Option<Conv> {
        Conv::new(shape, true)
    }

    fn new(shape: Conv2d, up: bool) -> Option<Conv> {
        let [out_height, out_width] = shape.output_size()?;
        let Conv2d { height, width, channels_in, channels_out, kernel, stride, padding, groups } = shape;
        let kernel_positions = kernel.checked_mul(kernel)?;
        let side = |height: usize, width: usize, channels: usize| {
            let pixels = height.checked_mul(width)?;
            pixels.checked_mul(channels)?;
            Some(Side { pixels, channels, group: channels / groups })
        };
        let large = side(height, width, channels_in)?;
        let small = side(out_height, out_width, channels_out)?;
        // Whatever else multiplies these is less than the channels of both sides.
        kernel_positions.checked_mul(channels_in)?.checked_mul(channels_out)?;
        let most = small.pixels.checked_mul(kernel_positions)?;
        u32::try_from(most.max(large.pixels)).ok()?;
        let mut all: Vec<[u32; 3]> = Vec::with_capacity(most);
        for y in 0..out_height {
            for x in 0..out_width {
                for at in 0..kernel_positions {
                    let inside = |place: usize, offset: usize, size: usize| {
                        (place * stride + offset).checked_sub(padding).filter(|pixel| *pixel < size)
                    };
                    let row = inside(y, at / kernel, height);
                    if let (Some(row), Some(column)) = (row, inside(x, at % kernel, width)) {
                        all.push([(row * width + column) as u32, (y * out_width + x) as u32, at as u32]);
                    }
                }
            }
        }
        let (input, output) = if up { (small, large) } else { (large, small) };
        let (from, to) = if up { (1, 0) } else { (0, 1) };
        let lists = |count: usize, place: usize, pixel: usize, other: usize| {
            let taps: Vec<(u32, Tap)> = all
                .iter()
                .map(|each| (each[place], Tap { pixel: each[pixel], other: each[other] }))
                .collect();
            Lists::new(count, &taps)
        };
        Some(Conv {
            input,
            output,
            kernel_positions,
            gather: lists(output.pixels, to, from, 2),
            scatter: lists(input.pixels, from, to, 2),
            pairs: lists(kernel_positions, 2, from, to),
        })
    }

    /// Features of the input: pixels times channels.
    pub fn inputs(&self) -> usize {
        self.input.pixels * self.input.channels
    }

    /// Features of the output.
    pub fn outputs(&self) -> usize {
        self.output.pixels * self.output.channels
    }

    /// Rows of the weights without the bias: kernel positions times the input channels of a group.
    pub fn weight_rows(&self) -> usize {
        self.kernel_positions * self.input.group
    }

    /// Channels of the output: the columns of the weights.
    pub fn channels(&self) -> usize {
        self.output.channels
    }

    /// Channels of the input.
    pub fn channels_in(&self) -> usize {
        self.input.channels
    }

    /// Multiply-adds of the forward product per row.
    pub fn multiply_adds(&self) -> usize {
        self.gather.taps.len() * self.input.group * self.output.channels
    }

    /// Elements of the parameters in panels, and of their gradient per batch panel.
    pub fn parameters_len<T: Element>(&self) -> usize {
        panel_len::<T>(self.weight_rows() + 1, self.channels())
    }

    /// Computes `y = act(conv(x) + b)`.
    ///
    /// `weights` is `[weight_rows + 1, channels]`, `x` is `[inputs, batch]` and `y` is
    /// `[outputs, batch]`. `y` may cover only some of the pixels, from `first` on.
    pub fn forward<'a, T: Element>(
        &self,
        isa: Isa,
        weights: Panels<'_, T>,
        x: Panels<'_, T>,
        first: usize,
        y: PanelsMut<'_, T>,
        epilogue: impl Into<Epilogue<'a, T>>,
    ) {
        let epilogue = epilogue.into();
        let (from, to) = ((self.input, x.rows(), x.cols()), (self.output, y.rows(), y.cols()));
        self.check("forward", &weights, from, first, to);
        assert!(epilogue.fits(y.rows(), y.cols()), "slopes of another shape");
        let finish = Finish::Forward(epilogue);
        T::sums(isa, Sums { conv: self, weights, from: x, first, to: y, finish });
    }

    /// Computes `dx = conv'(δ) ⊙ act'`.
    ///
    /// `weights` is as in [`Conv::forward`], `delta` is `[outputs, batch]` and `dx` is
    /// `[inputs, batch]`. `below` is what the activation derivative of the layer below is computed from,
    /// `[inputs, batch]`, and how. `dx` and `below` may cover only some of the pixels, from `first` on.
    pub fn backward_input<T: Element>(
        &self,
        isa: Isa,
        weights: Panels<'_, T>,
        delta: Panels<'_, T>,
        first: usize,
        below: (Panels<'_, T>, impl Into<Slope>),
        dx: PanelsMut<'_, T>,
    ) {
        let (y, slope) = (below.0, below.1.into());
        slope.check();
        let from = (self.output, delta.rows(), delta.cols());
        self.check("backward_input", &weights, from, first, (self.input, dx.rows(), dx.cols()));
        assert!(y.rows() == dx.rows() && y.cols() == dx.cols(), "values below of another shape");
        let finish = Finish::Backward(y, slope);
        T::sums(isa, Sums { conv: self, weights, from: delta, first, to: dx, finish });
    }

    /// Computes, for each panel of the batch, what its rows contribute to the gradient of the
    /// parameters.
    ///
    /// The contributions follow one another in `gradients`, each laid out like the parameters. `x` is
    /// `[inputs, batch]` and `delta` is `[outputs, batch]`; columns beyond the batch contribute nothing,
    /// whatever they hold.
    pub fn weight_gradient<T: Element>(
        &self,
        isa: Isa,
        x: Panels<'_, T>,
        delta: Panels<'_, T>,
        gradients: &mut [T],
    ) {
        let panel_len = self.parameters_len::<T>();
        self.check_gradient(&x, &delta, gradients.len(), x.count() * panel_len);
        T::gradients(isa, PanelGradients { conv: self, x, delta, panel_len, first: 0, gradients });
    }

    /// Like [`Conv::weight_gradient`], for a single panel of the batch and some of the parameters: as
    /// many panel rows as `gradients` has room for, from panel row `first` on.
    pub fn weight_gradient_from<T: Element>(
        &self,
        isa: Isa,
        x: Panels<'_, T>,
        delta: Panels<'_, T>,
        first: usize,
        gradients: &mut [T],
    ) {
        let left = (self.parameters_len::<T>() / T::PANEL).saturating_sub(first) * T::PANEL;
        let panel_len = gradients.len();
        assert!(
            x.count() == 1 && panel_len.is_multiple_of(T::PANEL),
            "{panel_len} gradients of {} panels",
            x.count()
        );
        self.check_gradient(&x, &delta, panel_len, panel_len.min(left));
        if panel_len > 0 {
            T::gradients(isa, PanelGradients { conv: self, x, delta, panel_len, first, gradients });
        }
    }

    #[track_caller]
    fn check_gradient<T: Element>(
        &self,
        x: &Panels<'_, T>,
        delta: &Panels<'_, T>,
        gradients: usize,
        wanted: usize,
    ) {
        assert!(
            x.rows() == self.inputs()
                && delta.rows() == self.outputs()
                && x.cols() == delta.cols()
                && gradients == wanted,
            "weight_gradient of a convolution: x [{}, {}], delta [{}, {}], {gradients} gradients, not {wanted}",
            x.rows(),
            x.cols(),
            delta.rows(),
            delta.cols(),
        );
    }

    /// Panics unless a product has the expected shapes, with its result starting at pixel `first`.
    #[track_caller]
    fn check<T: Element>(
        &self,
        what: &str,
        weights: &Panels<'_, T>,
        (from_side, from, columns): (Side, usize, usize),
        first: usize,
        (to_side, to, of_result): (Side, usize, usize),
    ) {
        assert!(
            weights.rows() == self.weight_rows() + 1
                && weights.cols() == self.channels()
                && from == from_side.pixels * from_side.channels
                && to.is_multiple_of(to_side.channels)
                && first.checked_add(to / to_side.channels).is_some_and(|end| end <= to_side.pixels)
                && columns == of_result,
            "{what} of a convolution [{}, {}] with weights [{}, {}]: weights [{}, {}], from [{from}, {columns}] \
             to [{to}, {of_result}] from pixel {first} on",
            self.inputs(),
            self.outputs(),
            self.weight_rows() + 1,
            self.channels(),
            weights.rows(),
            weights.cols(),
        );
    }
}

/// Sums gradients over the panels of a batch, in order, and passes them to `rule`.
///
/// These are the gradients of the parameters from `first` on, as many as `weights` has, in whole panel
/// rows. `gradients` is what [`Conv::weight_gradient`] wrote, `panel_len` elements per batch panel;
/// `state` is [`Rule::state_per_parameter`] times as long as `weights`.
pub fn sum_gradients<T: Element>(
    isa: Isa,
    gradients: BatchPanels<'_, T>,
    first: usize,
    rule: Rule<T>,
    weights: &mut [T],
    state: &mut [T],
) {
    assert!(
        weights.len().is_multiple_of(T::PANEL)
            && first.checked_add(weights.len()).is_some_and(|end| end <= gradients.panel_len)
            && state.len() == weights.len() * rule.state_per_parameter(),
        "gradients of {} parameters from {first} on of {}, {} of state",
        weights.len(),
        gradients.panel_len,
        state.len(),
    );
    gradients.assert_holds_all();
    T::run(isa, gradient::OverBatch { gradients, first, rule, weights, state });
}
