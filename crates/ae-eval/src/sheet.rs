//! Contact sheets: grids of rows that are images.

use std::io;

use ae_model::Image;

use crate::error::EvalError;

/// Grey level of the lowest value.
const PALEST_LEVEL: f32 = 235.0;
/// Grey level of the background.
const BACKGROUND: u8 = 255;
/// Channels of a colour image: red, green and blue.
const RGB_CHANNELS: usize = 3;

/// A drawn sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Values per pixel: 3 (red, green and blue) for colour images, else 1.
    pub channels: usize,
    /// The levels in row-major order, `[height, width, channels]`.
    pub pixels: Vec<u8>,
}

/// How images are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SheetStyle {
    /// The size of an image. Three channels are red, green and blue; of any other number, the mean is
    /// drawn in grey.
    pub image: Image,
    /// Pixels of the sheet per pixel of an image, in each direction.
    pub zoom: usize,
    /// Pixels between and around the images.
    pub gap: usize,
    /// The lowest and the highest value. In grey they are the palest and the darkest ink, in colour no
    /// light and full light. Values outside are clamped.
    pub range: (f32, f32),
}

/// The maximum number of pixels of a sheet.
const MAX_PIXELS: usize = 1 << 28;

impl Sheet {
    /// Draws `lines`, each `[images, height * width * channels]`, one below the other.
    ///
    /// # Errors
    /// [`EvalError::Shape`] if a line does not consist of whole images, [`EvalError::InvalidSetting`] if
    /// the size of an image or the zoom is 0, or the sheet would have more than 2^28 pixels.
    pub fn draw(lines: &[&[f32]], style: SheetStyle) -> Result<Sheet, EvalError> {
        let SheetStyle { image, zoom, gap, range } = style;
        let Image { height: high, width: wide, channels: deep } = image;
        let size = image.features();
        if size == 0 || zoom == 0 {
            return Err(EvalError::InvalidSetting {
                field: "the size of an image and its zoom",
                allowed: "at least 1",
            });
        }
        if let Some(line) = lines.iter().find(|line| !line.len().is_multiple_of(size)) {
            return Err(EvalError::Shape { values: line.len(), features: size });
        }
        let images = lines.iter().map(|line| line.len() / size).max().unwrap_or(0);
        let channels = if deep == RGB_CHANNELS { RGB_CHANNELS } else { 1 };
        // The distance from one image to the next, and the length of all.
        let along = |side: usize, count: usize| {
            let pitch = side.checked_mul(zoom)?.checked_add(gap)?;
            Some((pitch, pitch.checked_mul(count)?.checked_add(gap)?))
        };
        let sides = along(wide, images).zip(along(high, lines.len()));
        let fitting = sides.filter(|((_, width), (_, height))| {
            width.checked_mul(*height).is_some_and(|pixels| pixels <= MAX_PIXELS)
        });
        let Some(((right, width), (down, height))) = fitting else {
            let allowed = "such that the sheet has at most 2^28 pixels";
            return Err(EvalError::InvalidSetting {
                field: "the size of an image, its zoom and its gap",
                allowed,
            });
        };
        let pitch = (right, down);
        let mut pixels = vec![BACKGROUND; width * height * channels];
        for (line, values) in lines.iter().enumerate() {
            for (place, values) in values.chunks_exact(size.max(1)).enumerate() {
                for y in 0..high * zoom {
                    for x in 0..wide * zoom {
                        let pixel = &values[(y / zoom * wide + x / zoom) * deep..][..deep];
                        let at = (gap + line * pitch.1 + y) * width + gap + place * pitch.0 + x;
                        paint(pixel, range, &mut pixels[at * channels..][..channels]);
                    }
                }
            }
        }
        Ok(Sheet { width, height, channels, pixels })
    }

