//! Sizes of a model, for people.

use std::fmt;

use crate::config::{Activation, Config, Image, Precision};

/// Architecture, parameters and compression of a model. Its `Display` is a few aligned lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Widths of all layers, input to output.
    pub layer_dims: Vec<usize>,
    /// The images that convolutions are between, the input first; none without convolutions.
    pub images: Vec<Image>,
    /// Activation of hidden layers and encoding.
    pub activation: Activation,
    /// Arithmetic.
    pub precision: Precision,
    /// Weights and biases.
    pub parameters: usize,
    /// Values of a row per value of its encoding.
    pub compression: f64,
}

impl Summary {
    pub(crate) fn of(config: &Config) -> Summary {
        Summary {
            layer_dims: config.layer_dims(),
            images: config.images(),
            activation: config.activation(),
            precision: config.precision(),
            parameters: config.parameter_count(),
            compression: config.input_dim() as f64 / config.encoding_dim() as f64,
        }
    }

    /// The widths joined by dashes, the encoding in brackets: `64-32-[8]-32-64`. Those of images as their sizes:
    /// `8x8x1-4x4x6-[8]-4x4x6-8x8x1`.
    pub fn architecture(&self) -> String {
        let middle = self.layer_dims.len() / 2;
        let width = |(i, dim): (usize, &usize)| match self.images.get(i.min(2 * middle - i)) {
            _ if i == middle => format!("[{dim}]"),
            Some(image) => image.to_string(),
            None => dim.to_string(),
        };
        self.layer_dims.iter().enumerate().map(width).collect::<Vec<_>>().join("-")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let activation = match self.activation {
            Activation::Relu => "ReLU",
            Activation::LeakyRelu => "leaky ReLU",
            Activation::Elu => "ELU",
            Activation::Gelu => "GELU",
            Activation::Silu => "SiLU",
            Activation::Sigmoid | Activation::Tanh | Activation::Linear | Activation::Softplus => {
                self.activation.name()
            }
        };
        let precision = match self.precision {
            Precision::F32 => "f32",
            Precision::F64 => "f64",
            Precision::Bf16 => "bf16",
        };
        writeln!(f, "architecture  {}, {activation}, {precision}", self.architecture())?;
        writeln!(f, "parameters    {}", thousands(self.parameters))?;
        write!(f, "compression   {:.1}x", self.compression)
    }
}

/// The number with a comma between groups of three digits.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_sizes() {
        let config = Config::builder(784).hidden_dims([256, 128, 64]).encoding_dim(32).build().unwrap();
        let text = Summary::of(&config).to_string();
        assert_eq!(
            text,
            "architecture  784-256-128-64-[32]-64-128-256-784, tanh, f32\n\
             parameters    489,136\n\
             compression   24.5x"
        );
    }
}
