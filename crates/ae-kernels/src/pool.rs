//! Pooling of images in panels, and up-sampling, which goes the other way.
//!
//! Images are laid out as in [`crate::conv`]: the channels of a pixel are consecutive lines, so an
//! operation on a pixel works on one contiguous piece of a batch panel. The large image is divided into
//! squares of `size x size` pixels, one for each pixel of the small image; pixels left over at the right
//! and at the bottom are in no square.
//!
//! | | forward, for a pixel of the small image | backward |
//! |---|---|---|
//! | [`Pooling::Max`] | the largest value of its square | the delta goes to the first of the largest values, in row order |
//! | [`Pooling::Mean`] | the mean of its square | the delta is divided equally among the pixels |
//! | [`PoolShape::up_sample`] | is copied to its square, the last ones also to the left-over pixels | the sum of the deltas of those pixels |

use std::ops::Range;

use crate::isa::Isa;
use crate::panel::{Panels, PanelsMut};
use crate::simd::{Element, Kernel, Simd};

/// How the values of a square are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest. If there is a NaN among them, it may be any of them.
    Max,
    /// The mean.
    Mean,
}

/// Images of `height x width` pixels and their division into squares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    height: usize,
    width: usize,
    channels: usize,
    size: usize,
}

impl PoolShape {
    /// Divides images of `height x width` pixels with `channels` channels into squares of `size` pixels
    /// a side. `None` without channels or a whole square, or with more values than a `usize` can count.
    pub fn new(height: usize, width: usize, channels: usize, size: usize) -> Option<PoolShape> {
        let fits = channels > 0 && size > 0 && size <= height.min(width);
        let countable = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(channels)).is_some();
        (fits && countable).then_some(PoolShape { height, width, channels, size })
    }

    /// `[height, width]` of the small image: the sides divided by `size`, rounded down.
    pub fn small_size(&self) -> [usize; 2] {
        [self.height / self.size, self.width / self.size]
    }

    /// Features of the large image.
    pub fn large(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Features of the small image.
    pub fn small(&self) -> usize {
        let [height, width] = self.small_size();
        height * width * self.channels
    }

    /// Pools `x` `[large, batch]` to `y` `[small, batch]`.
    pub fn down<T: Element>(&self, isa: Isa, pooling: Pooling, x: Panels<'_, T>, mut y: PanelsMut<'_, T>) {
        self.check("down", (x.rows(), x.cols()), (y.rows(), y.cols()));
        T::run(isa, Down { pool: *self, pooling, x: x.data(), y: y.data() });
    }

    /// The backward pass of [`PoolShape::down`]: from `delta` `[small, batch]` to `dx` `[large, batch]`,
    /// given its input `x` `[large, batch]` and its output `y` `[small, batch]`. Which value was the
    /// largest is determined again by comparing the two.
    pub fn down_backward<T: Element>(
        &self,
        isa: Isa,
        pooling: Pooling,
        (x, y): (Panels<'_, T>, Panels<'_, T>),
        delta: Panels<'_, T>,
        mut dx: PanelsMut<'_, T>,
    ) {
        self.check("down_backward", (x.rows(), x.cols()), (y.rows(), y.cols()));
        self.check("down_backward", (dx.rows(), dx.cols()), (delta.rows(), delta.cols()));
        assert!(x.cols() == dx.cols(), "{} columns of values, {} of deltas", x.cols(), dx.cols());
        let (x, y, delta, dx) = (x.data(), y.data(), delta.data(), dx.data());
        if !self.height.is_multiple_of(self.size) || !self.width.is_multiple_of(self.size) {
            dx.fill(T::ZERO); // Pixels that are in no square.
        }
        T::run(isa, DownBackward { pool: *self, pooling, x, y, delta, dx });
    }

    /// Copies every pixel of the small image to its square (nearest neighbour): `x` `[small, batch]` to
    /// `y` `[large, batch]`.
    pub fn up_sample<T: Element>(&self, isa: Isa, x: Panels<'_, T>, mut y: PanelsMut<'_, T>) {
        self.check("up_sample", (y.rows(), y.cols()), (x.rows(), x.cols()));
        T::run(isa, Up { pool: *self, x: x.data(), y: y.data() });
    }

    /// The backward pass of [`PoolShape::up_sample`]: `delta` `[large, batch]` to `dx` `[small, batch]`.
    pub fn up_sample_backward<T: Element>(&self, isa: Isa, delta: Panels<'_, T>, mut dx: PanelsMut<'_, T>) {
        self.check("up_sample_backward", (delta.rows(), delta.cols()), (dx.rows(), dx.cols()));
        T::run(isa, UpBackward { pool: *self, delta: delta.data(), dx: dx.data() });
    }

    #[track_caller]
    fn check(&self, what: &str, (large, columns): (usize, usize), (small, of_small): (usize, usize)) {
        assert!(
            large == self.large() && small == self.small() && columns == of_small,
            "{what} between images of {} and {} values: [{large}, {columns}] and [{small}, {of_small}]",
            self.large(),
            self.small(),
        );
    }

    /// Elements per pixel in a batch panel.
    #[inline(always)]
    fn pixel<T: Element>(&self) -> usize {
        self.channels * T::PANEL
    }

    /// The pixels of the large image that pixel `index` of the small one stands for; including left-over
    /// ones if `whole`.
    #[inline(always)]
    fn square(&self, index: usize, whole: bool) -> Square {
        let [rows, columns] = self.small_size();
        let side = |place: usize, count: usize, end: usize| {
            let last = whole && place + 1 == count;
            place * self.size..if last { end } else { (place + 1) * self.size }
        };
        Square {
            rows: side(index / columns, rows, self.height),
            columns: side(index % columns, columns, self.width),
        }
    }
}

