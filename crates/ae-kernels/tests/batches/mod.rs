//! Batches in panels, filled with NaN wherever nothing may be read.

use ae_kernels::Element;
use ae_kernels::panel::{panel_index, panel_len};
use ae_kernels::workspace::AlignedBuf;

/// Packs a row-major `[rows, features]` table into panels `[features, rows]`, with NaN in the padding.
pub(crate) fn batch<T: Element>(values: &[f64], rows: usize, features: usize) -> AlignedBuf<T> {
    let mut buffer = nan::<T>(panel_len::<T>(features, rows));
    for (at, value) in values.iter().enumerate() {
        let (row, feature) = (at / features, at % features);
        buffer.as_mut_slice()[panel_index::<T>(features, feature, row)] = T::from_f64(*value);
    }
    buffer
}

/// A buffer filled with NaN.
pub(crate) fn nan<T: Element>(len: usize) -> AlignedBuf<T> {
    let mut buffer = AlignedBuf::zeroed(len);
    buffer.as_mut_slice().fill(T::from_f64(f64::NAN));
    buffer
}
