//! IDX, the format of MNIST (described on its download page): big-endian numbers after a small header.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::dataset::Dataset;
use crate::dataset_builder::DatasetBuilder;
use crate::error::DataError;
use crate::labels::Labels;
use crate::read::{ReadOptions, maybe_gzip};

/// Bytes read at a time; a multiple of the width of every type.
const CHUNK: usize = 1 << 16;

/// Reads a file: the first dimension becomes rows, all others together become features. A label file
/// next to it is read as well.
pub(crate) fn read_file(path: &Path, options: &ReadOptions) -> Result<Dataset, DataError> {
    let open = |path: &Path| {
        std::fs::File::open(path).map_err(|source| DataError::Io { path: path.to_owned(), source })
    };
    let dataset = read(open(path)?, path, options)?;
    let Some(label_file) = label_file_of(path) else { return Ok(dataset) };
    let labels = read(open(&label_file)?, &label_file, options)?;
    dataset.with_labels(Labels::from_integers(labels.values().iter().map(|x| *x as i64)))
}

/// Returns `...-labels-idx1-ubyte` for `...-images-idx3-ubyte`, gzipped or not, if that file exists.
fn label_file_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let label_file = path.with_file_name(name.replace("images-idx3", "labels-idx1"));
    (name.contains("images-idx3") && label_file.is_file()).then_some(label_file)
}

/// Reads a stream, decompressing it if it is gzipped.
pub(crate) fn read(reader: impl Read, path: &Path, options: &ReadOptions) -> Result<Dataset, DataError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => malformed(path, error.to_string()),
        io::ErrorKind::UnexpectedEof => malformed(path, "the compressed stream is truncated".to_owned()),
        _ => DataError::Io { path: path.to_owned(), source: error },
    };
    let mut reader = maybe_gzip(BufReader::new(reader)).map_err(failed)?;
    let mut magic = [0; 4];
    if fill(&mut reader, &mut magic).map_err(failed)? < 4 || magic[..2] != [0, 0] {
        return Err(malformed(path, "it does not start with the IDX magic number".to_owned()));
    }
    let (width, decode): (usize, fn(&[u8]) -> f64) = match magic[2] {
        0x08 => (1, |b| f64::from(b[0])),
        0x09 => (1, |b| f64::from(b[0] as i8)),
        0x0B => (2, |b| f64::from(i16::from_be_bytes([b[0], b[1]]))),
        0x0C => (4, |b| f64::from(i32::from_be_bytes([b[0], b[1], b[2], b[3]]))),
        0x0D => (4, |b| f64::from(f32::from_be_bytes([b[0], b[1], b[2], b[3]]))),
        0x0E => (8, |b| f64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])),
        code => return Err(malformed(path, format!("type code {code:#04x} is unknown"))),
    };
    let mut dims = vec![0; usize::from(magic[3]) * 4];
    if fill(&mut reader, &mut dims).map_err(failed)? < dims.len() || dims.is_empty() {
        return Err(malformed(path, "its header is truncated".to_owned()));
    }
    let dims: Vec<u64> =
        dims.chunks_exact(4).map(|b| u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))).collect();
    let product = |dims: &[u64]| dims.iter().try_fold(1u64, |product, dim| product.checked_mul(*dim));
    let expected = product(&dims).and_then(|count| count.checked_mul(width as u64));
    let (Some(expected), Some(features)) = (expected, product(&dims[1..])) else {
        return Err(malformed(path, format!("its dimensions {dims:?} are too large")));
    };

    // Memory grows with the data present, not with what the header claims.
    let mut builder = DatasetBuilder::new(path, features as usize, None, options.missing);
    let mut buffer = vec![0; CHUNK];
    let mut left = expected;
    while left > 0 {
        let want = left.min(CHUNK as u64) as usize;
        let got = fill(&mut reader, &mut buffer[..want]).map_err(failed)?;
        if got < want {
            let got = expected - left + got as u64;
            return Err(DataError::Truncated { path: path.to_owned(), expected, got });
        }
        if width == 1 && magic[2] == 0x08 {
            builder.extend(buffer[..got].iter().map(|byte| f32::from(*byte)))?;
        } else {
            buffer[..got].chunks_exact(width).try_for_each(|bytes| builder.push(decode(bytes)))?;
        }
        left -= got as u64;
    }
    if fill(&mut reader, &mut buffer[..1]).map_err(failed)? > 0 {
        return Err(malformed(path, "there are bytes after the values".to_owned()));
    }
    builder.finish()
}

