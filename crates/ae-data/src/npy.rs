//! NumPy's `.npy` and `.npz`: numbers of any width, in either byte order, in C or Fortran order.
//!
//! The header is parsed here, after NumPy's format description (numpy.lib.format, versions 1 to 3),
//! rather than by a crate: the sizes come from the file and are multiplied, so every step has to be
//! checked.

use std::io::{self, Read, Seek, Write};
use std::path::Path;

use zip::ZipArchive;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::dataset::Dataset;
use crate::dataset_builder::DatasetBuilder;
use crate::error::DataError;
use crate::half::half;
use crate::labels::Labels;
use crate::memory;
use crate::read::ReadOptions;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Maximum length of a header in bytes; that of a numeric array comes nowhere near it.
const MAX_HEADER: usize = 1 << 16;
/// Elements read at a time.
const CHUNK: usize = 1 << 14;

/// Reads an `.npy` file as `[rows, features]`: further dimensions are flattened into the features, and a
/// single dimension gives rows of one value.
pub(crate) fn read_npy(
    mut reader: impl Read,
    path: &Path,
    options: &ReadOptions,
) -> Result<Dataset, DataError> {
    let header = Header::read(&mut reader, path, "array")?;
    let values = header.values(&mut reader, path)?;
    header.table(values, path, options)
}

/// Reads an array of an `.npz` file, and its labels if there are any.
pub(crate) fn read_npz(
    reader: impl Read + Seek,
    path: &Path,
    options: &ReadOptions,
) -> Result<Dataset, DataError> {
    let mut archive = ZipArchive::new(reader).map_err(|error| malformed(path, error.to_string()))?;
    let names: Vec<String> = archive
        .file_names()
        .flatten()
        .filter_map(|name| name.strip_suffix(".npy").map(str::to_owned))
        .collect();
    let missing = |name: &str| DataError::NotFound {
        path: path.to_owned(),
        what: "array",
        name: name.to_owned(),
        present: names.clone(),
    };
    let chosen = match &options.array {
        Some(name) if names.contains(name) => name.clone(),
        Some(name) => return Err(missing(name)),
        None => match ["X", "x", "data"].into_iter().find(|name| names.iter().any(|n| n == name)) {
            Some(name) => name.to_owned(),
            None => only_matrix(&mut archive, &names, path)?.ok_or_else(|| missing("X"))?,
        },
    };
    let (header, values) = read_array(&mut archive, &chosen, path)?;
    let dataset = header.table(values, path, options)?;
    let label = match &options.label {
        Some(name) if names.contains(name) => Some(name.clone()),
        Some(name) => return Err(missing(name)),
        None => ["y", "labels"].into_iter().find(|name| names.iter().any(|n| n == name)).map(str::to_owned),
    };
    let Some(label) = label else { return Ok(dataset) };
    let (header, values) = match read_array(&mut archive, &label, path) {
        // Labels that are text are ignored unless requested.
        Err(DataError::UnsupportedType { .. }) if options.label.is_none() => return Ok(dataset),
        found => found?,
    };
    let whole = values.iter().all(|x| x.fract() == 0.0 && x.abs() < 9e15);
    let fits = header.elements() == Some(dataset.rows() as u64) && whole;
    match (fits, &options.label) {
        (true, _) => dataset.with_labels(Labels::from_integers(values.into_iter().map(|x| x as i64))),
        (false, None) => Ok(dataset),
        (false, Some(name)) => {
            Err(malformed(path, format!("array '{name}' does not hold a whole number for each row")))
        }
    }
}

/// Returns the name of the only array with two or more dimensions, if there is exactly one.
fn only_matrix<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    names: &[String],
    path: &Path,
) -> Result<Option<String>, DataError> {
    let mut tables = Vec::new();
    for name in names {
        let mut file =
            archive.by_name(&format!("{name}.npy")).map_err(|error| malformed(path, error.to_string()))?;
        match Header::read(&mut file, path, name) {
            Ok(header) if header.shape.len() >= 2 => tables.push(name),
            // There may be other arrays, for example of text.
            Ok(_) | Err(DataError::UnsupportedType { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(if let [only] = tables[..] { Some(only.clone()) } else { None })
}

fn read_array<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    path: &Path,
) -> Result<(Header, Vec<f64>), DataError> {
    let mut file =
        archive.by_name(&format!("{name}.npy")).map_err(|error| malformed(path, error.to_string()))?;
    let header = Header::read(&mut file, path, name)?;
    let values = header.values(&mut file, path)?;
    Ok((header, values))
}

fn io_error(path: &Path, source: io::Error) -> DataError {
    DataError::Io { path: path.to_owned(), source }
}

/// Converts an I/O error; the archive reports damage as one of these kinds.
fn read_error(path: &Path, error: io::Error) -> DataError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => malformed(path, error.to_string()),
        _ => io_error(path, error),
    }
}

fn malformed(path: &Path, reason: String) -> DataError {
    DataError::Malformed { path: path.to_owned(), format: "NumPy", reason }
}

/// The element type of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ElementType {
    kind: u8,
    width: usize,
    is_big_endian: bool,
}

