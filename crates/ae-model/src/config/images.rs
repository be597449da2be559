//! Rows that are images, and the convolutions and poolings at the start of an encoder.

use std::fmt;
use std::str::FromStr;

use ae_kernels::conv::Conv2d;
use ae_kernels::pool::{PoolShape, Pooling};
use serde::{Deserialize, Serialize};

use super::{MAX_DIM, in_range};
use crate::error::ConfigError;

fn syntax(text: &str, expected: String) -> ConfigError {
    ConfigError::Syntax { text: text.trim().to_owned(), expected }
}

/// The size of images. A row's features are the pixels from left to right and top to bottom, with the
/// channels of a pixel together. Written `28x28`, or `32x32x3` with channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Channels per pixel.
    pub channels: usize,
}

impl Image {
    /// Number of features of a row.
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
    type Err = ConfigError;
    /// `HEIGHTxWIDTH` or `HEIGHTxWIDTHxCHANNELS`.
    fn from_str(text: &str) -> Result<Image, ConfigError> {
        let sizes: Option<Vec<usize>> =
            text.trim().split('x').map(|part| part.parse().ok().filter(|size| *size > 0)).collect();
        match sizes.as_deref() {
            Some([height, width]) => Ok(Image { height: *height, width: *width, channels: 1 }),
            Some([height, width, channels]) => {
                Ok(Image { height: *height, width: *width, channels: *channels })
            }
            _ => Err(syntax(text, "an image size such as 28x28 or 32x32x3".to_owned())),
        }
    }
}

/// A convolution with a square kernel. Written `16 3 s2`: channels, kernel, stride. A padding other than
/// half the kernel follows as in `16 3 s2 p0`, groups as in `16 3 s2 g4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvLayer {
    /// Output channels.
    pub channels: usize,
    /// Height and width of the kernel in pixels.
    pub kernel: usize,
    /// Step of the kernel in pixels.
    pub stride: usize,
    /// Zero padding around the input in pixels.
    pub padding: usize,
    /// Channel groups: each group of output channels sees one group of input channels only. With as many
    /// groups as channels on either side, this is a depthwise convolution.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
}

fn one() -> usize {
    1
}

fn is_one(groups: &usize) -> bool {
    *groups == 1
}

impl ConvLayer {
    /// A convolution with a padding of half its kernel: with stride 1 and an odd kernel the image size
    /// stays the same.
    pub fn new(channels: usize, kernel: usize, stride: usize) -> ConvLayer {
        ConvLayer { channels, kernel, stride, padding: kernel / 2, groups: 1 }
    }

    /// Sets the padding.
    #[must_use]
    pub fn with_padding(self, padding: usize) -> ConvLayer {
        ConvLayer { padding, ..self }
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn with_groups(self, groups: usize) -> ConvLayer {
        ConvLayer { groups, ..self }
    }

    fn after(self, image: Image) -> Conv2d {
        let Image { height, width, channels: channels_in } = image;
        let ConvLayer { channels: channels_out, kernel, stride, padding, groups } = self;
        Conv2d { height, width, channels_in, channels_out, kernel, stride, padding, groups }
    }
}

impl fmt::Display for ConvLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} s{}", self.channels, self.kernel, self.stride)?;
        if self.padding != self.kernel / 2 {
            write!(f, " p{}", self.padding)?;
        }
        if self.groups == 1 { Ok(()) } else { write!(f, " g{}", self.groups) }
    }
}

impl FromStr for ConvLayer {
    type Err = ConfigError;
    /// `CHANNELS KERNEL [sSTRIDE] [pPADDING] [gGROUPS]`, optionally after `conv`.
    fn from_str(text: &str) -> Result<ConvLayer, ConfigError> {
        let wrong = |why: &str| {
            let expected = format!(
                "a convolution: {why}; write '16 3 s2' for channels, kernel and stride, followed by 'p0' for a \
                 padding other than half the kernel or 'g4' for groups of channels"
            );
            syntax(text, expected)
        };
        let mut words = text.split_whitespace().peekable();
        words.next_if_eq(&"conv");
        let mut number = |what: &str| {
            let word = words.next().ok_or_else(|| wrong(&format!("the {what} is missing")))?;
            word.parse::<usize>().map_err(|_| wrong(&format!("the {what} '{word}' is not a whole number")))
        };
        let mut layer = ConvLayer::new(number("number of channels")?, number("kernel")?, 1);
        let (mut stride, mut padding, mut groups) = (None, None, None);
        for word in words {
            let target = match word.chars().next() {
                Some('s') => &mut stride,
                Some('p') => &mut padding,
                Some('g') => &mut groups,
                _ => return Err(wrong(&format!("'{word}' is neither a stride nor a padding nor groups"))),
            };
            let value = word[1..].parse::<usize>().map_err(|_| wrong(&format!("'{word}' has no number")))?;
            if target.replace(value).is_some() {
                return Err(wrong(&format!("'{word}' is one too many")));
            }
        }
        layer.stride = stride.unwrap_or(layer.stride);
        layer.padding = padding.unwrap_or(layer.padding);
        layer.groups = groups.unwrap_or(layer.groups);
        Ok(layer)
    }
}

