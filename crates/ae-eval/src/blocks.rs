//! Rows a block at a time, so that what is worked out of them needs no copy of them all.

use std::ops::Range;

use ae_data::BatchSource;

use crate::error::EvalError;

/// Rows of a block.
const BLOCK: usize = 1024;

/// Calls `take` with consecutive rows until all have been there.
pub(crate) fn for_each_block(
    source: &dyn BatchSource,
    mut take: impl FnMut(&[f32]),
) -> Result<(), EvalError> {
    let (rows, features) = (source.rows(), source.features());
    if let Some(values) = source.as_slice() {
        values.chunks((BLOCK * features).max(1)).for_each(take);
        return Ok(());
    }
    let mut values = vec![0.0; BLOCK.min(rows) * features];
    for first in (0..rows).step_by(BLOCK) {
        let indices: Vec<usize> = (first..rows.min(first + BLOCK)).collect();
        let block = &mut values[..indices.len() * features];
        source.read_rows(&indices, block)?;
        take(block);
    }
    Ok(())
}

/// Calls `take` with consecutive rows of one source and the same rows of another of the same shape.
pub(crate) fn for_each_pair(
    left: &dyn BatchSource,
    right: &dyn BatchSource,
    mut take: impl FnMut(&[f32], &[f32]),
) -> Result<(), EvalError> {
    let (rows, features) = (left.rows(), left.features());
    if (right.rows(), right.features()) != (rows, features) {
        return Err(EvalError::Shape { values: right.rows() * right.features(), features });
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for first in (0..rows).step_by(BLOCK) {
        let range = first..rows.min(first + BLOCK);
        let (left, right) = (block(left, range.clone(), &mut a)?, block(right, range, &mut b)?);
        take(left, right);
    }
    Ok(())
}

/// The rows of a range: lent where they are in memory, else read into `values`.
fn block<'a>(
    source: &'a dyn BatchSource,
    range: Range<usize>,
    values: &'a mut Vec<f32>,
) -> Result<&'a [f32], EvalError> {
    let features = source.features();
    if let Some(all) = source.as_slice() {
        return Ok(&all[range.start * features..range.end * features]);
    }
    values.resize(range.len() * features, 0.0);
    source.read_rows(&range.collect::<Vec<_>>(), values)?;
    Ok(values)
}
