//! Settings as text for the command line and settings files: `name`, `name:number` or
//! `name:number:number`.

use std::fmt;
use std::str::FromStr;

use super::{Activation, CodePenalty, Init, Loss, Noise, Precision, ScalerKind, out_of_range};
use crate::error::ConfigError;
use crate::optim::Optimizer;
use crate::schedule::Schedule;

/// The value of this name among `all`.
fn by_name<T: Copy>(
    field: &'static str,
    text: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, ConfigError> {
    let wanted = text.trim();
    all.iter().copied().find(|value| name(*value) == wanted).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|value| name(*value)).collect();
        out_of_range(field, text, &format!("one of {}", names.join(", ")))
    })
}

impl FromStr for Activation {
    type Err = ConfigError;
    /// By its [name](Activation::name).
    fn from_str(text: &str) -> Result<Activation, ConfigError> {
        by_name("activation", text, &Activation::ALL, Activation::name)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Init {
    type Err = ConfigError;
    /// By its [name](Init::name).
    fn from_str(text: &str) -> Result<Init, ConfigError> {
        by_name("init", text, &Init::ALL, Init::name)
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ScalerKind {
    type Err = ConfigError;
    /// By its [name](ScalerKind::name).
    fn from_str(text: &str) -> Result<ScalerKind, ConfigError> {
        by_name("scaler", text, &ScalerKind::ALL, ScalerKind::name)
    }
}

impl fmt::Display for ScalerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = ConfigError;
    /// By its [name](Precision::name).
    fn from_str(text: &str) -> Result<Precision, ConfigError> {
        by_name("precision", text, &Precision::ALL, Precision::name)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name and the numbers that follow it.
struct Words<'a> {
    field: &'static str,
    allowed: &'static str,
    text: &'a str,
    name: &'a str,
    numbers: Vec<f64>,
}

impl<'a> Words<'a> {
    fn of(field: &'static str, allowed: &'static str, text: &'a str) -> Result<Self, ConfigError> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default().trim();
        let numbers = parts.map(|part| part.trim().parse().map_err(|_| out_of_range(field, text, allowed)));
        Ok(Words { field, allowed, text, name, numbers: numbers.collect::<Result<_, _>>()? })
    }

    fn wrong(&self) -> ConfigError {
        out_of_range(self.field, self.text, self.allowed)
    }

    fn none<T>(&self, value: T) -> Result<T, ConfigError> {
        if self.numbers.is_empty() { Ok(value) } else { Err(self.wrong()) }
    }

    /// Up to `N` numbers, with `defaults` in place of those left out.
    fn up_to<const N: usize>(&self, defaults: [f64; N]) -> Result<[f64; N], ConfigError> {
        if self.numbers.len() > N {
            return Err(self.wrong());
        }
        let mut numbers = defaults;
        numbers[..self.numbers.len()].copy_from_slice(&self.numbers);
        Ok(numbers)
    }
}

impl FromStr for Loss {
    type Err = ConfigError;
    /// `mse`, `mae`, `huber[:DELTA]` (1), `bce`, `sigmoid-mse` or `gaussian-nll`.
    fn from_str(text: &str) -> Result<Loss, ConfigError> {
        let words = Words::of("loss", "mse, mae, huber[:DELTA], bce, sigmoid-mse or gaussian-nll", text)?;
        let loss = match words.name {
            "mse" => words.none(Loss::Mse)?,
            "mae" => words.none(Loss::Mae)?,
            "huber" => words.up_to([1.0]).map(|[delta]| Loss::Huber { delta })?,
            "bce" => words.none(Loss::Bce)?,
            "sigmoid-mse" => words.none(Loss::SigmoidMse)?,
            "gaussian-nll" => words.none(Loss::GaussianNll)?,
            _ => return Err(words.wrong()),
        };
        loss.check()?;
        Ok(loss)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Huber { delta } => write!(f, "huber:{delta}"),
            loss => f.write_str(loss.name()),
        }
    }
}

impl FromStr for Noise {
    type Err = ConfigError;
    /// `gaussian[:SIGMA]` (0.1), `masking[:FRACTION]` (0.25), `salt-and-pepper[:FRACTION]` (0.1) or
    /// `swap[:FRACTION]` (0.15).
    fn from_str(text: &str) -> Result<Noise, ConfigError> {
        let allowed = "gaussian[:SIGMA], masking[:FRACTION], salt-and-pepper[:FRACTION] or swap[:FRACTION]";
        let words = Words::of("noise", allowed, text)?;
        let noise = match words.name {
            "gaussian" => words.up_to([0.1]).map(|[sigma]| Noise::Gaussian { sigma })?,
            "masking" => words.up_to([0.25]).map(|[fraction]| Noise::Masking { fraction })?,
            "salt-and-pepper" => words.up_to([0.1]).map(|[fraction]| Noise::SaltAndPepper { fraction })?,
            "swap" => words.up_to([0.15]).map(|[fraction]| Noise::Swap { fraction })?,
            _ => return Err(words.wrong()),
        };
        noise.check()?;
        Ok(noise)
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Noise::Gaussian { sigma } => write!(f, "gaussian:{sigma}"),
            Noise::Masking { fraction } => write!(f, "masking:{fraction}"),
            Noise::SaltAndPepper { fraction } => write!(f, "salt-and-pepper:{fraction}"),
            Noise::Swap { fraction } => write!(f, "swap:{fraction}"),
        }
    }
}

impl FromStr for CodePenalty {
    type Err = ConfigError;
    /// `l1[:WEIGHT]` (0.01) or `kl[:WEIGHT[:TARGET]]` (0.1, 0.05).
    fn from_str(text: &str) -> Result<CodePenalty, ConfigError> {
        let words = Words::of("code_penalty", "l1[:WEIGHT] or kl[:WEIGHT[:TARGET]]", text)?;
        let penalty = match words.name {
            "l1" => words.up_to([0.01]).map(|[weight]| CodePenalty::L1 { weight })?,
            "kl" => words.up_to([0.1, 0.05]).map(|[weight, target]| CodePenalty::Kl { weight, target })?,
            _ => return Err(words.wrong()),
        };
        penalty.check()?;
        Ok(penalty)
    }
}

impl fmt::Display for CodePenalty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodePenalty::L1 { weight } => write!(f, "l1:{weight}"),
            CodePenalty::Kl { weight, target } => write!(f, "kl:{weight}:{target}"),
        }
    }
}