fn malformed(path: &Path, reason: String) -> DataError {
    DataError::Malformed { path: path.to_owned(), format: "IDX", reason }
}

/// Reads until the buffer is full or the stream ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Dataset, String> {
        read(bytes, Path::new("a.idx"), &ReadOptions::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_type_of_number() {
        let file = |code: u8, dims: &[u32], data: &[u8]| {
            let mut bytes = vec![0, 0, code, dims.len() as u8];
            dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
            [&bytes, data].concat()
        };
        let cases: [(Vec<u8>, usize, &[f32]); 6] = [
            (file(8, &[2, 1, 2], &[0, 255, 3, 4]), 2, &[0.0, 255.0, 3.0, 4.0]),
            (file(9, &[2], &[255, 1]), 1, &[-1.0, 1.0]),
            (file(0x0B, &[1, 1], &[255, 254]), 1, &[-2.0]),
            (file(0x0C, &[1], &[0, 1, 0, 0]), 1, &[65536.0]),
            (file(0x0D, &[1], &1.5f32.to_be_bytes()), 1, &[1.5]),
            (file(0x0E, &[1], &(-2.5f64).to_be_bytes()), 1, &[-2.5]),
        ];
        for (bytes, features, values) in cases {
            let dataset = parse(&bytes).unwrap();
            assert_eq!((dataset.features(), dataset.values()), (features, values));
            for len in 0..bytes.len() {
                assert!(parse(&bytes[..len]).is_err(), "{len} bytes");
            }
        }
        let huge = file(8, &[u32::MAX, u32::MAX, u32::MAX], &[1]);
        assert!(parse(&huge).unwrap_err().contains("too large"));
        let long = file(8, &[u32::MAX, 1], &[1]);
        assert_eq!(
            parse(&long).unwrap_err(),
            "a.idx: truncated: 4294967295 bytes of values expected, 1 found"
        );
        assert!(parse(&file(8, &[1], &[1, 2])).unwrap_err().contains("after the values"));
        assert!(parse(&file(7, &[1], &[1])).unwrap_err().contains("type code 0x07"));
    }

    #[test]
    fn a_file_without_dimensions_is_refused() {
        assert!(parse(&[0, 0, 8, 0, 1]).unwrap_err().contains("its header is truncated"));
    }

    /// More bytes than are read at a time.
    #[test]
    fn long_files_are_read_whole() {
        let count = 40_000u16;
        let mut bytes = vec![0, 0, 0x0B, 1, 0, 0, 0x9c, 0x40];
        (0..count).for_each(|i| bytes.extend((i as i16).to_be_bytes()));
        let expected: Vec<f32> = (0..count).map(|i| f32::from(i as i16)).collect();
        assert!(parse(&bytes).unwrap().values() == expected);
        let message = parse(&bytes[..bytes.len() - 1]).unwrap_err();
        assert_eq!(message, "a.idx: truncated: 80000 bytes of values expected, 79999 found");
        let mut bytes = vec![0, 0, 8, 2, 0, 0, 0x9c, 0x40, 0, 0, 0, 2];
        (0..count).for_each(|i| bytes.extend(i.to_le_bytes()));
        let expected: Vec<f32> = (0..count).flat_map(u16::to_le_bytes).map(f32::from).collect();
        assert!(parse(&bytes).unwrap().values() == expected);
    }
}