    /// Writes the sheet as a PNG file.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the sides, the channels (1 or 3) and the number of levels do not
    /// agree; an I/O error from `out`.
    pub fn write_png(&self, out: impl io::Write) -> io::Result<()> {
        let levels = self.width.checked_mul(self.height).and_then(|pixels| pixels.checked_mul(self.channels));
        let agree = levels == Some(self.pixels.len()) && matches!(self.channels, 1 | RGB_CHANNELS);
        let (true, Ok(width), Ok(height)) = (agree, u32::try_from(self.width), u32::try_from(self.height))
        else {
            let Sheet { width, height, channels, pixels } = self;
            let what = format!("{} levels are not a sheet of {height}x{width}x{channels}", pixels.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        };
        let mut encoder = png::Encoder::new(out, width, height);
        encoder.set_color(match self.channels {
            RGB_CHANNELS => png::ColorType::Rgb,
            _ => png::ColorType::Grayscale,
        });
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(io::Error::other)?;
        writer.write_image_data(&self.pixels).map_err(io::Error::other)?;
        writer.finish().map_err(io::Error::other)
    }
}

/// Converts one pixel of an image to levels.
fn paint(pixel: &[f32], (low, top): (f32, f32), levels: &mut [u8]) {
    let fraction = |value: f32| ((value - low) / (top - low)).clamp(0.0, 1.0);
    if let [level] = levels {
        *level = (PALEST_LEVEL * (1.0 - fraction(pixel.iter().sum::<f32>() / pixel.len() as f32))) as u8;
        return;
    }
    for (level, value) in levels.iter_mut().zip(pixel) {
        *level = (255.0 * fraction(*value)).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCAN: Image = Image { height: 8, width: 8, channels: 1 };
    const STYLE: SheetStyle = SheetStyle { image: SCAN, zoom: 8, gap: 8, range: (0.0, 16.0) };

    #[test]
    fn images_stand_where_they_belong() {
        let (mut empty, full) = ([0.0; 64], [16.0; 64]);
        empty[8 + 1] = 20.0;
        let sheet = Sheet::draw(&[&empty, &full], STYLE).unwrap();
        assert_eq!((sheet.width, sheet.height), (80, 152));
        let at = |x: usize, y: usize| sheet.pixels[y * sheet.width + x];
        assert_eq!(at(0, 0), BACKGROUND);
        assert_eq!(at(8, 8), 235);
        assert_eq!(at(16, 16), 0);
        assert_eq!(at(24, 16), 235);
        assert_eq!(at(8, 80), 0);
        assert_eq!(at(71, 143), 0);
        assert_eq!(at(72, 143), BACKGROUND);
        let mut file = Vec::new();
        sheet.write_png(&mut file).unwrap();
        assert!(file.starts_with(b"\x89PNG"));
    }

    #[test]
    fn three_channels_are_colours() {
        let image = Image { height: 1, width: 2, channels: 3 };
        let style = SheetStyle { image, zoom: 2, gap: 1, range: (0.0, 1.0) };
        // Red, then half of that, then a pixel outside the range.
        let sheet = Sheet::draw(&[&[1.0, 0.0, 0.0, 0.5, -1.0, 2.0]], style).unwrap();
        assert_eq!((sheet.width, sheet.height, sheet.channels), (6, 4, 3));
        let at = |x: usize, y: usize| &sheet.pixels[(y * 6 + x) * 3..][..3];
        assert_eq!(at(0, 0), [BACKGROUND; 3]);
        assert_eq!((at(1, 1), at(2, 2)), (&[255, 0, 0][..], &[255, 0, 0][..]));
        assert_eq!((at(3, 1), at(5, 1)), (&[128, 0, 255][..], &[BACKGROUND; 3][..]));
        let mut file = Vec::new();
        sheet.write_png(&mut file).unwrap();
        let mut decoder = png::Decoder::new(io::Cursor::new(file)).read_info().unwrap();
        assert_eq!(decoder.info().color_type, png::ColorType::Rgb);
        let mut pixels = vec![0; sheet.pixels.len()];
        decoder.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, sheet.pixels);
        // Two channels are not a colour: their mean is drawn.
        let style = SheetStyle { image: Image { channels: 2, ..image }, ..style };
        let sheet = Sheet::draw(&[&[1.0, 0.0, 1.0, 1.0]], style).unwrap();
        assert_eq!((sheet.channels, sheet.pixels[7], sheet.pixels[9]), (1, 117, 0));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert!(Sheet::draw(&[&[0.0; 63]], STYLE).is_err());
        assert!(
            Sheet::draw(&[&[0.0; 64]], SheetStyle { image: Image { width: 0, ..SCAN }, ..STYLE }).is_err()
        );
        let huge = 1usize << (usize::BITS / 2);
        for (width, height, channels) in [(huge, huge, 1), (usize::MAX, 3, 3), (1, 1, 2), (2, 2, 1)] {
            let sheet = Sheet { width, height, channels, pixels: vec![0; 2] };
            let kind = sheet.write_png(io::sink()).unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::InvalidInput, "{width} {height} {channels}");
        }
        // Lines of different lengths and NaN values are drawn.
        let sheet = Sheet::draw(&[&[f32::NAN; 128], &[1.0; 64]], STYLE).unwrap();
        assert_eq!((sheet.width, sheet.height), (152, 152));
    }
}
