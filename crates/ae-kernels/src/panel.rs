//! The panel layout, and conversions into and out of it.
//!
//! A matrix `[rows, cols]` in panels is `[cols / P][rows][P]` with `P =` [`Element::PANEL`]: element
//! `(r, c)` is at `(c / P * rows + r) * P + c % P`. The last panel is padded; what the padding holds is
//! specified where it matters.

mod spread;

pub(crate) use spread::{Lines, LinesMut};
pub use spread::{Spread, SpreadMut};

use crate::isa::Isa;
use crate::simd::{Element, Kernel, Simd};

/// Number of panels of a matrix with `cols` columns.
pub fn panel_count<T: Element>(cols: usize) -> usize {
    cols.div_ceil(T::PANEL)
}

/// Number of elements of a `[rows, cols]` matrix in panels, including padding.
pub fn panel_len<T: Element>(rows: usize, cols: usize) -> usize {
    panel_count::<T>(cols).saturating_mul(rows).saturating_mul(T::PANEL)
}

/// Index of element `(row, col)` of a matrix with `rows` rows.
#[inline]
pub fn panel_index<T: Element>(rows: usize, row: usize, col: usize) -> usize {
    (col / T::PANEL * rows + row) * T::PANEL + col % T::PANEL
}

/// A read-only view of a matrix in panels.
#[derive(Clone, Copy, Debug)]
pub struct Panels<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
}

/// A mutable view of a matrix in panels.
#[derive(Debug)]
pub struct PanelsMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
}

impl<'a, T: Element> Panels<'a, T> {
    /// Creates the view `[rows, cols]`. Panics unless `data` holds exactly [`panel_len`] elements.
    #[track_caller]
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        check_len::<T>(data.len(), rows, cols);
        Panels { data, rows, cols }
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of columns, without the padding.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// The elements, in panel layout.
    pub fn data(&self) -> &'a [T] {
        self.data
    }
    /// Number of panels.
    pub fn count(&self) -> usize {
        panel_count::<T>(self.cols)
    }
    /// Columns of panel `index`: as many as a panel can have, except perhaps in the last one.
    pub fn lanes(&self, index: usize) -> usize {
        T::PANEL.min(self.cols.saturating_sub(index * T::PANEL))
    }
    /// Panel `index`: `[rows, P]`.
    pub fn panel(&self, index: usize) -> &'a [T] {
        let len = self.rows * T::PANEL;
        &self.data[index.saturating_mul(len)..][..len]
    }
    /// Element `(row, col)`, for tests and occasional access.
    pub fn get(&self, row: usize, col: usize) -> T {
        assert!(row < self.rows && col < self.cols, "({row}, {col}) of [{}, {}]", self.rows, self.cols);
        self.data[panel_index::<T>(self.rows, row, col)]
    }
}

impl<'a, T: Element> PanelsMut<'a, T> {
    /// Creates the view `[rows, cols]`. Panics unless `data` holds exactly [`panel_len`] elements.
    #[track_caller]
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        check_len::<T>(data.len(), rows, cols);
        PanelsMut { data, rows, cols }
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of columns, without the padding.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// The elements, in panel layout.
    pub fn data(&mut self) -> &mut [T] {
        self.data
    }
    /// Panel `index`: `[rows, P]`.
    pub fn panel(&mut self, index: usize) -> &mut [T] {
        let len = self.rows * T::PANEL;
        &mut self.data[index.saturating_mul(len)..][..len]
    }
    /// A read-only view of the same matrix.
    pub fn as_panels(&self) -> Panels<'_, T> {
        Panels { data: self.data, rows: self.rows, cols: self.cols }
    }
}

#[track_caller]
fn check_len<T: Element>(len: usize, rows: usize, cols: usize) {
    let wanted = panel_count::<T>(cols).checked_mul(rows).and_then(|lines| lines.checked_mul(T::PANEL));
    assert!(
        wanted == Some(len),
        "panels of a [{rows}, {cols}] matrix hold {rows} x {} lines of {}, not {len} elements",
        panel_count::<T>(cols),
        T::PANEL
    );
}

