//! Writes images to files.

use std::io;
use std::path::Path;

use super::ImageSize;
use crate::atomic::write_unsynced;
use crate::error::DataError;

/// Writes an image, `[height * width * channels]`, as an 8-bit PNG file, grey or RGB. Levels are rounded
/// and clamped to 0 to 255. Does not wait for the disk.
///
/// # Errors
/// [`DataError::ImageSize`] for an invalid size, [`DataError::Shape`] for another number of levels,
/// [`DataError::Io`] otherwise; an existing file at `path` is then unchanged.
pub fn write_image(path: impl AsRef<Path>, size: ImageSize, levels: &[f32]) -> Result<(), DataError> {
    write_png(path.as_ref(), size, levels)
}

fn write_png(path: &Path, size: ImageSize, levels: &[f32]) -> Result<(), DataError> {
    size.check()?;
    let (Ok(height), Ok(width)) = (u32::try_from(size.height), u32::try_from(size.width)) else {
        return Err(DataError::ImageSize { size });
    };
    if levels.len() != size.features() {
        return Err(DataError::Shape { what: "an image", width: size.features(), got: levels.len() });
    }
    let bytes: Vec<u8> = levels.iter().map(|level| level.round() as u8).collect();
    write_unsynced(path, |file| {
        let mut encoder = png::Encoder::new(file, width, height);
        encoder.set_color(if size.channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(io::Error::other)?;
        writer.write_image_data(&bytes).map_err(io::Error::other)?;
        writer.finish().map_err(io::Error::other)
    })
    .map_err(|source| DataError::Io { path: path.to_owned(), source })
}
