//! Contact sheets: rows that are grey images, in lines beside each other.

use std::io;

use crate::error::EvalError;

/// Grey level of the palest ink.
const PALE: f32 = 235.0;
/// Grey level around the images.
const PAPER: u8 = 255;

/// A drawn sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// Pixels in x.
    pub width: usize,
    /// Pixels in y.
    pub height: usize,
    /// Grey levels line by line, `[height, width]`.
    pub pixels: Vec<u8>,
}

/// How images are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SheetStyle {
    /// Width and height of an image, in its own pixels, which are in lines from the top.
    pub image: (usize, usize),
    /// Pixels of the sheet for one of an image, each way.
    pub zoom: usize,
    /// Pixels between images and around them all.
    pub gap: usize,
    /// The values that are drawn palest and darkest; others are drawn as the nearer one.
    pub range: (f32, f32),
}

impl Sheet {
    /// Draws `lines`, each `[images, height * width]`, one below the other.
    ///
    /// # Errors
    /// [`EvalError::Shape`] if a line is not whole images, or an image or its zoom has no size.
    pub fn draw(lines: &[&[f32]], style: SheetStyle) -> Result<Sheet, EvalError> {
        let SheetStyle { image: (wide, high), zoom, gap, range: (low, top) } = style;
        let size = wide * high;
        let wrong = lines.iter().find(|line| size == 0 || zoom == 0 || !line.len().is_multiple_of(size));
        if let Some(line) = wrong {
            return Err(EvalError::Shape { values: line.len(), features: size });
        }
        let images = lines.iter().map(|line| line.len() / size).max().unwrap_or(0);
        let pitch = (wide * zoom + gap, high * zoom + gap);
        let (width, height) = (images * pitch.0 + gap, lines.len() * pitch.1 + gap);
        let mut pixels = vec![PAPER; width * height];
        for (line, values) in lines.iter().enumerate() {
            for (place, values) in values.chunks_exact(size).enumerate() {
                for y in 0..high * zoom {
                    for x in 0..wide * zoom {
                        let value = values[y / zoom * wide + x / zoom];
                        let ink = ((value - low) / (top - low)).clamp(0.0, 1.0);
                        let at = (gap + line * pitch.1 + y) * width + gap + place * pitch.0 + x;
                        pixels[at] = (PALE * (1.0 - ink)) as u8;
                    }
                }
            }
        }
        Ok(Sheet { width, height, pixels })
    }

    /// Writes it as a PNG file.
    ///
    /// # Errors
    /// What writing to `out` returns.
    pub fn write_png(&self, out: impl io::Write) -> io::Result<()> {
        let mut encoder = png::Encoder::new(out, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(io::Error::other)?;
        writer.write_image_data(&self.pixels).map_err(io::Error::other)?;
        writer.finish().map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: SheetStyle = SheetStyle { image: (8, 8), zoom: 8, gap: 8, range: (0.0, 16.0) };

    #[test]
    fn images_stand_where_they_belong() {
        let (mut empty, full) = ([0.0; 64], [16.0; 64]);
        empty[8 + 1] = 20.0;
        let sheet = Sheet::draw(&[&empty, &full], STYLE).unwrap();
        assert_eq!((sheet.width, sheet.height), (80, 152));
        let at = |x: usize, y: usize| sheet.pixels[y * sheet.width + x];
        assert_eq!(at(0, 0), PAPER);
        assert_eq!(at(8, 8), 235);
        assert_eq!(at(16, 16), 0);
        assert_eq!(at(24, 16), 235);
        assert_eq!(at(8, 80), 0);
        assert_eq!(at(71, 143), 0);
        assert_eq!(at(72, 143), PAPER);
        let mut file = Vec::new();
        sheet.write_png(&mut file).unwrap();
        assert!(file.starts_with(b"\x89PNG"));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert!(Sheet::draw(&[&[0.0; 63]], STYLE).is_err());
        assert!(Sheet::draw(&[&[0.0; 64]], SheetStyle { image: (0, 8), ..STYLE }).is_err());
        // Lines of different lengths, and values that are not numbers, are drawn.
        let sheet = Sheet::draw(&[&[f32::NAN; 128], &[1.0; 64]], STYLE).unwrap();
        assert_eq!((sheet.width, sheet.height), (152, 152));
    }
}