/// Writes the row-major `[rows, cols]` matrix `src` in panels, with zeros in the padding.
pub fn pack<T: Element>(src: &[T], mut dst: PanelsMut<'_, T>) {
    let (rows, cols) = (dst.rows, dst.cols);
    assert!(src.len() == rows * cols, "a [{rows}, {cols}] matrix has not {} elements", src.len());
    for index in 0..panel_count::<T>(cols) {
        let first = index * T::PANEL;
        let width = T::PANEL.min(cols - first);
        for (r, line) in dst.panel(index).chunks_exact_mut(T::PANEL).enumerate() {
            line[..width].copy_from_slice(&src[r * cols + first..][..width]);
            line[width..].fill(T::ZERO);
        }
    }
}

/// Writes the matrix in row-major order to `dst`, `[rows, cols]`.
pub fn unpack<T: Element>(src: Panels<'_, T>, dst: &mut [T]) {
    let (rows, cols) = (src.rows, src.cols);
    assert!(dst.len() == rows * cols, "a [{rows}, {cols}] matrix has not {} elements", dst.len());
    for index in 0..src.count() {
        let first = index * T::PANEL;
        let width = T::PANEL.min(cols - first);
        for (r, line) in src.panel(index).chunks_exact(T::PANEL).enumerate() {
            dst[r * cols + first..][..width].copy_from_slice(&line[..width]);
        }
    }
}

/// A shift and a factor for each feature: `(x - shift) * factor` on the way in ([`gather_rows`]),
/// `y * factor + shift` on the way out ([`scatter_rows`]). Shifting first preserves the digits of a
/// feature whose values are large compared with their spread.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a, T> {
    /// `[features]`
    pub factor: &'a [T],
    /// `[features]`
    pub shift: &'a [T],
}

impl<T: Copy> Affine<'_, T> {
    /// The map of `count` features from `first` on.
    #[inline(always)]
    fn part(self, first: usize, count: usize) -> Self {
        Affine { factor: &self.factor[first..][..count], shift: &self.shift[first..][..count] }
    }
}

/// Converts some values of a row on their way in; `map` covers the same features.
#[inline(always)]
fn scale_values<T: Element>(map: Option<Affine<'_, T>>, from: &[f32], to: &mut [T]) {
    let values = to.iter_mut().zip(from);
    match map {
        None => {
            for (y, &x) in values {
                *y = T::from_f32(x);
            }
        }
        Some(Affine { factor, shift }) => {
            for ((y, &x), (&factor, &shift)) in values.zip(factor.iter().zip(shift)) {
                *y = scaled(x, factor, shift);
            }
        }
    }
}

/// Scales a value of a row on its way in. A known value stays known: it is kept finite, because infinite
/// values would end as differences that are NaN. NaN, a missing value, passes through.
#[inline(always)]
pub(crate) fn scaled<T: Element>(x: f32, factor: T, shift: T) -> T {
    let scaled = (T::from_f32(x) - shift) * factor;
    let least = T::ZERO - T::MAX;
    let bounded = if scaled > T::MAX { T::MAX } else { scaled };
    if bounded < least { least } else { bounded }
}

/// Converts some values of a row on their way out.
#[inline(always)]
fn unscale_values<T: Element>(map: Option<Affine<'_, T>>, from: &[T], to: &mut [f32]) {
    let values = to.iter_mut().zip(from);
    match map {
        None => {
            for (y, &x) in values {
                *y = x.to_f32();
            }
        }
        Some(Affine { factor, shift }) => {
            for ((y, &x), (&factor, &shift)) in values.zip(factor.iter().zip(shift)) {
                *y = (x * factor + shift).to_f32();
            }
        }
    }
}

/// Gathers rows of a row-major table into panels: column `i` of `dst` becomes row `indices[i]` of `src`
/// (`[_, features]`), as `(x - shift) * factor` if there is a `map`. The padding becomes zero.
pub fn gather_rows<T: Element>(
    isa: Isa,
    src: &[f32],
    indices: &[usize],
    map: Option<Affine<'_, T>>,
    dst: PanelsMut<'_, T>,
) {
    assert!(indices.len() == dst.cols, "{} rows do not fill {} columns", indices.len(), dst.cols);
    assert_rows_within(src.len(), dst.rows, indices);
    if let Some(map) = map {
        assert!(map.factor.len() == dst.rows && map.shift.len() == dst.rows);
    }
    T::run(isa, Gather { src, indices, map, dst });
}