#[derive(Debug)]
struct Header {
    name: String,
    element: ElementType,
    fortran: bool,
    shape: Vec<u64>,
}

impl Header {
    fn read(reader: &mut impl Read, path: &Path, name: &str) -> Result<Header, DataError> {
        let mut take = |count: usize| -> Result<Vec<u8>, DataError> {
            let mut bytes = vec![0; count];
            reader.read_exact(&mut bytes).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => malformed(path, "the header is truncated".to_owned()),
                _ => read_error(path, error),
            })?;
            Ok(bytes)
        };
        let start = take(8)?;
        if !start.starts_with(MAGIC) {
            return Err(malformed(path, "it does not start with the NumPy magic string".to_owned()));
        }
        let len = match start[6] {
            1 => take(2)?.iter().rev().fold(0, |len, byte| len << 8 | usize::from(*byte)),
            2 | 3 => take(4)?.iter().rev().fold(0, |len, byte| len << 8 | usize::from(*byte)),
            version => return Err(malformed(path, format!("version {version} of the format is unknown"))),
        };
        if len > MAX_HEADER {
            return Err(malformed(path, format!("its header is {len} bytes long")));
        }
        let text = String::from_utf8_lossy(&take(len)?).into_owned();
        let unreadable = || malformed(path, format!("unreadable header {:?}", text.trim_end()));
        let shape = field(&text, "shape").and_then(parse_shape).ok_or_else(unreadable)?;
        let fortran = match field(&text, "fortran_order").ok_or_else(unreadable)? {
            text if text.starts_with("True") => true,
            text if text.starts_with("False") => false,
            _ => return Err(unreadable()),
        };
        let descr = field(&text, "descr").ok_or_else(unreadable)?;
        let element = parse_type(descr).ok_or_else(|| DataError::UnsupportedType {
            path: path.to_owned(),
            array: format!("array '{name}'"),
            dtype: match descr.trim_start().starts_with('[') {
                true => "records of several fields".to_owned(),
                false => {
                    format!("elements of type {}", descr.split([',', '}']).next().unwrap_or_default().trim())
                }
            },
        })?;
        Ok(Header { name: name.to_owned(), element, fortran, shape })
    }

    /// Returns the number of elements, unless it overflows.
    fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |count, dim| count.checked_mul(*dim))
    }

    /// Reads all elements in the order of the file, which must end with them.
    fn values(&self, reader: &mut impl Read, path: &Path) -> Result<Vec<f64>, DataError> {
        let width = self.element.width;
        let expected = self.elements().and_then(|count| count.checked_mul(width as u64));
        let Some(expected) = expected else {
            return Err(malformed(
                path,
                format!("the shape {:?} of array '{}' is too large", self.shape, self.name),
            ));
        };
        // Memory grows with the data present, not with what the header claims.
        let mut values = Vec::new();
        let mut buffer = vec![0; CHUNK * width];
        let mut left = expected;
        while left > 0 {
            let want = left.min(buffer.len() as u64) as usize;
            let got = read_up_to(reader, &mut buffer[..want]).map_err(|error| read_error(path, error))?;
            memory::grow(&mut values, got / width, path)?;
            values.extend(buffer[..got].chunks_exact(width).map(|bytes| self.element.decode(bytes)));
            left -= got as u64;
            if got < want {
                return Err(DataError::Truncated { path: path.to_owned(), expected, got: expected - left });
            }
        }
        // Reading to the end also makes an archive verify the checksum of the member.
        if read_up_to(reader, &mut [0]).map_err(|error| read_error(path, error))? > 0 {
            return Err(malformed(path, format!("there are bytes after array '{}'", self.name)));
        }
        Ok(values)
    }

    fn table(&self, values: Vec<f64>, path: &Path, options: &ReadOptions) -> Result<Dataset, DataError> {
        let Some((&rows, rest)) = self.shape.split_first() else {
            return Err(malformed(path, format!("array '{}' is a single number", self.name)));
        };
        let rows = rows as usize;
        let features = values.len().checked_div(rows).unwrap_or(0);
        let mut builder = DatasetBuilder::new(path, features, None, options.missing);
        if self.fortran && !values.is_empty() && rest.iter().any(|dim| *dim > 1) {
            for row in 0..rows {
                for feature in 0..features {
                    builder.push(values[fortran_index(row, feature, rows, rest)])?;
                }
            }
        } else {
            values.into_iter().try_for_each(|x| builder.push(x))?;
        }
        builder.finish()
    }
}

