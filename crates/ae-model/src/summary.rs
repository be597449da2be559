//! A readable summary of a model.

use std::fmt;

use crate::config::{
    Activation, Config, Dropout, Gaussian, Image, Latent, Loss, Precision, TopK, WeightPenalty,
};

/// Architecture, parameter count and compression of a model. `Display` writes a few aligned lines.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Widths from input to output: [`Config::layer_dims`].
    pub layer_dims: Vec<usize>,
    /// Sizes of the images between convolutions and poolings, the input first; empty without them.
    pub images: Vec<Image>,
    /// Activation of hidden layers and the encoding.
    pub activation: Activation,
    /// Arithmetic.
    pub precision: Precision,
    /// Number of weights and biases; tied weights count once.
    pub parameters: usize,
    /// Features per value of the encoding. Each category of a table is a feature.
    pub compression: f64,
    /// Columns of the table that a row comes from, if the model has a schema.
    pub columns: Option<usize>,
    /// What distinguishes it from a plain autoencoder, in words: latent, noise, penalties, dropout,
    /// loss.
    pub kind: Vec<String>,
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
            columns: None,
            kind: kind(config),
        }
    }

    /// The widths joined by dashes, the encoding in brackets: `64-32-[8]-32-64`. Images appear with
    /// their sizes: `8x8x1-4x4x6-[8]-4x4x6-8x8x1`.
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
        writeln!(f, "architecture  {}, {activation}, {}", self.architecture(), self.precision)?;
        writeln!(f, "parameters    {}", thousands(self.parameters))?;
        write!(f, "compression   {:.1}x", self.compression)?;
        let features = self.layer_dims.first().copied().unwrap_or_default();
        if let Some(columns) = self.columns.filter(|columns| *columns != features) {
            write!(f, " of {} features, from {} columns", thousands(features), thousands(columns))?;
        }
        if !self.kind.is_empty() {
            write!(f, "\nkind          {}", self.kind.join(", "))?;
        }
        Ok(())
    }
}

/// What distinguishes a configuration from a plain autoencoder.
fn kind(config: &Config) -> Vec<String> {
    let mut words = Vec::new();
    if let Latent::Gaussian(Gaussian { beta, warm_up, free_bits, samples }) = config.latent() {
        words.push("variational".to_owned());
        let settings =
            [("beta", beta, 1.0), ("free bits", free_bits, 0.0), ("KL warm-up", warm_up as f64, 0.0)];
        words.extend(
            settings.iter().filter(|(_, value, usual)| value != usual).map(|(n, v, _)| format!("{n} {v}")),
        );
        if samples > 1 {
            words.push(format!("importance-weighted with {samples} samples"));
        }
    }
    if let Latent::TopK(TopK { k, revival, of_batch }) = config.latent() {
        words.push(format!("sparse {}top {k}", if of_batch { "batch " } else { "" }));
        words.extend(revival.map(|_| "dead features revived".to_owned()));
    }
    words.extend(config.noise().map(|noise| format!("denoising {noise}")));
    words.extend(config.code_penalty().map(|penalty| format!("sparse {penalty}")));
    words.extend(config.contractive().map(|weight| format!("contractive {weight}")));
    let Dropout { input, hidden } = config.dropout();
    let fractions = [("input dropout", input), ("dropout", hidden)];
    let WeightPenalty { l1, l2 } = config.weight_penalty();
    let weights = [("weights l1", l1), ("weights l2", l2)];
    let set = fractions.iter().chain(&weights).filter(|(_, value)| *value > 0.0);
    words.extend(set.map(|(name, value)| format!("{name} {value}")));
    words.extend(config.layer_norm().then(|| "layer norm".to_owned()));
    words.extend(config.tied_weights().then(|| "tied weights".to_owned()));
    words.extend(config.unit_norm().then(|| "decoder vectors of norm 1".to_owned()));
    if config.loss() != Loss::Mse || !words.is_empty() {
        words.push(format!("loss {}", config.loss()));
    }
    words
}

/// Formats a number with commas between groups of three digits.
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
    fn kinds_in_words() {
        let gaussian = Gaussian { beta: 4.0, ..Gaussian::default() };
        let config = Config::builder(8).latent(Latent::Gaussian(gaussian)).loss(Loss::Bce).build().unwrap();
        assert_eq!(Summary::of(&config).kind.join(", "), "variational, beta 4, loss bce");
        let config = Config::builder(8).dropout(Dropout { input: 0.2, hidden: 0.0 }).build().unwrap();
        assert_eq!(Summary::of(&config).kind.join(", "), "input dropout 0.2, loss mse");
        assert!(Summary::of(&Config::builder(8).build().unwrap()).kind.is_empty());
    }

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
        let of_table = |columns| Summary { columns: Some(columns), ..Summary::of(&config) }.to_string();
        assert_eq!(of_table(784), text);
        assert!(of_table(12).ends_with("compression   24.5x of 784 features, from 12 columns"));
    }
}
