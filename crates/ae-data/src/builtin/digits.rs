//! Scanned digits; `data/README.md` says where they come from.

use std::io::Read;
use std::path::Path;

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::labels::Labels;

/// Gzipped CSV: 64 pixels and the label per row.
const PACKED: &[u8] = include_bytes!("../../data/digits.csv.gz");
const PIXELS: usize = 64;

/// Returns 1,797 handwritten digits of 8 x 8 pixels, with values from 0 to 16 and labels 0 to 9.
///
/// Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning
/// Repository, 1998, doi 10.24432/C50P49, CC BY 4.0; the part that ships with scikit-learn.
///
/// # Errors
/// None in practice: the dataset is embedded in the program, and a test reads it.
pub fn digits() -> Result<Dataset, DataError> {
    let malformed =
        |reason: String| DataError::Malformed { path: "digits".into(), format: "built-in", reason };
    let mut text = String::new();
    flate2::read::GzDecoder::new(PACKED)
        .read_to_string(&mut text)
        .map_err(|source| DataError::Io { path: Path::new("digits").to_owned(), source })?;
    let mut values = Vec::with_capacity(1797 * PIXELS);
    let mut labels = Vec::with_capacity(1797);
    for line in text.lines() {
        let cells: Vec<f32> = line
            .split(',')
            .map(|cell| cell.parse().map_err(|_| malformed(format!("'{cell}' is not a number"))))
            .collect::<Result<_, _>>()?;
        let [pixels @ .., label] = cells.as_slice() else { continue };
        values.extend(pixels);
        labels.push(*label as i64);
    }
    let names = (0..PIXELS).map(|i| format!("pixel_{}_{}", i / 8, i % 8)).collect();
    Dataset::new(values, PIXELS)?.with_names(names)?.with_labels(Labels::from_integers(labels))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_set_is_whole() {
        let digits = super::digits().unwrap();
        assert_eq!((digits.rows(), digits.features()), (1797, 64));
        assert!(digits.values().iter().all(|x| (0.0..=16.0).contains(x) && x.fract() == 0.0));
        assert_eq!(digits.values().iter().map(|x| f64::from(*x)).sum::<f64>(), 561_718.0);
        let labels = digits.labels().unwrap();
        assert_eq!(labels.names(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        let count = |digit| labels.codes().iter().filter(|code| **code == digit).count();
        assert_eq!(
            (0..10).map(count).collect::<Vec<_>>(),
            [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        );
    }
}
