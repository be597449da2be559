//! Rows that are images, and the convolutions that begin an encoder.

use std::fmt;
use std::str::FromStr;

use ae_kernels::conv::Conv2d;
use serde::{Deserialize, Serialize};

use super::{MAX_DIM, in_range};
use crate::error::ConfigError;

/// The size of images: a row's features are its pixels from left to right and top to bottom, the channels of a pixel together.
/// Written `28x28`, or `32x32x3` with channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Channels of a pixel.
    pub channels: usize,
}

impl Image {
    /// Features of a row.
    pub fn features(self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

impl FromStr for Image {
    type Err = String;
    fn from_str(text: &str) -> Result<Image, String> {
        let sizes: Option<Vec<usize>> =
            text.trim().split('x').map(|part| part.parse().ok().filter(|size| *size > 0)).collect();
        match sizes.as_deref() {
            Some([height, width]) => Ok(Image { height: *height, width: *width, channels: 1 }),
            Some([height, width, channels]) => {
                Ok(Image { height: *height, width: *width, channels: *channels })
            }
            _ => Err(format!("'{text}' is not the size of an image, such as 28x28 or 32x32x3")),
        }
    }
}

/// A convolution with a square kernel. Written `16 3 s2`: channels, kernel, stride; a padding other than half the kernel
/// follows as in `16 3 s2 p0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvLayer {
    /// Channels of its output.
    pub channels: usize,
    /// Pixels of the kernel in either direction.
    pub kernel: usize,
    /// Pixels from one place of the kernel to the next.
    pub stride: usize,
    /// Pixels of zeros around its input.
    pub padding: usize,
}

impl ConvLayer {
    /// A convolution with a padding of half its kernel: with stride 1 and an odd kernel the size stays the same.
    pub fn new(channels: usize, kernel: usize, stride: usize) -> ConvLayer {
        ConvLayer { channels, kernel, stride, padding: kernel / 2 }
    }

    /// With another padding.
    #[must_use]
    pub fn with_padding(self, padding: usize) -> ConvLayer {
        ConvLayer { padding, ..self }
    }

    fn after(self, image: Image) -> Conv2d {
        let Image { height, width, channels: channels_in } = image;
        let ConvLayer { channels: channels_out, kernel, stride, padding } = self;
        Conv2d { height, width, channels_in, channels_out, kernel, stride, padding }
    }
}

impl fmt::Display for ConvLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} s{}", self.channels, self.kernel, self.stride)?;
        if self.padding == self.kernel / 2 { Ok(()) } else { write!(f, " p{}", self.padding) }
    }
}

impl FromStr for ConvLayer {
    type Err = String;
    fn from_str(text: &str) -> Result<ConvLayer, String> {
        let wrong = |why: &str| {
            format!(
                "'{}' is not a convolution: {why}; one is written '16 3 s2', with channels, kernel and stride, and 'p0' \
                     after them for a padding other than half the kernel",
                text.trim()
            )
        };
        let mut words = text.split_whitespace().peekable();
        words.next_if_eq(&"conv");
        let mut number = |what: &str| {
            let word = words.next().ok_or_else(|| wrong(&format!("the {what} is missing")))?;
            word.parse::<usize>().map_err(|_| wrong(&format!("the {what} '{word}' is not a whole number")))
        };
        let mut layer = ConvLayer::new(number("number of channels")?, number("kernel")?, 1);
        let (mut stride, mut padding) = (None, None);
        for word in words {
            let (target, digits) = match (word.strip_prefix('s'), word.strip_prefix('p')) {
                (Some(digits), _) => (&mut stride, digits),
                (_, Some(digits)) => (&mut padding, digits),
                _ => return Err(wrong(&format!("'{word}' is neither a stride nor a padding"))),
            };
            let value = digits.parse::<usize>().map_err(|_| wrong(&format!("'{word}' has no number")))?;
            if target.replace(value).is_some() {
                return Err(wrong(&format!("'{word}' is one too many")));
            }
        }
        layer.stride = stride.unwrap_or(layer.stride);
        layer.padding = padding.unwrap_or(layer.padding);
        Ok(layer)
    }
}

/// Convolutions divided by commas: `conv 16 3 s2, conv 32 3 s2`, where the word may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvLayers(pub Vec<ConvLayer>);

impl FromStr for ConvLayers {
    type Err = String;
    fn from_str(text: &str) -> Result<ConvLayers, String> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(ConvLayers)
    }
}