/// Returns the position of element `(row, feature)` in Fortran order, where `feature` counts the
/// remaining dimensions in C order.
fn fortran_index(row: usize, mut feature: usize, rows: usize, rest: &[u64]) -> usize {
    let mut stride = element_count(rest) * rows;
    let mut place = row;
    for dim in rest.iter().rev() {
        let dim = *dim as usize;
        stride /= dim;
        place += feature % dim * stride;
        feature /= dim;
    }
    place
}

fn element_count(dims: &[u64]) -> usize {
    dims.iter().map(|dim| *dim as usize).product()
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
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

/// Returns what follows `'key':` in the header.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) =
        text.split_once(&format!("'{key}'")).or_else(|| text.split_once(&format!("\"{key}\"")))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn parse_shape(text: &str) -> Option<Vec<u64>> {
    let (inside, _) = text.strip_prefix('(')?.split_once(')')?;
    let parts =
        inside.split(',').map(|part| part.trim().trim_end_matches('L')).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().ok()).collect()
}

/// Parses `'<f4'` and the like.
fn parse_type(text: &str) -> Option<ElementType> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (inside, _) = text[1..].split_once(quote)?;
    let (order, rest) = match inside.as_bytes() {
        [order @ (b'<' | b'>' | b'|' | b'='), rest @ ..] => (*order, rest),
        rest => (b'=', rest),
    };
    let (&kind, digits) = rest.split_first()?;
    let width: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let known = match kind {
        b'b' => width == 1,
        b'i' | b'u' => matches!(width, 1 | 2 | 4 | 8),
        b'f' => matches!(width, 2 | 4 | 8),
        _ => false,
    };
    let is_big_endian = order == b'>' || (order == b'=' && cfg!(target_endian = "big"));
    known.then_some(ElementType { kind, width, is_big_endian })
}

impl ElementType {
    fn decode(self, bytes: &[u8]) -> f64 {
        let byte = |i: usize| u64::from(bytes[if self.is_big_endian { self.width - 1 - i } else { i }]);
        let bits = (0..self.width).fold(0, |bits, i| bits | byte(i) << (8 * i));
        match (self.kind, self.width) {
            (b'f', 8) => f64::from_bits(bits),
            (b'f', 4) => f64::from(f32::from_bits(bits as u32)),
            (b'f', _) => half(bits as u16),
            (b'i', width) => {
                let shift = 64 - 8 * width as u32;
                ((bits << shift) as i64 >> shift) as f64
            }
            (b'b', _) => f64::from(u8::from(bits != 0)),
            _ => bits as f64,
        }
    }
}

/// Writes `[rows, features]` as little-endian `f4` in C order.
pub(crate) fn write_npy(dataset: &Dataset, mut out: impl Write) -> io::Result<()> {
    out.write_all(&header_bytes("<f4", &format!("({}, {})", dataset.rows(), dataset.features())))?;
    dataset.values().iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))
}

/// Writes the rows as `X` and the labels, if any, as `y`: their values if all are whole numbers, else
/// the indices of their names.
pub(crate) fn write_npz(dataset: &Dataset, out: impl Write + Seek) -> io::Result<()> {
    let mut archive = ZipWriter::new(out);
    let options = SimpleFileOptions::default().large_file(true);
    archive.start_file("X.npy", options).map_err(io::Error::from)?;
    let mut file = io::BufWriter::new(&mut archive);
    write_npy(dataset, &mut file)?;
    file.flush()?;
    drop(file);
    if let Some(labels) = dataset.labels() {
        archive.start_file("y.npy", options).map_err(io::Error::from)?;
        archive.write_all(&header_bytes("<i8", &format!("({},)", labels.len())))?;
        let values: Option<Vec<i64>> = labels.names().iter().map(|name| whole_number(name)).collect();
        for code in labels.codes() {
            let value = values.as_ref().and_then(|values| values.get(*code as usize).copied());
            archive.write_all(&value.unwrap_or(i64::from(*code)).to_le_bytes())?;
        }
    }
    archive.finish().map_err(io::Error::from)?;
    Ok(())
}

/// Returns the number that a label spells canonically: `1` and `01` are different labels.
fn whole_number(name: &str) -> Option<i64> {
    name.parse().ok().filter(|value: &i64| value.to_string() == name)
}

