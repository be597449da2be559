//! Decodes image files to pixels, whatever their format, bit depth and colours.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::{ZByteReaderTrait, ZCursor};
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::ImageSize;
use super::resample::resample;
use crate::error::DataError;
use crate::guard::guarded;

/// Maximum size of an image in bytes, compressed or not: a small file may claim to hold a huge image.
const MAX_BYTES: usize = 1 << 29;
/// Longest side of a JPEG image.
const MAX_JPEG_SIDE: usize = 65_535;
/// The level of white.
const WHITE: f32 = 255.0;
/// 16-bit levels per 8-bit level.
const LEVELS_16_PER_8_BIT: f32 = 257.0;

/// What is known about an image before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Whether its pixels have three channels, which may all be the same.
    pub(super) may_have_colour: bool,
}

impl Header {
    pub(super) fn read(path: &Path) -> Result<Header, DataError> {
        guard(path, || Header::read_unguarded(path))
    }

    fn read_unguarded(path: &Path) -> Result<Header, DataError> {
        let (file, format) = open(path)?;
        match format {
            Format::Png => {
                let reader = png_reader(path, file)?;
                let info = reader.info();
                let (height, width) = (info.height as usize, info.width as usize);
                let (channels, depth) = png_layout(&reader);
                check_size(path, height, width, channels * depth)?;
                let may_have_colour =
                    !matches!(info.color_type, png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha);
                Ok(Header { height, width, may_have_colour })
            }
            Format::Jpeg => {
                let head = JpegHead::read(path, &mut jpeg_decoder(file))?;
                let (height, width) = head.view().shape();
                check_size(path, height, width, head.channels)?;
                Ok(Header { height, width, may_have_colour: head.channels == 3 })
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Format {
    Png,
    Jpeg,
}

/// Opens a file and inspects its first bytes, since file names often lie about their content.
fn open(path: &Path) -> Result<(BufReader<File>, Format), DataError> {
    let failed = |source| DataError::Io { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let start = file.fill_buf().map_err(failed)?;
    let format = match start {
        [] => return Err(malformed(path, "image", "the file is empty")),
        [0x89, b'P', b'N', b'G', ..] => Format::Png,
        [0xFF, 0xD8, ..] => Format::Jpeg,
        _ => return Err(malformed(path, "image", "it is neither a PNG nor a JPEG file")),
    };
    Ok((file, format))
}

/// Turns a panic of a decoder into an error.
fn guard<T>(path: &Path, read: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
    guarded(read).unwrap_or_else(|panic| Err(malformed(path, "image", format!("it is damaged ({panic})"))))
}

fn malformed(path: &Path, format: &'static str, reason: impl ToString) -> DataError {
    DataError::Malformed { path: path.to_owned(), format, reason: reason.to_string() }
}

/// Rejects an image that would need too much memory.
fn check_size(path: &Path, height: usize, width: usize, bytes_a_pixel: usize) -> Result<(), DataError> {
    let bytes = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(bytes_a_pixel));
    match bytes.is_some_and(|bytes| bytes <= MAX_BYTES) {
        true => Ok(()),
        false => Err(DataError::ImageTooLarge { path: path.to_owned(), height, width, max_bytes: MAX_BYTES }),
    }
}

/// A decoded image.
pub(super) struct Pixels {
    view: View,
    /// Values per pixel: 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha.
    channels: usize,
    /// Bytes per value, big-endian.
    depth: usize,
    bytes: Vec<u8>,
}

impl Pixels {
    pub(super) fn read(path: &Path) -> Result<Pixels, DataError> {
        guard(path, || {
            let (file, format) = open(path)?;
            match format {
                Format::Png => png(path, file),
                Format::Jpeg => jpeg(path, file),
            }
        })
    }

    /// Height and width.
    pub(super) fn shape(&self) -> (usize, usize) {
        self.view.shape()
    }

    /// Writes the image at this size to `out` (zeros) and returns whether any pixel has a colour.
    pub(super) fn scaled(&self, size: ImageSize, out: &mut [f32]) -> bool {
        let mut has_colour = false;
        resample(self.shape(), size, |y, line| has_colour |= self.line(y, size.channels, line), out);
        has_colour
    }

    /// Writes a line with this many channels and returns whether any pixel has a colour.
    fn line(&self, y: usize, channels: usize, out: &mut [f32]) -> bool {
        let mut has_colour = false;
        for (x, out) in out.chunks_exact_mut(channels).enumerate() {
            let at = self.view.place(y, x) * self.channels * self.depth;
            let value = |channel: usize| match &self.bytes[at + channel * self.depth..] {
                [high, low, ..] if self.depth == 2 => {
                    f32::from(u16::from_be_bytes([*high, *low])) / LEVELS_16_PER_8_BIT
                }
                [level, ..] => f32::from(*level),
                [] => 0.0,
            };
            // Composited onto white.
            let opacity =
                if self.channels.is_multiple_of(2) { value(self.channels - 1) / WHITE } else { 1.0 };
            let level = |channel| value(channel) * opacity + WHITE * (1.0 - opacity);
            let [red, green, blue] = match self.channels {
                1 | 2 => [level(0); 3],
                _ => [level(0), level(1), level(2)],
            };
            has_colour |= red != green || green != blue;
            match out {
                // In this form a grey pixel keeps its level bit for bit.
                [grey] => *grey = green + 0.299 * (red - green) + 0.114 * (blue - green),
                out => out.copy_from_slice(&[red, green, blue]),
            }
        }
        has_colour
    }
}

/// The order in which stored pixels are visited so that the image is upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct View {
    height: usize,
    width: usize,
    origin: isize,
    /// Pixels from one line to the next, and from one pixel of a line to the next.
    down: isize,
    across: isize,
}

impl View {
    /// Views `height` stored lines of `width` pixels in this Exif orientation (1 to 8).
    fn new(height: usize, width: usize, orientation: u8) -> View {
        let (h, w) = (height as isize, width as isize);
        let (origin, down, across) = match orientation {
            2 => (w - 1, w, -1),
            3 => (h * w - 1, -w, -1),
            4 => ((h - 1) * w, -w, 1),
            5 => (0, 1, w),
            6 => ((h - 1) * w, 1, -w),
            7 => (h * w - 1, -1, -w),
            8 => (w - 1, -1, w),
            _ => (0, w, 1),
        };
        let (height, width) = if orientation > 4 { (width, height) } else { (height, width) };
        View { height, width, origin, down, across }
    }

    fn shape(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    fn place(&self, y: usize, x: usize) -> usize {
        (self.origin + y as isize * self.down + x as isize * self.across) as usize
    }
}

type PngReader = png::Reader<BufReader<File>>;

fn png_reader(path: &Path, file: BufReader<File>) -> Result<PngReader, DataError> {
    let mut decoder = png::Decoder::new_with_limits(file, png::Limits { bytes: MAX_BYTES });
    // Expands palettes to colours and packed bits to bytes.
    decoder.set_transformations(png::Transformations::EXPAND);
    let reader = decoder.read_info().map_err(|error| png_error(path, error))?;
    // The decoder panics when it expands such a palette.
    if reader.info().palette.as_ref().is_some_and(|palette| !palette.len().is_multiple_of(3)) {
        return Err(malformed(path, "PNG", "its palette does not hold whole colours"));
    }
    Ok(reader)
}

/// Returns the values per pixel and the bytes per value of the decoded image.
fn png_layout(reader: &PngReader) -> (usize, usize) {
    let (kind, depth) = reader.output_color_type();
    (kind.samples(), if depth == png::BitDepth::Sixteen { 2 } else { 1 })
}

fn png_error(path: &Path, error: png::DecodingError) -> DataError {
    match error {
        png::DecodingError::IoError(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            DataError::Io { path: path.to_owned(), source }
        }
        png::DecodingError::IoError(_) => malformed(path, "PNG", "it is truncated"),
        error => malformed(path, "PNG", error),
    }
}

fn png(path: &Path, file: BufReader<File>) -> Result<Pixels, DataError> {
    let failed = |error| png_error(path, error);
    let mut reader = png_reader(path, file)?;
    let (height, width) = (reader.info().height as usize, reader.info().width as usize);
    let (channels, depth) = png_layout(&reader);
    check_size(path, height, width, channels * depth)?;
    let mut bytes = vec![0; height * width * channels * depth];
    reader.next_frame(&mut bytes).map_err(failed)?;
    reader.finish().map_err(failed)?;
    Ok(Pixels { view: View::new(height, width, 1), channels, depth, bytes })
}

/// The contents of the segments before the pixels.
struct JpegHead {
    height: usize,
    width: usize,
    /// 1 or 3.
    channels: usize,
    orientation: u8,
}

impl JpegHead {
    fn read<T: ZByteReaderTrait>(path: &Path, decoder: &mut JpegDecoder<T>) -> Result<JpegHead, DataError> {
        decoder.decode_headers().map_err(|error| jpeg_error(path, &error))?;
        let (width, height) = decoder.dimensions().unwrap_or_default();
        let channels = if decoder.input_colorspace() == Some(ColorSpace::Luma) { 1 } else { 3 };
        let orientation = decoder.exif().and_then(|exif| orientation(exif)).unwrap_or(1);
        Ok(JpegHead { height, width, channels, orientation })
    }

    fn view(&self) -> View {
        View::new(self.height, self.width, self.orientation)
    }
}

fn jpeg_decoder<T: ZByteReaderTrait>(file: T) -> JpegDecoder<T> {
    JpegDecoder::new_with_options(file, jpeg_options())
}

/// Strict mode: damage is an error, not something to paint over.
fn jpeg_options() -> DecoderOptions {
    DecoderOptions::default().set_strict_mode(true).set_max_width(MAX_JPEG_SIDE).set_max_height(MAX_JPEG_SIDE)
}

fn jpeg_error(path: &Path, error: &DecodeErrors) -> DataError {
    match error {
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => malformed(path, "JPEG", "it is truncated"),
        error => malformed(path, "JPEG", error.to_string().trim_matches('"')),
    }
}

fn jpeg(path: &Path, file: BufReader<File>) -> Result<Pixels, DataError> {
    let mut compressed = Vec::new();
    file.take(MAX_BYTES as u64)
        .read_to_end(&mut compressed)
        .map_err(|source| DataError::Io { path: path.to_owned(), source })?;
    let mut decoder = jpeg_decoder(ZCursor::new(&compressed));
    let head = JpegHead::read(path, &mut decoder)?;
    let JpegHead { height, width, channels, .. } = head;
    check_size(path, height, width, channels)?;
    let colours = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(jpeg_options().jpeg_set_out_colorspace(colours));
    let mut bytes = vec![0; height * width * channels];
    decoder.decode_into(&mut bytes).map_err(|error| jpeg_error(path, &error))?;
    // The decoder does not notice when the last lines are missing.
    if !has_end_marker(&compressed) {
        return Err(malformed(path, "JPEG", "it is truncated"));
    }
    Ok(Pixels { view: head.view(), channels, depth: 1, bytes })
}

/// Whether an end-of-image marker follows the segments. They may contain another one, that of a preview
/// image.
fn has_end_marker(compressed: &[u8]) -> bool {
    let mut rest = compressed.get(2..).unwrap_or_default();
    loop {
        match rest {
            [0xFF, 0xDA, scan @ ..] => return scan.windows(2).any(|pair| pair == [0xFF, 0xD9]),
            [0xFF, 0xFF, ..] => rest = &rest[1..],
            [0xFF, _, high, low, ..] => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                rest = rest.get(2 + len..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}

/// Returns the orientation, from 1 to 8, stored in Exif data.
fn orientation(exif: &[u8]) -> Option<u8> {
    const ORIENTATION: u32 = 0x0112;
    let is_little = exif.starts_with(b"II");
    let number = |at: usize, len: usize| {
        let bytes = exif.get(at..at.checked_add(len)?)?;
        let add = |sum: u32, byte: &u8| sum << 8 | u32::from(*byte);
        Some(if is_little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
    };
    let entries = number(4, 4)? as usize;
    let first = entries.checked_add(2)?;
    for entry in 0..number(entries, 2)? as usize {
        let at = first.checked_add(12 * entry)?;
        if number(at, 2)? == ORIENTATION {
            return number(at.checked_add(8)?, 2)
                .and_then(|value| u8::try_from(value).ok())
                .filter(|value| (1..=8).contains(value));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two lines of three pixels, `abc` and `def`, as they are displayed.
    #[test]
    fn views_turn_images() {
        let seen =
            ["abc/def", "cba/fed", "fed/cba", "def/abc", "ad/be/cf", "da/eb/fc", "fc/eb/da", "cf/be/ad"];
        for (orientation, expected) in (1..).zip(seen) {
            let view = View::new(2, 3, orientation);
            let line =
                |y| (0..view.width).map(|x| char::from(b"abcdef"[view.place(y, x)])).collect::<String>();
            let lines: Vec<String> = (0..view.height).map(line).collect();
            assert_eq!(lines.join("/"), expected, "{orientation}");
        }
    }

    #[test]
    fn orientations_of_either_byte_order() {
        let big =
            b"MM\0\x2a\0\0\0\x08\0\x02\x01\0\0\x03\0\0\0\x01\0\x05\0\0\x01\x12\0\x03\0\0\0\x01\0\x06\0\0";
        let little = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0";
        assert_eq!((orientation(big), orientation(little)), (Some(6), Some(8)));
        for len in 0..big.len() - 2 {
            assert_eq!(orientation(&big[..len]), None, "{len} bytes");
        }
        assert_eq!(orientation(b"II\x2a\0\xff\xff\xff\xff\x01\0"), None);
    }
}
