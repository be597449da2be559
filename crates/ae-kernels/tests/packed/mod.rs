//! Random matrices, and their conversion to and from panels.

use ae_kernels::Element;
use ae_kernels::panel::{self, Panels, PanelsMut, panel_len};
use ae_testing::random::SplitMix64;

/// Draws `len` values uniformly from `[low, high)`.
pub(crate) fn draw<T: Element>(len: usize, low: f64, high: f64, seed: u64) -> Vec<T> {
    SplitMix64::new(seed).uniform_f64s(len, low, high).into_iter().map(T::from_f64).collect()
}

/// Packs a row-major `[lines, cols]` matrix into panels.
pub(crate) fn pack<T: Element>(values: &[T], lines: usize, cols: usize) -> Vec<T> {
    let mut packed = vec![T::ZERO; panel_len::<T>(lines, cols)];
    panel::pack(values, PanelsMut::new(&mut packed, lines, cols));
    packed
}

/// Unpacks panels into a row-major `[lines, cols]` matrix.
pub(crate) fn unpack<T: Element>(packed: &[T], lines: usize, cols: usize) -> Vec<T> {
    let mut values = vec![T::ZERO; lines * cols];
    panel::unpack(Panels::new(packed, lines, cols), &mut values);
    values
}
