//! Rows a block at a time, so that what is worked out of them needs no copy of them all.

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