/// Returns a version 1 header, padded so that the data starts at a multiple of 64 bytes.
fn header_bytes(descr: &str, shape: &str) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let len = (MAGIC.len() + 4 + text.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
    let mut bytes = [MAGIC, &[1, 0], &(len as u16).to_le_bytes()].concat();
    bytes.extend(format!("{text:<width$}\n", width = len - 1).bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lying_headers_are_refused_without_their_memory() {
        let with = |shape: &str, data: &[u8]| {
            let bytes = [&header_bytes("<f4", shape)[..], data].concat();
            read_npy(&bytes[..], Path::new("a.npy"), &ReadOptions::default()).unwrap_err().to_string()
        };
        let cases: [(&str, &[u8], &str); 8] = [
            (
                "(4, 1000000000000)",
                &[0; 8],
                "a.npy: truncated: 16000000000000 bytes of values expected, 8 found",
            ),
            ("(18446744073709551615, 2)", &[], "of array 'array' is too large"),
            ("(2, 3", &[], "a.npy: not a valid NumPy file: unreadable header"),
            ("(-1,)", &[], "unreadable header"),
            ("()", &[0; 4], "array 'array' is a single number"),
            ("(0, 3)", &[], "a.npy: no rows"),
            ("(18446744073709551615, 0, 2)", &[], "a.npy: no rows"),
            ("(1, 1)", &[0; 5], "there are bytes after array 'array'"),
        ];
        for (shape, data, expected) in cases {
            let message = with(shape, data);
            assert!(message.contains(expected), "{shape}: {message}");
        }
    }

    #[test]
    fn lengths_of_headers_are_four_bytes_from_the_second_version_on() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
        let with = |version: u8, len: u32| {
            let text = format!("{text:<width$}\n", width = MAX_HEADER - 1);
            let bytes =
                [MAGIC, &[version, 0], &len.to_le_bytes(), text.as_bytes(), &1.5f32.to_le_bytes()].concat();
            read_npy(&bytes[..], Path::new("a.npy"), &ReadOptions::default())
                .map_err(|error| error.to_string())
        };
        for version in [2, 3] {
            assert_eq!(with(version, 65_536).unwrap().values(), [1.5], "version {version}");
            for len in [65_537, u32::MAX] {
                let expected = format!("a.npy: not a valid NumPy file: its header is {len} bytes long");
                assert_eq!(with(version, len).unwrap_err(), expected);
            }
        }
        for version in [0, 4] {
            let message = with(version, 65_536).unwrap_err();
            assert!(message.contains(&format!("version {version} of the format is unknown")), "{message}");
        }
    }

    #[test]
    fn nothing_of_an_empty_array_in_fortran_order_is_visited() {
        let header = header_bytes("<f4", "(18446744073709551615, 0, 2)");
        let header = String::from_utf8_lossy(&header[10..]).replace("False", "True ");
        let bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
        let error = read_npy(&bytes[..], Path::new("a.npy"), &ReadOptions::default()).unwrap_err();
        assert!(error.to_string().contains("a.npy: no rows"), "{error}");
    }

    #[test]
    fn a_member_that_does_not_match_its_checksum_is_refused() {
        let dataset = Dataset::new((0..4000).map(|i| i as f32).collect(), 4).unwrap();
        let mut bytes = io::Cursor::new(Vec::new());
        let mut archive = ZipWriter::new(&mut bytes);
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        archive.start_file("X.npy", stored).unwrap();
        write_npy(&dataset, &mut archive).unwrap();
        archive.finish().unwrap();
        let mut bytes = bytes.into_inner();
        let read =
            |bytes: &[u8]| read_npz(io::Cursor::new(bytes), Path::new("a.npz"), &ReadOptions::default());
        assert_eq!(read(&bytes).unwrap().values(), dataset.values());
        bytes[4000] ^= 1;
        let message = read(&bytes).unwrap_err().to_string();
        assert!(
            message.contains("a.npz: not a valid NumPy file: ") && message.contains("checksum"),
            "{message}"
        );
    }

    #[test]
    fn labels_that_are_spelled_differently_stay_apart() {
        let labels = |names: &[&str]| {
            let dataset = Dataset::new(vec![0.0, 1.0, 2.0], 1).unwrap();
            let dataset = dataset.with_labels(Labels::from_texts(names)).unwrap();
            let mut bytes = io::Cursor::new(Vec::new());
            write_npz(&dataset, &mut bytes).unwrap();
            let read = read_npz(bytes, Path::new("a.npz"), &ReadOptions::default()).unwrap();
            read.labels().unwrap().names().to_vec()
        };
        assert_eq!(labels(&["7", "3", "7"]).len(), 2);
        assert_eq!(labels(&["01", "1", "x"]).len(), 3);
        assert_eq!(labels(&["01", "1", "2"]).len(), 3);
    }
}
