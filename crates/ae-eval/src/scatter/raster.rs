//! A drawing as pixels. The font is built in, so that it looks the same on a machine without fonts.

use std::io;

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};

use super::svg::corners;
use super::{FRAME, Scatter, Shape, TextStyle};

/// Pixels per unit.
const SCALE: f64 = 2.0;
/// Opacity of a mark.
const OPACITY: f64 = 0.8;
/// From the top of a letter's box to the baseline, as a fraction of its height.
const BASELINE: f64 = 0.79;

pub(super) fn write(scatter: &Scatter, out: impl io::Write) -> io::Result<()> {
    let canvas = Canvas::of(scatter);
    let mut encoder = png::Encoder::new(out, canvas.width as u32, canvas.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer.write_image_data(&canvas.pixels).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)
}

/// Rows of pixels from the top, each pixel red, green and blue.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<u8>,
}

impl Canvas {
    pub(super) fn of(scatter: &Scatter) -> Canvas {
        let [width, height] = [scatter.width, scatter.height].map(|side| (side * SCALE).ceil() as usize);
        let mut canvas = Canvas { width, height, pixels: vec![255; 3 * width * height] };
        for shape in &scatter.shapes {
            match shape {
                Shape::Frame { x, y, side } => canvas.frame(*x * SCALE, *y * SCALE, *side * SCALE),
                Shape::Mark { x, y, size, style } => {
                    let size = size * SCALE;
                    let outside = signed_distance(corners(style.marker, size), size);
                    canvas.mark((x * SCALE, y * SCALE), 2.0 * size, style.colour, outside);
                }
                Shape::Text { x, y, text, style } => canvas.text(x * SCALE, y * SCALE, text, *style),
            }
        }
        canvas
    }

    /// Blends a fraction `opacity` of a colour into a pixel; pixels outside the image are ignored.
    fn blend(&mut self, x: usize, y: usize, colour: [u8; 3], opacity: f64) {
        if x >= self.width || y >= self.height {
            return;
        }
        let at = 3 * (y * self.width + x);
        for (pixel, ink) in self.pixels[at..at + 3].iter_mut().zip(colour) {
            let mixed = f64::from(*pixel) * (1.0 - opacity) + f64::from(ink) * opacity;
            *pixel = mixed.round() as u8;
        }
    }

    fn frame(&mut self, x: f64, y: f64, side: f64) {
        let [x, y, side] = [x, y, side].map(|value| value.round() as usize);
        for along in 0..=side {
            for edge in [0, side] {
                self.blend(x + along, y + edge, FRAME, 1.0);
                if along > 0 && along < side {
                    self.blend(x + edge, y + along, FRAME, 1.0);
                }
            }
        }
    }

    /// Colours the pixels around `(x, y)` that lie inside a shape, where `outside` is negative.
    fn mark(&mut self, (x, y): (f64, f64), reach: f64, colour: [u8; 3], outside: impl Fn(f64, f64) -> f64) {
        let from = |middle: f64| (middle - reach).floor().max(0.0) as usize;
        let to = |middle: f64| (middle + reach).ceil().max(0.0) as usize;
        for row in from(y)..=to(y) {
            for column in from(x)..=to(x) {
                let opacity = 0.5 - outside(column as f64 + 0.5 - x, row as f64 + 0.5 - y);
                if opacity > 0.0 {
                    self.blend(column, row, colour, OPACITY * opacity.min(1.0));
                }
            }
        }
    }

    fn text(&mut self, x: f64, y: f64, text: &str, style: TextStyle) {
        let (font, height) = match style {
            TextStyle::Title => (FontWeight::Bold, RasterHeight::Size32),
            TextStyle::Remark | TextStyle::Name => (FontWeight::Regular, RasterHeight::Size24),
        };
        let advance = get_raster_width(font, height);
        let top = (y - BASELINE * height.val() as f64).max(0.0).round() as usize;
        let mut left = x.max(0.0).round() as usize;
        for character in text.chars() {
            let known = get_raster(character, font, height).or_else(|| get_raster('?', font, height));
            for (down, line) in known.iter().flat_map(RasterizedChar::rows).enumerate() {
                for (across, ink) in line.iter().enumerate().filter(|(_, ink)| **ink > 0) {
                    self.blend(left + across, top + down, style.colour(), f64::from(*ink) / 255.0);
                }
            }
            left += advance;
        }
    }
}

/// The signed distance of a point from a convex shape, given by its corners in clockwise order, or else
/// from a circle of this radius; negative inside.
fn signed_distance(corners: Option<Vec<(f64, f64)>>, radius: f64) -> impl Fn(f64, f64) -> f64 {
    move |x, y| {
        let Some(corners) = &corners else { return x.hypot(y) - radius };
        let next = corners.iter().cycle().skip(1);
        let edges = corners.iter().zip(next).map(|(a, b)| {
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            ((x - a.0) * dy - (y - a.1) * dx) / dx.hypot(dy)
        });
        edges.fold(f64::NEG_INFINITY, f64::max)
    }
}
