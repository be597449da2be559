//! What a type of another crate must be able to do to become a source of rows.
#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

use std::ops::Deref;
use std::sync::Arc;

use ae_data::{BatchSource, DataError, Rows};

/// Rows of three values that can be used as a slice. The crate must leave it free to be a source: with an
/// implementation for everything that dereferences to something, this file would not compile.
struct Triples(Vec<f32>);

impl Deref for Triples {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl BatchSource for Triples {
    fn rows(&self) -> usize {
        self.len() / 3
    }
    fn features(&self) -> usize {
        3
    }
    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        Rows::new(self, 3)?.read_rows(indices, out)
    }
    fn as_slice(&self) -> Option<&[f32]> {
        Some(self)
    }
}

/// The first value of each row, read as a generic function would.
fn first_values<S: BatchSource + ?Sized>(source: &S) -> Vec<f32> {
    let indices: Vec<usize> = (0..source.rows()).collect();
    let mut values = vec![0.0; indices.len() * source.features()];
    source.read_rows(&indices, &mut values).unwrap();
    values.into_iter().step_by(source.features()).collect()
}

#[test]
fn a_type_that_dereferences_to_a_slice_can_be_a_source() {
    let triples = Triples(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(first_values(&triples), [1.0, 4.0]);
    assert_eq!(ae_data::contiguous_values(&triples), Some(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]));
}

#[test]
fn pointers_to_sources_are_sources() {
    let mut triples = Triples(vec![1.0, 2.0, 3.0]);
    assert_eq!(first_values(&&triples), [1.0]);
    assert_eq!(first_values(&&mut triples), [1.0]);
    let shared: Arc<dyn BatchSource + Send> = Arc::new(Triples(vec![1.0, 2.0, 3.0]));
    assert_eq!(first_values(&shared), [1.0]);
    let boxed: Box<dyn BatchSource> = Box::new(triples);
    assert_eq!(first_values(&boxed), [1.0]);
}