/// Most convolutions of an encoder.
const MAX_LAYERS: usize = 64;
/// Largest kernel, stride and padding.
const MAX_KERNEL: usize = 1024;
/// Most connections of pixels by a convolution, of which it keeps three lists.
const MAX_CONNECTIONS: usize = 1 << 24;

/// The convolutions one after the other from images of size `image`: each with the size that it starts from, and the size of the last
/// result.
pub(super) fn chain(image: Image, layers: &[ConvLayer]) -> Result<(Vec<Conv2d>, Image), ConfigError> {
    in_range("the number of conv_layers", layers.len(), 1, MAX_LAYERS)?;
    for size in [image.height, image.width, image.channels] {
        in_range("image", size, 1, MAX_DIM)?;
    }
    let mut shapes = Vec::with_capacity(layers.len());
    let (mut size, mut text) = (image, image.to_string());
    for layer in layers {
        in_range("conv_layers.channels", layer.channels, 1, MAX_DIM)?;
        in_range("conv_layers.kernel", layer.kernel, 1, MAX_KERNEL)?;
        in_range("conv_layers.stride", layer.stride, 1, MAX_KERNEL)?;
        in_range("conv_layers.padding", layer.padding, 0, MAX_KERNEL)?;
        let shape = layer.after(size);
        let wrong = |reason: String| ConfigError::Convolution {
            layer: layer.to_string(),
            chain: text.clone(),
            reason,
        };
        let Some([height, width]) = shape.output_size() else {
            let (high, wide) = (size.height + 2 * layer.padding, size.width + 2 * layer.padding);
            return Err(wrong(format!(
                "a kernel of {0}x{0} does not fit into {high}x{wide} pixels",
                layer.kernel
            )));
        };
        let next = Image { height, width, channels: layer.channels };
        if next.features() > MAX_DIM {
            return Err(wrong(format!("{next} are more than {MAX_DIM} values")));
        }
        let connections = (height * width).saturating_mul(layer.kernel * layer.kernel);
        if connections > MAX_CONNECTIONS {
            return Err(wrong(format!(
                "{connections} connections of pixels are more than {MAX_CONNECTIONS}"
            )));
        }
        shapes.push(shape);
        text = format!("{text} -> {next}");
        size = next;
    }
    Ok((shapes, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_forms() {
        let ConvLayers(layers) = "conv 16 3 s2, 32 5 s1 p0,8 2".parse().unwrap();
        let expected =
            [ConvLayer::new(16, 3, 2), ConvLayer::new(32, 5, 1).with_padding(0), ConvLayer::new(8, 2, 1)];
        assert_eq!(layers, expected);
        let text = layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(text, "16 3 s2, 32 5 s1 p0, 8 2 s1");
        assert_eq!(text.parse::<ConvLayers>().unwrap().0, expected);
        for (text, why) in [
            ("", "the number of channels is missing"),
            ("16", "the kernel is missing"),
            ("16 3 s2,", "the number of channels is missing"),
            ("16 three", "the kernel 'three' is not a whole number"),
            ("16 3 2", "'2' is neither a stride nor a padding"),
            ("16 3 s", "'s' has no number"),
            ("16 3 s2 s2", "'s2' is one too many"),
        ] {
            let error = text.parse::<ConvLayers>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!("28x28".parse(), Ok(Image { height: 28, width: 28, channels: 1 }));
        assert_eq!("4x5x3".parse(), Ok(Image { height: 4, width: 5, channels: 3 }));
        for text in ["", "28", "28x", "0x3", "1x2x3x4", "axb"] {
            assert!(text.parse::<Image>().is_err(), "{text}");
        }
    }

    #[test]
    fn errors_show_the_chain() {
        let image = Image { height: 28, width: 28, channels: 1 };
        let layers =
            [ConvLayer::new(16, 3, 2), ConvLayer::new(32, 3, 4), ConvLayer::new(8, 5, 1).with_padding(0)];
        assert_eq!(
            chain(image, &layers).unwrap_err().to_string(),
            "the convolution '8 5 s1 p0' cannot follow 28x28x1 -> 14x14x16 -> 4x4x32: \
             a kernel of 5x5 does not fit into 4x4 pixels"
        );
        let (shapes, size) = chain(image, &layers[..2]).unwrap();
        assert_eq!((shapes.len(), size), (2, Image { height: 4, width: 4, channels: 32 }));
    }
}
