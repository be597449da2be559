//! Views of matrices whose panels are apart: of one area in each of several blocks of memory, or of some
//! rows of a matrix in panels. Threads that share a product write different rows of every panel, which no
//! contiguous slice could be.

use std::marker::PhantomData;

use super::{Panels, PanelsMut, panel_count};
use crate::simd::Element;

/// A read-only view of a matrix `[rows, cols]` in panels that are a constant number of elements apart.
#[derive(Clone, Copy, Debug)]
pub struct Spread<'a, T> {
    /// Each panel, `stride` elements after the one before, is `rows` lines that can be read for `'a`.
    start: *const T,
    rows: usize,
    cols: usize,
    stride: usize,
    of: PhantomData<&'a [T]>,
}

/// A mutable view of a matrix `[rows, cols]` in panels that are a constant number of elements apart.
#[derive(Debug)]
pub struct SpreadMut<'a, T> {
    /// Each panel, `stride` elements after the one before, is `rows` lines that belong to this view for
    /// `'a`. Panels do not overlap.
    start: *mut T,
    rows: usize,
    cols: usize,
    stride: usize,
    of: PhantomData<&'a mut [T]>,
}

impl<'a, T: Element> From<Panels<'a, T>> for Spread<'a, T> {
    fn from(panels: Panels<'a, T>) -> Self {
        let (start, rows, cols) = (panels.data().as_ptr(), panels.rows(), panels.cols());
        Spread { start, rows, cols, stride: rows * T::PANEL, of: PhantomData }
    }
}

impl<'a, T: Element> From<PanelsMut<'a, T>> for SpreadMut<'a, T> {
    fn from(panels: PanelsMut<'a, T>) -> Self {
        let (rows, cols) = (panels.rows(), panels.cols());
        SpreadMut { start: panels.data.as_mut_ptr(), rows, cols, stride: rows * T::PANEL, of: PhantomData }
    }
}

impl<'a, T: Element> Spread<'a, T> {
    /// # Safety
    /// For `'a`, the first `rows` lines from `start + i stride` on can be read for every panel `i` of
    /// `cols` columns, and nobody writes to them.
    pub(crate) unsafe fn new(start: *const T, rows: usize, cols: usize, stride: usize) -> Self {
        Spread { start, rows, cols, stride, of: PhantomData }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns, without the padding.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of panels.
    pub fn count(&self) -> usize {
        panel_count::<T>(self.cols)
    }

    /// Panel `index`: `[rows, P]`.
    #[inline(always)]
    pub fn panel(&self, index: usize) -> &'a [T] {
        assert!(index < self.count(), "panel {index} of {}", self.count());
        // SAFETY: all lines of this panel can be read, and are only read, for `'a`.
        unsafe { std::slice::from_raw_parts(self.start.add(index * self.stride), self.rows * T::PANEL) }
    }

    /// The view of `rows` rows from row `first` on.
    pub fn rows_from(self, first: usize, rows: usize) -> Self {
        let inside = first.checked_add(rows).is_some_and(|end| end <= self.rows);
        assert!(inside, "{rows} rows from {first} on, of {}", self.rows);
        // With `wrapping_add`, because there may be no panels.
        Spread { start: self.start.wrapping_add(first * T::PANEL), rows, ..self }
    }

    /// The `count` lines from line `first` on in each of `panels` panels from `panel` on.
    #[inline(always)]
    pub(crate) fn lines(&self, panel: usize, panels: usize, first: usize, count: usize) -> Lines<'a, T> {
        assert!(panel + panels <= self.count() && first + count <= self.rows);
        let start = self.start.wrapping_add(panel * self.stride + first * T::PANEL);
        Lines { start, stride: self.stride, panels, count, of: PhantomData }
    }
}

impl<'a, T: Element> SpreadMut<'a, T> {
    /// # Safety
    /// For `'a`, the first `rows` lines from `start + i stride` on can be read and written for every
    /// panel `i` of `cols` columns, nobody else uses them, and those of different panels do not overlap.
    pub(crate) unsafe fn new(start: *mut T, rows: usize, cols: usize, stride: usize) -> Self {
        SpreadMut { start, rows, cols, stride, of: PhantomData }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns, without the padding.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of panels.
    pub fn count(&self) -> usize {
        panel_count::<T>(self.cols)
    }

    /// Panel `index`: `[rows, P]`.
    #[inline(always)]
    pub fn panel(&mut self, index: usize) -> &mut [T] {
        assert!(index < self.count(), "panel {index} of {}", self.count());
        // SAFETY: all lines of this panel belong to this view, which is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(index * self.stride), self.rows * T::PANEL) }
    }

    /// The same view, for as long as this one is borrowed.
    pub fn reborrow(&mut self) -> SpreadMut<'_, T> {
        SpreadMut { of: PhantomData, ..*self }
    }

    /// The `count` lines from line `first` on in each of `panels` panels from `panel` on.
    #[inline(always)]
    pub(crate) fn lines(
        &mut self,
        panel: usize,
        panels: usize,
        first: usize,
        count: usize,
    ) -> LinesMut<'_, T> {
        assert!(panel + panels <= self.count() && first + count <= self.rows);
        let start = self.start.wrapping_add(panel * self.stride + first * T::PANEL);
        LinesMut { start, stride: self.stride, panels, count, of: PhantomData }
    }
}

/// Some lines of some panels of a [`Spread`], which can be read.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a, T> {
    start: *const T,
    stride: usize,
    panels: usize,
    count: usize,
    of: PhantomData<&'a [T]>,
}

/// Some lines of some panels of a [`SpreadMut`], which can be read and written.
pub(crate) struct LinesMut<'a, T> {
    start: *mut T,
    stride: usize,
    panels: usize,
    count: usize,
    of: PhantomData<&'a mut [T]>,
}

impl<T> Lines<'_, T> {
    /// Where the first line is, and how many elements after it the first line of the next panel.
    #[inline(always)]
    pub(crate) fn place(&self) -> (*const T, usize) {
        (self.start, self.stride)
    }

    /// Whether there are at least `count` lines in each of at least `panels` panels.
    #[inline(always)]
    pub(crate) fn hold(&self, panels: usize, count: usize) -> bool {
        panels <= self.panels && count <= self.count
    }
}

impl<T> LinesMut<'_, T> {
    /// As [`Lines::place`].
    #[inline(always)]
    pub(crate) fn place(&self) -> (*mut T, usize) {
        (self.start, self.stride)
    }

    /// As [`Lines::hold`].
    #[inline(always)]
    pub(crate) fn hold(&self, panels: usize, count: usize) -> bool {
        panels <= self.panels && count <= self.count
    }
}