/// How a pooling summarises a square of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// By the largest value of each channel.
    Max,
    /// By the mean of each channel.
    Mean,
}

impl PoolKind {
    pub(crate) fn kernel(self) -> Pooling {
        match self {
            PoolKind::Max => Pooling::Max,
            PoolKind::Mean => Pooling::Mean,
        }
    }

    fn word(self) -> &'static str {
        match self {
            PoolKind::Max => "pool",
            PoolKind::Mean => "avgpool",
        }
    }
}

/// A pooling: one pixel for each square of pixels; incomplete squares at the right and the bottom are
/// dropped. Its mirror in the decoder repeats each pixel (nearest neighbour) to exactly the size before
/// the pooling. Written `pool 2` (max) or `avgpool 2` (average), with the side of the square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolLayer {
    /// How it summarises a square.
    pub pool: PoolKind,
    /// Side of the square in pixels.
    pub size: usize,
}

impl PoolLayer {
    /// A max pooling.
    pub fn max(size: usize) -> PoolLayer {
        PoolLayer { pool: PoolKind::Max, size }
    }

    /// An average pooling.
    pub fn mean(size: usize) -> PoolLayer {
        PoolLayer { pool: PoolKind::Mean, size }
    }
}

impl fmt::Display for PoolLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pool.word(), self.size)
    }
}

/// An image layer: a convolution or pooling at the start of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImageLayer {
    /// A convolution, `16 3 s2`.
    Conv(ConvLayer),
    /// A pooling, `pool 2`.
    Pool(PoolLayer),
}

impl From<ConvLayer> for ImageLayer {
    fn from(layer: ConvLayer) -> ImageLayer {
        ImageLayer::Conv(layer)
    }
}

impl From<PoolLayer> for ImageLayer {
    fn from(layer: PoolLayer) -> ImageLayer {
        ImageLayer::Pool(layer)
    }
}

impl fmt::Display for ImageLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageLayer::Conv(layer) => layer.fmt(f),
            ImageLayer::Pool(layer) => layer.fmt(f),
        }
    }
}

impl FromStr for ImageLayer {
    type Err = ConfigError;
    /// `pool SIZE`, `avgpool SIZE` or a [`ConvLayer`].
    fn from_str(text: &str) -> Result<ImageLayer, ConfigError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let pool = match words.first() {
            Some(&"pool") => PoolKind::Max,
            Some(&"avgpool") => PoolKind::Mean,
            _ => return text.parse().map(ImageLayer::Conv),
        };
        match words[1..] {
            [size] if size.parse::<usize>().is_ok() => {
                let size = size.parse().unwrap_or_default();
                Ok(PoolLayer { pool, size }.into())
            }
            _ => {
                let expected = "a pooling: write 'pool 2' or 'avgpool 2' for squares of 2x2 pixels";
                Err(syntax(text, expected.to_owned()))
            }
        }
    }
}

/// Image layers, written separated by commas: `conv 16 3, pool 2, conv 32 3 s2`, where `conv` is
/// optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayers(pub Vec<ImageLayer>);

impl FromStr for ImageLayers {
    type Err = ConfigError;
    /// [`ImageLayer`]s, separated by commas.
    fn from_str(text: &str) -> Result<ImageLayers, ConfigError> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(ImageLayers)
    }
}

/// An image layer with its input and output size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Link {
    Conv(Conv2d),
    Pool(PoolShape, PoolKind),
}

/// Largest number of image layers in an encoder.
const MAX_LAYERS: usize = 64;
/// Largest kernel, stride, padding and pooling square.
const MAX_KERNEL: usize = 1024;
/// Largest number of connections between pixels in the convolutions of an encoder, which keep three
/// lists of them.
const MAX_CONNECTIONS: usize = 1 << 24;