impl FromStr for Schedule {
    type Err = ConfigError;
    /// `constant`, `cosine[:END]` (0), `one-cycle[:WARM_UP]` (0.3) or `plateau[:FACTOR[:PATIENCE]]`
    /// (0.5, 5).
    fn from_str(text: &str) -> Result<Schedule, ConfigError> {
        let allowed = "constant, cosine[:END], one-cycle[:WARM_UP] or plateau[:FACTOR[:PATIENCE]]";
        let words = Words::of("schedule", allowed, text)?;
        let schedule = match words.name {
            "constant" => words.none(Schedule::Constant)?,
            "cosine" => words.up_to([0.0]).map(|[end]| Schedule::Cosine { end })?,
            "one-cycle" => words.up_to([0.3]).map(|[warm_up]| Schedule::OneCycle { warm_up })?,
            "plateau" => {
                let [factor, patience] = words.up_to([0.5, 5.0])?;
                if !((1.0..=1e9).contains(&patience) && patience.fract() == 0.0) {
                    return Err(words.wrong());
                }
                Schedule::Plateau { factor, patience: patience as usize }
            }
            _ => return Err(words.wrong()),
        };
        schedule.check()?;
        Ok(schedule)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Constant => f.write_str("constant"),
            Schedule::Cosine { end } => write!(f, "cosine:{end}"),
            Schedule::OneCycle { warm_up } => write!(f, "one-cycle:{warm_up}"),
            Schedule::Plateau { factor, patience } => write!(f, "plateau:{factor}:{patience}"),
        }
    }
}