/// Panics unless a row-major table of `len` values with `features` features has all these rows.
pub(crate) fn assert_rows_within(len: usize, features: usize, indices: &[usize]) {
    let rows = len.checked_div(features).unwrap_or(usize::MAX);
    let beyond = indices.iter().find(|row| **row >= rows);
    assert!(beyond.is_none(), "row {beyond:?} of {rows} rows");
}

struct Gather<'a, T> {
    src: &'a [f32],
    indices: &'a [usize],
    map: Option<Affine<'a, T>>,
    dst: PanelsMut<'a, T>,
}

/// Largest panel width of any element type: the side of the blocks that are transposed.
pub(crate) const MAX_PANEL: usize = 16;

impl<T: Element> Kernel<T> for Gather<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let features = self.dst.rows;
        let mut block = [T::ZERO; MAX_PANEL * MAX_PANEL];
        let mut transposed = [T::ZERO; MAX_PANEL * MAX_PANEL];
        for (index, rows) in self.indices.chunks(T::PANEL).enumerate() {
            let panel = self.dst.panel(index);
            if rows.len() < T::PANEL {
                block.fill(T::ZERO);
            }
            for first in (0..features).step_by(T::PANEL) {
                let width = T::PANEL.min(features - first);
                let map = self.map.map(|map| map.part(first, width));
                for (line, &row) in block.chunks_exact_mut(T::PANEL).zip(rows) {
                    let from = &self.src[row * features + first..][..width];
                    // With a length that is known at compile time, wherever possible.
                    if width == T::PANEL {
                        scale_values(map, &from[..T::PANEL], &mut line[..T::PANEL]);
                    } else {
                        scale_values(map, from, &mut line[..width]);
                    }
                }
                let lines = &mut panel[first * T::PANEL..][..width * T::PANEL];
                if width == T::PANEL {
                    s.transpose(&block[..T::PANEL * T::PANEL], T::PANEL, lines, T::PANEL);
                } else {
                    let side = T::PANEL * T::PANEL;
                    s.transpose(&block[..side], T::PANEL, &mut transposed[..side], T::PANEL);
                    lines.copy_from_slice(&transposed[..lines.len()]);
                }
            }
        }
    }
}

/// The reverse of [`gather_rows`] for consecutive rows: row `i` of the row-major `dst`
/// (`[src.cols(), src.rows()]`) becomes column `i` of `src`, as `y * factor + shift` if there is a
/// `map`.
pub fn scatter_rows<T: Element>(isa: Isa, src: Panels<'_, T>, map: Option<Affine<'_, T>>, dst: &mut [f32]) {
    assert!(
        dst.len() == src.rows * src.cols,
        "{} elements for a [{}, {}] table",
        dst.len(),
        src.cols,
        src.rows
    );
    if let Some(map) = map {
        assert!(map.factor.len() == src.rows && map.shift.len() == src.rows);
    }
    T::run(isa, Scatter { src, map, dst });
}

struct Scatter<'a, T> {
    src: Panels<'a, T>,
    map: Option<Affine<'a, T>>,
    dst: &'a mut [f32],
}

impl<T: Element> Kernel<T> for Scatter<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let features = self.src.rows;
        let side = T::PANEL * T::PANEL;
        let mut block = [T::ZERO; MAX_PANEL * MAX_PANEL];
        let mut transposed = [T::ZERO; MAX_PANEL * MAX_PANEL];
        for (index, rows) in self.dst.chunks_mut((features * T::PANEL).max(1)).enumerate() {
            let panel = self.src.panel(index);
            for first in (0..features).step_by(T::PANEL) {
                let width = T::PANEL.min(features - first);
                let lines = &panel[first * T::PANEL..][..width * T::PANEL];
                if width == T::PANEL {
                    s.transpose(lines, T::PANEL, &mut transposed[..side], T::PANEL);
                } else {
                    block[..lines.len()].copy_from_slice(lines);
                    s.transpose(&block[..side], T::PANEL, &mut transposed[..side], T::PANEL);
                }
                let map = self.map.map(|map| map.part(first, width));
                for (line, row) in transposed.chunks_exact(T::PANEL).zip(rows.chunks_exact_mut(features)) {
                    let to = &mut row[first..][..width];
                    if width == T::PANEL {
                        unscale_values(map, line, &mut to[..T::PANEL]);
                    } else {
                        unscale_values(map, &line[..width], to);
                    }
                }
            }
        }
    }
}