/// A rectangle of pixels of the large image.
struct Square {
    rows: Range<usize>,
    columns: Range<usize>,
}

struct Down<'a, T> {
    pool: PoolShape,
    pooling: Pooling,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel<T> for Down<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let Down { pool, pooling, x, y } = self;
        let pixel = pool.pixel::<T>();
        let inverse_area = s.splat(T::from_f64(1.0 / (pool.size * pool.size) as f64));
        let panels = x.chunks_exact(pool.large() * T::PANEL).zip(y.chunks_exact_mut(pool.small() * T::PANEL));
        for (x, y) in panels {
            for (index, y) in y.chunks_exact_mut(pixel).enumerate() {
                let Square { rows, columns } = pool.square(index, false);
                for at in (0..pixel).step_by(S::LANES) {
                    let first = s.load(&x[(rows.start * pool.width + columns.start) * pixel + at..]);
                    let mut most = first;
                    let mut sum = s.splat(T::ZERO);
                    for row in rows.clone() {
                        for column in columns.clone() {
                            let value = s.load(&x[(row * pool.width + column) * pixel + at..]);
                            match pooling {
                                Pooling::Max => most = s.select_lt(most, value, value, most),
                                Pooling::Mean => sum = s.add(sum, value),
                            }
                        }
                    }
                    let result = match pooling {
                        Pooling::Max => most,
                        Pooling::Mean => s.mul(sum, inverse_area),
                    };
                    s.store(result, &mut y[at..]);
                }
            }
        }
    }
}

struct DownBackward<'a, T> {
    pool: PoolShape,
    pooling: Pooling,
    x: &'a [T],
    y: &'a [T],
    delta: &'a [T],
    dx: &'a mut [T],
}

impl<T: Element> Kernel<T> for DownBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let DownBackward { pool, pooling, x, y, delta, dx } = self;
        let pixel = pool.pixel::<T>();
        let inverse_area = s.splat(T::from_f64(1.0 / (pool.size * pool.size) as f64));
        let (large, small) = (pool.large() * T::PANEL, pool.small() * T::PANEL);
        let outputs = y.chunks_exact(small).zip(delta.chunks_exact(small));
        for ((x, dx), (y, delta)) in x.chunks_exact(large).zip(dx.chunks_exact_mut(large)).zip(outputs) {
            for (index, (y, delta)) in y.chunks_exact(pixel).zip(delta.chunks_exact(pixel)).enumerate() {
                let Square { rows, columns } = pool.square(index, false);
                for at in (0..pixel).step_by(S::LANES) {
                    let most = s.load(&y[at..]);
                    // The deltas that have not yet found the largest value.
                    let mut left = s.load(&delta[at..]);
                    let each = s.mul(left, inverse_area);
                    for row in rows.clone() {
                        for column in columns.clone() {
                            let place = (row * pool.width + column) * pixel + at;
                            let taken = match pooling {
                                Pooling::Max => {
                                    // Either all of a delta remains or none of it, so the difference is
                                    // exact.
                                    let kept = s.zero_unless_lt(s.load(&x[place..]), most, left);
                                    let taken = s.sub(left, kept);
                                    left = kept;
                                    taken
                                }
                                Pooling::Mean => each,
                            };
                            s.store(taken, &mut dx[place..]);
                        }
                    }
                }
            }
        }
    }
}

struct Up<'a, T> {
    pool: PoolShape,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel<T> for Up<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, _: S) {
        let Up { pool, x, y } = self;
        let pixel = pool.pixel::<T>();
        let panels = x.chunks_exact(pool.small() * T::PANEL).zip(y.chunks_exact_mut(pool.large() * T::PANEL));
        for (x, y) in panels {
            for (index, x) in x.chunks_exact(pixel).enumerate() {
                let Square { rows, columns } = pool.square(index, true);
                for row in rows {
                    for column in columns.clone() {
                        y[(row * pool.width + column) * pixel..][..pixel].copy_from_slice(x);
                    }
                }
            }
        }
    }
}

struct UpBackward<'a, T> {
    pool: PoolShape,
    delta: &'a [T],
    dx: &'a mut [T],
}

impl<T: Element> Kernel<T> for UpBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let UpBackward { pool, delta, dx } = self;
        let pixel = pool.pixel::<T>();
        let panels =
            delta.chunks_exact(pool.large() * T::PANEL).zip(dx.chunks_exact_mut(pool.small() * T::PANEL));
        for (delta, dx) in panels {
            for (index, dx) in dx.chunks_exact_mut(pixel).enumerate() {
                let Square { rows, columns } = pool.square(index, true);
                for at in (0..pixel).step_by(S::LANES) {
                    let mut sum = s.splat(T::ZERO);
                    for row in rows.clone() {
                        for column in columns.clone() {
                            sum = s.add(sum, s.load(&delta[(row * pool.width + column) * pixel + at..]));
                        }
                    }
                    s.store(sum, &mut dx[at..]);
                }
            }
        }
    }
}