impl FromStr for Optimizer {
    type Err = ConfigError;
    /// `sgd`, `momentum[:MOMENTUM]` (0.9), `nesterov[:MOMENTUM]` (0.9), `adam[:BETA1[:BETA2[:EPSILON]]]`
    /// (0.9, 0.999, 1e-8) or `adamw[:BETA1[:BETA2[:EPSILON[:WEIGHT_DECAY]]]]` (the same and 0.01).
    fn from_str(text: &str) -> Result<Optimizer, ConfigError> {
        let allowed = "sgd, momentum[:MOMENTUM], nesterov[:MOMENTUM], adam[:BETA1[:BETA2[:EPSILON]]] or \
                       adamw[:BETA1[:BETA2[:EPSILON[:WEIGHT_DECAY]]]]";
        let words = Words::of("optimizer", allowed, text)?;
        let optimizer = match words.name {
            "sgd" => words.none(Optimizer::Sgd)?,
            "momentum" => words.up_to([0.9]).map(|[momentum]| Optimizer::Momentum { momentum })?,
            "nesterov" => words.up_to([0.9]).map(|[momentum]| Optimizer::Nesterov { momentum })?,
            "adam" => {
                let [beta1, beta2, epsilon] = words.up_to([0.9, 0.999, 1e-8])?;
                Optimizer::Adam { beta1, beta2, epsilon }
            }
            "adamw" => {
                let [beta1, beta2, epsilon, weight_decay] = words.up_to([0.9, 0.999, 1e-8, 0.01])?;
                Optimizer::AdamW { beta1, beta2, epsilon, weight_decay }
            }
            _ => return Err(words.wrong()),
        };
        optimizer.check()?;
        Ok(optimizer)
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Optimizer::Sgd => f.write_str(name),
            Optimizer::Momentum { momentum } | Optimizer::Nesterov { momentum } => {
                write!(f, "{name}:{momentum}")
            }
            Optimizer::Adam { beta1, beta2, epsilon } => write!(f, "{name}:{beta1}:{beta2}:{epsilon:e}"),
            Optimizer::AdamW { beta1, beta2, epsilon, weight_decay } => {
                write!(f, "{name}:{beta1}:{beta2}:{epsilon:e}:{weight_decay}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::{Debug, Display};

    /// Each first text parses to a value that is written as the second and read back from it.
    fn check<T: FromStr<Err = ConfigError> + Display + Debug + PartialEq>(
        good: &[(&str, &str)],
        bad: &[&str],
    ) {
        for (text, written) in good {
            let value: T = text.parse().unwrap();
            assert_eq!(value.to_string(), *written);
            assert_eq!(written.parse::<T>().unwrap(), value);
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_and_settings() {
        check::<Loss>(
            &[
                ("mse", "mse"),
                ("huber", "huber:1"),
                ("huber:0.5", "huber:0.5"),
                ("bce", "bce"),
                ("sigmoid-mse", "sigmoid-mse"),
            ],
            &["", "huber:0", "huber:nan", "mse:1", "huber:1:2", "hubert", "huber:x"],
        );
        check::<Noise>(
            &[("gaussian:0.3", "gaussian:0.3"), ("masking", "masking:0.25"), ("swap:1", "swap:1")],
            &["masking:0", "masking:1.1", "gaussian:-1", "gaussian:nan", "salt", "swap:0.1:0.2"],
        );
        check::<CodePenalty>(&[("l1", "l1:0.01"), ("kl:0.2", "kl:0.2:0.05")], &["l1:0", "kl:1:1", "l2"]);
        check::<Schedule>(
            &[("cosine", "cosine:0"), ("one-cycle:0.1", "one-cycle:0.1"), ("plateau", "plateau:0.5:5")],
            &["cosine:2", "plateau:1", "plateau:0.5:0", "plateau:0.5:1.5", "linear", "constant:1"],
        );
        check::<Optimizer>(
            &[
                ("sgd", "sgd"),
                ("nesterov", "nesterov:0.9"),
                ("momentum:0.5", "momentum:0.5"),
                ("adam", "adam:0.9:0.999:1e-8"),
                ("adam:0.8:0.99", "adam:0.8:0.99:1e-8"),
                ("adamw:0.9:0.999:1e-7", "adamw:0.9:0.999:1e-7:0.01"),
            ],
            &[
                "",
                "sgd:0.1",
                "momentum:1",
                "adam:0.9:0.999:0",
                "adam:1:2:3:4",
                "adamw:0.9:0.9:1e-8:2",
                "ADAM",
            ],
        );
        let defaults = [Optimizer::MOMENTUM, Optimizer::NESTEROV, Optimizer::ADAM, Optimizer::ADAMW];
        assert_eq!(
            ["momentum", "nesterov", "adam", "adamw"].map(|name| name.parse::<Optimizer>().unwrap()),
            defaults
        );
    }

    /// Names are those of model files, and read back; other words are refused with the list.
    fn check_names<T>(all: &[T])
    where
        T: FromStr<Err = ConfigError> + Display + Debug + PartialEq + serde::Serialize,
    {
        for value in all {
            assert_eq!(serde_json::to_value(value).unwrap(), value.to_string());
            assert_eq!(value.to_string().parse::<T>().unwrap(), *value);
        }
        for wrong in ["", "NONE", "0"] {
            let refused = wrong.parse::<T>().unwrap_err().to_string();
            assert!(all.iter().all(|value| refused.contains(&value.to_string())), "{refused}");
        }
    }

    #[test]
    fn names_and_choices() {
        check_names(&Activation::ALL);
        check_names(&Init::ALL);
        check_names(&ScalerKind::ALL);
        check_names(&Precision::ALL);
    }
}
