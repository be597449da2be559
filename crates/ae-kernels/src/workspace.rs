//! Memory that starts on a cache line.

use crate::simd::Element;

/// A cache line.
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u64; 8]);

/// A buffer whose first element is on a 64-byte boundary, so that panel rows are cache lines.
#[derive(Clone, Default)]
pub struct AlignedBuf<T> {
    lines: Vec<Line>,
    len: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: Element> AlignedBuf<T> {
    /// Creates a buffer of `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        let lines = len.saturating_mul(size_of::<T>()).div_ceil(size_of::<Line>());
        AlignedBuf { lines: bytemuck::allocation::zeroed_vec(lines), len, element: std::marker::PhantomData }
    }

    /// Creates a buffer of `len` elements that are written before they are read. They are zeros, like
    /// all new memory; with debug assertions on, they are NaN, so that reading them anyway is noticed.
    pub fn unwritten(len: usize) -> Self {
        let mut buffer = AlignedBuf::zeroed(len);
        if cfg!(debug_assertions) {
            buffer.as_mut_slice().fill(T::from_f64(f64::NAN));
        }
        buffer
    }

    /// The elements.
    pub fn as_slice(&self) -> &[T] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// The elements, mutable.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl<T> std::fmt::Debug for AlignedBuf<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf[{}]", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_every_size_are_zero_and_aligned() {
        for len in [0, 1, 15, 16, 17, 4095, (4 << 20) / 4 - 1, (4 << 20) / 4 + 1, 3 << 20] {
            let mut buffer = AlignedBuf::<f32>::zeroed(len);
            assert_eq!(buffer.as_slice().len(), len);
            assert_eq!(buffer.as_slice().as_ptr().align_offset(64), 0);
            assert!(buffer.as_slice().iter().all(|x| *x == 0.0));
            buffer.as_mut_slice().fill(1.5);
            let copy = buffer.clone();
            assert_eq!(copy.as_slice(), buffer.as_slice());
            assert_eq!(copy.as_slice().as_ptr().align_offset(64), 0);
        }
    }
}