/// Chains the layers, starting from images of size `image`: returns each with its sizes, and all image
/// sizes.
pub(super) fn chain(image: Image, layers: &[ImageLayer]) -> Result<(Vec<Link>, Vec<Image>), ConfigError> {
    in_range("the number of conv_layers", layers.len(), 1, MAX_LAYERS)?;
    for size in [image.height, image.width, image.channels] {
        in_range("image", size, 1, MAX_DIM)?;
    }
    let mut links = Vec::with_capacity(layers.len());
    let mut sizes = vec![image];
    let mut size = image;
    let mut connections_left = MAX_CONNECTIONS;
    for layer in layers {
        let wrong = |reason: String| ConfigError::Convolution {
            layer: layer.to_string(),
            chain: sizes.iter().map(Image::to_string).collect::<Vec<_>>().join(" -> "),
            reason,
        };
        let (link, next) = match layer {
            ImageLayer::Conv(layer) => layer.link(size, &mut connections_left, wrong)?,
            ImageLayer::Pool(layer) => layer.link(size, wrong)?,
        };
        links.push(link);
        sizes.push(next);
        size = next;
    }
    Ok((links, sizes))
}

impl ConvLayer {
    /// Returns the layer after images of this size, and the size of its output. Takes its connections
    /// from `connections_left`. `wrong` turns a reason into an error.
    fn link(
        self,
        size: Image,
        connections_left: &mut usize,
        wrong: impl Fn(String) -> ConfigError,
    ) -> Result<(Link, Image), ConfigError> {
        in_range("conv_layers.channels", self.channels, 1, MAX_DIM)?;
        in_range("conv_layers.kernel", self.kernel, 1, MAX_KERNEL)?;
        in_range("conv_layers.stride", self.stride, 1, MAX_KERNEL)?;
        in_range("conv_layers.padding", self.padding, 0, MAX_KERNEL)?;
        in_range("conv_layers.groups", self.groups, 1, MAX_DIM)?;
        for (channels, side) in [(size.channels, "before"), (self.channels, "after")] {
            if !channels.is_multiple_of(self.groups) {
                return Err(wrong(format!(
                    "{} groups do not divide the {channels} channels {side} it",
                    self.groups
                )));
            }
        }
        let shape = self.after(size);
        let Some([height, width]) = shape.output_size() else {
            let (high, wide) = (size.height + 2 * self.padding, size.width + 2 * self.padding);
            let kernel = self.kernel;
            return Err(wrong(format!(
                "a kernel of {kernel}x{kernel} does not fit into {high}x{wide} pixels"
            )));
        };
        let next = Image { height, width, channels: self.channels };
        if next.features() > MAX_DIM {
            return Err(wrong(format!("its output of {next} has more than {MAX_DIM} values")));
        }
        let connections = (height * width).saturating_mul(self.kernel * self.kernel);
        let Some(remaining) = connections_left.checked_sub(connections) else {
            return Err(wrong(format!(
                "with its {connections} pixel connections the encoder has more than {MAX_CONNECTIONS}"
            )));
        };
        *connections_left = remaining;
        Ok((Link::Conv(shape), next))
    }
}

