//! Fingerprints, which identify data and settings.

use crate::error::DataError;
use crate::source::{BatchSource, for_each_block};

/// A hash of data and settings that tells whether results belong to them: 64-bit FNV-1a (Fowler, Noll &
/// Vo 1991).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

/// The fingerprint of nothing.
impl Default for Fingerprint {
    fn default() -> Fingerprint {
        Fingerprint(0xcbf2_9ce4_8422_2325)
    }
}

/// Rows read at a time.
const BLOCK: usize = 1024;

impl Fingerprint {
    /// Computes the fingerprint of rows: their shape, the names of the features and the bits of the
    /// values; the same for the targets, if the source has any; and the number of held-out rows.
    ///
    /// # Errors
    /// Any error from reading the rows.
    pub fn of(data: &dyn BatchSource) -> Result<Fingerprint, DataError> {
        let mut print = Fingerprint::default();
        print.feed_rows(data)?;
        if let Some(targets) = data.targets() {
            print.feed_rows(targets)?;
        }
        match data.held_out() {
            0 => Ok(print),
            rows => Ok(print.with(&format!("the last {rows} held out"))),
        }
    }

    /// Adds text, such as settings.
    #[must_use]
    pub fn with(self, text: &str) -> Fingerprint {
        self.with_bytes(text.as_bytes())
    }

    /// Adds bytes.
    #[must_use]
    pub fn with_bytes(mut self, bytes: &[u8]) -> Fingerprint {
        self.feed(bytes);
        // UTF-8 never contains this byte, so two texts differ from their concatenation.
        self.feed(&[0xff]);
        self
    }

    /// The fingerprint as a number.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The fingerprint with these bits.
    pub fn from_bits(bits: u64) -> Fingerprint {
        Fingerprint(bits)
    }

    fn feed_rows(&mut self, data: &dyn BatchSource) -> Result<(), DataError> {
        for size in [data.rows(), data.features()] {
            self.feed(&(size as u64).to_le_bytes());
        }
        for name in data.names().unwrap_or_default() {
            *self = self.with(name);
        }
        for_each_block(data, BLOCK, |block| {
            block.iter().for_each(|x| self.feed(&x.to_bits().to_le_bytes()));
        })
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, Pairs, Rows, Subset};

    #[test]
    fn fingerprints_know_settings_and_data() {
        let print =
            |values: &[f32], features| Fingerprint::of(&Rows::new(values, features).unwrap()).unwrap();
        let some = print(&[1.0, 2.0, 3.0, 4.0], 2);
        assert_eq!(some, print(&[1.0, 2.0, 3.0, 4.0], 2));
        assert_eq!(some, Fingerprint::from_bits(some.bits()));
        assert_ne!(some, print(&[1.0, 2.0, 4.0, 3.0], 2));
        assert_ne!(some, print(&[1.0, 2.0, 3.0, 4.0], 1));
        assert_ne!(some.with("a"), some.with("b"));
        assert_ne!(some.with("ab"), some.with("a").with("b"));
        let named = Dataset::new(vec![1.0, 2.0, 3.0, 4.0], 2).unwrap();
        let named = named.with_names(vec!["a".to_owned(), "b".to_owned()]).unwrap();
        assert_ne!(some, Fingerprint::of(&named).unwrap());
        // The hash of 'a' as published by the authors.
        let mut known = Fingerprint::default();
        known.feed(b"a");
        assert_eq!(known, Fingerprint(0xaf63_dc4c_8601_ec8c));
    }

    #[test]
    fn it_is_that_of_the_rows_wherever_they_are() {
        let values: Vec<f32> = (0..2 * 3000).map(|x| x as f32).collect();
        let rows = Rows::new(&values, 2).unwrap();
        let read = Subset::new(&rows, (0..3000).collect()).unwrap();
        assert!(read.as_slice().is_none());
        assert_eq!(Fingerprint::of(&rows).unwrap(), Fingerprint::of(&read).unwrap());
        let pairs = |targets| Fingerprint::of(&Pairs::new(&rows, targets).unwrap()).unwrap();
        let doubled: Vec<f32> = values.iter().map(|x| 2.0 * x).collect();
        let doubled = Rows::new(&doubled, 2).unwrap();
        assert_ne!(pairs(&rows), pairs(&doubled));
        assert_ne!(pairs(&rows), Fingerprint::of(&rows).unwrap());
    }
}