/// Like [`gather_rows`] for a single row whose values stay next to each other, as
/// [`crate::gemm::forward_row`] takes them. `dst` and `src` are `[features]`.
pub fn scale_row<T: Element>(isa: Isa, src: &[f32], map: Option<Affine<'_, T>>, dst: &mut [T]) {
    let features = dst.len();
    assert!(src.len() == features, "{} values for {features} features", src.len());
    if let Some(map) = map {
        assert!(map.factor.len() == features && map.shift.len() == features);
    }
    T::run(isa, ScaleRow { src, map, dst });
}

struct ScaleRow<'a, T> {
    src: &'a [f32],
    map: Option<Affine<'a, T>>,
    dst: &'a mut [T],
}

impl<T: Element> Kernel<T> for ScaleRow<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, _: S) {
        scale_values(self.map, self.src, self.dst);
    }
}

/// The reverse of [`scale_row`], like [`scatter_rows`]. `src` and `dst` are `[features]`.
pub fn unscale_row<T: Element>(isa: Isa, src: &[T], map: Option<Affine<'_, T>>, dst: &mut [f32]) {
    let features = dst.len();
    assert!(src.len() == features, "{} values for {features} features", src.len());
    if let Some(map) = map {
        assert!(map.factor.len() == features && map.shift.len() == features);
    }
    T::run(isa, UnscaleRow { src, map, dst });
}

struct UnscaleRow<'a, T> {
    src: &'a [T],
    map: Option<Affine<'a, T>>,
    dst: &'a mut [f32],
}

impl<T: Element> Kernel<T> for UnscaleRow<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, _: S) {
        unscale_values(self.map, self.src, self.dst);
    }
}

/// Transposes deltas for the weight gradient.
///
/// `[features, batch]` in panels of the batch becomes, for one batch panel after another,
/// `[P, features]` in panels of features. `dst` holds [`transposed_len`] elements; its padding columns
/// become zero, which keeps the padding of the weights zero. A spare square is left unchanged, and so
/// may be lines of absent rows.
pub fn transpose_deltas<T: Element>(isa: Isa, src: Panels<'_, T>, dst: &mut [T]) {
    let wanted = transposed_len::<T>(src.rows, src.cols);
    assert!(dst.len() == wanted, "transposed deltas hold {wanted} elements, not {}", dst.len());
    T::run(isa, TransposeDeltas { src, dst });
}

/// Number of elements of the transposed deltas of `features` features over `batch` rows.
///
/// A batch panel has an odd number of squares, one of them spare if needed: the weight gradient reads
/// one square of each batch panel, and at a distance of a power of two they would all fall into the same
/// few cache sets.
pub fn transposed_len<T: Element>(features: usize, batch: usize) -> usize {
    panel_count::<T>(batch) * squares::<T>(features) * T::PANEL * T::PANEL
}

fn squares<T: Element>(features: usize) -> usize {
    panel_count::<T>(features) | 1
}

/// Up to this many rows, it is faster to transpose them one by one than as a square.
const ONE_BY_ONE: usize = 2;

struct TransposeDeltas<'a, T> {
    src: Panels<'a, T>,
    dst: &'a mut [T],
}

impl<T: Element> Kernel<T> for TransposeDeltas<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let side = T::PANEL * T::PANEL;
        let mut block = [T::ZERO; MAX_PANEL * MAX_PANEL];
        let of_panel = squares::<T>(self.src.rows) * side;
        for (index, transposed) in self.dst.chunks_exact_mut(of_panel).enumerate() {
            let squares = transposed.chunks_exact_mut(side);
            let rows = self.src.lanes(index);
            for (lines, to) in self.src.panel(index).chunks(side).zip(squares) {
                if rows <= ONE_BY_ONE {
                    for (row, to) in to.chunks_exact_mut(T::PANEL).take(rows).enumerate() {
                        to[lines.len() / T::PANEL..].fill(T::ZERO);
                        to.iter_mut()
                            .zip(lines.chunks_exact(T::PANEL))
                            .for_each(|(to, line)| *to = line[row]);
                    }
                } else if lines.len() == side {
                    s.transpose(lines, T::PANEL, to, T::PANEL);
                } else {
                    block[..lines.len()].copy_from_slice(lines);
                    block[lines.len()..].fill(T::ZERO);
                    s.transpose(&block[..side], T::PANEL, to, T::PANEL);
                }
            }
        }
    }
}