impl PoolLayer {
    /// Like [`ConvLayer::link`], but a pooling has no connections to keep.
    fn link(self, size: Image, wrong: impl Fn(String) -> ConfigError) -> Result<(Link, Image), ConfigError> {
        in_range("conv_layers.size", self.size, 1, MAX_KERNEL)?;
        let Image { height, width, channels } = size;
        let Some(pool) = PoolShape::new(height, width, channels, self.size) else {
            let side = self.size;
            return Err(wrong(format!(
                "a square of {side}x{side} does not fit into {height}x{width} pixels"
            )));
        };
        let [height, width] = pool.small_size();
        Ok((Link::Pool(pool, self.pool), Image { height, width, channels }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_forms() {
        let ImageLayers(layers) = "conv 16 3 s2, pool 3,32 5 s1 p0, avgpool  2 ,8 2 g4 s1".parse().unwrap();
        let expected: [ImageLayer; 5] = [
            ConvLayer::new(16, 3, 2).into(),
            PoolLayer::max(3).into(),
            ConvLayer::new(32, 5, 1).with_padding(0).into(),
            PoolLayer::mean(2).into(),
            ConvLayer::new(8, 2, 1).with_groups(4).into(),
        ];
        assert_eq!(layers, expected);
        let text = layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(text, "16 3 s2, pool 3, 32 5 s1 p0, avgpool 2, 8 2 s1 g4");
        assert_eq!(text.parse::<ImageLayers>().unwrap().0, expected);
        for (text, why) in [
            ("", "the number of channels is missing"),
            ("16", "the kernel is missing"),
            ("16 3 s2,", "the number of channels is missing"),
            ("16 three", "the kernel 'three' is not a whole number"),
            ("16 3 2", "'2' is neither a stride nor a padding nor groups"),
            ("16 3 s", "'s' has no number"),
            ("16 3 s2 s2", "'s2' is one too many"),
            ("16 3 g2 g2", "'g2' is one too many"),
            ("16 3 gé", "'gé' has no number"),
            ("16 3 é2", "'é2' is neither"),
            ("pool", "'pool' is not a pooling"),
            ("8 3, pool two", "'pool two' is not a pooling"),
            ("avgpool 2 2", "'avgpool 2 2' is not a pooling"),
        ] {
            let error = text.parse::<ImageLayers>().unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
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
        let refused = |text: &str| {
            let ImageLayers(layers) = text.parse().unwrap();
            chain(image, &layers).unwrap_err().to_string()
        };
        assert_eq!(
            refused("16 3 s2, 32 3 s4, 8 5 p0"),
            "the layer '8 5 s1 p0' cannot follow 28x28x1 -> 14x14x16 -> 4x4x32: \
             a kernel of 5x5 does not fit into 4x4 pixels"
        );
        assert_eq!(
            refused("16 3 s3, pool 3, 32 3, avgpool 4"),
            "the layer 'avgpool 4' cannot follow 28x28x1 -> 10x10x16 -> 3x3x16 -> 3x3x32: \
             a square of 4x4 does not fit into 3x3 pixels"
        );
        assert_eq!(
            refused("16 3 s2, 24 3 g3"),
            "the layer '24 3 s1 g3' cannot follow 28x28x1 -> 14x14x16: 3 groups do not divide the 16 channels before it"
        );
        assert_eq!(
            refused("16 3 s2, 18 3 g4"),
            "the layer '18 3 s1 g4' cannot follow 28x28x1 -> 14x14x16: 4 groups do not divide the 18 channels after it"
        );
        assert_eq!(refused("4 3 g0"), "conv_layers.groups is 0, but must be from 1 to 16777216");
        assert_eq!(refused("pool 0"), "conv_layers.size is 0, but must be from 1 to 1024");
        let ImageLayers(layers) = "16 3 s2, pool 3".parse().unwrap();
        let (links, sizes) = chain(image, &layers).unwrap();
        assert_eq!(links.len(), 2);
        assert_eq!(sizes[1..], ["14x14x16", "4x4x16"].map(|text| text.parse().unwrap()));
    }

    #[test]
    fn a_size_without_layers_is_kept() {
        let config = crate::Config::builder(12).image(2, 2, 3).build().unwrap();
        assert_eq!(config.image(), Some(Image { height: 2, width: 2, channels: 3 }));
        assert_eq!((config.images().len(), config.layer_dims().first()), (0, Some(&12)));
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<crate::Config>(&json).unwrap(), config);
        let error = crate::Config::builder(12).image(2, 2, 2).build().unwrap_err().to_string();
        assert_eq!(error, "image is 2x2x2 (8 values), but must be of input_dim = 12 values");
    }

    #[test]
    fn files_tell_layers_apart() {
        let ImageLayers(layers) = "16 3 s2, pool 3, avgpool 2, 8 3 g2".parse().unwrap();
        let json = serde_json::to_string(&layers).unwrap();
        let conv = r#"{"channels":16,"kernel":3,"stride":2,"padding":1}"#;
        let grouped = r#"{"channels":8,"kernel":3,"stride":1,"padding":1,"groups":2}"#;
        let pools = r#"{"pool":"max","size":3},{"pool":"mean","size":2}"#;
        assert_eq!(json, format!("[{conv},{pools},{grouped}]"));
        assert_eq!(serde_json::from_str::<Vec<ImageLayer>>(&json).unwrap(), layers);
        for wrong in [r#"[{"pool":"max"}]"#, r#"[{"pool":"max","size":2,"kernel":3}]"#, r#"[{"size":2}]"#] {
            assert!(serde_json::from_str::<Vec<ImageLayer>>(wrong).is_err(), "{wrong}");
        }
    }
}
