//! Initial weights. The generator's stream (ChaCha with 8 rounds) is specified, and the distributions
//! are implemented here, so that a seed means the same weights in every release.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::Init;

/// What a stream of random numbers is used for. Each purpose has its own stream, so that none disturbs
/// another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Weights,
    Shuffle { epoch: u64 },
}

/// The random number generator for a purpose.
pub(crate) fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(match purpose {
        Purpose::Weights => 0,
        Purpose::Shuffle { epoch } => epoch + 1,
    });
    rng
}

/// Draws `count` weights, of which `fan_in` lead to each output and `fan_out` away from each input.
pub(crate) fn weights(
    init: Init,
    count: usize,
    [fan_in, fan_out]: [usize; 2],
    rng: &mut ChaCha8Rng,
) -> Vec<f64> {
    let (i, o) = (fan_in as f64, fan_out as f64);
    let mut draw: Box<dyn FnMut() -> f64> = match init {
        Init::GlorotUniform => uniform((6.0 / (i + o)).sqrt(), rng),
        Init::GlorotNormal => normal((2.0 / (i + o)).sqrt(), rng),
        Init::HeUniform => uniform((6.0 / i).sqrt(), rng),
        Init::HeNormal => normal((2.0 / i).sqrt(), rng),
    };
    (0..count).map(|_| draw()).collect()
}

/// Uniform on `[-limit, limit)`.
fn uniform<'a>(limit: f64, rng: &'a mut ChaCha8Rng) -> Box<dyn FnMut() -> f64 + 'a> {
    Box::new(move || (2.0 * unit(rng) - 1.0) * limit)
}

/// Normal, by the Box–Muller transform.
fn normal<'a>(sigma: f64, rng: &'a mut ChaCha8Rng) -> Box<dyn FnMut() -> f64 + 'a> {
    Box::new(move || {
        let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
        radius * (std::f64::consts::TAU * unit(rng)).cos() * sigma
    })
}

/// A multiple of 2⁻⁵³ in [0, 1).
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_and_limits_follow_the_formulas() {
        let (inputs, outputs) = (300, 200);
        let cases = [
            (Init::GlorotUniform, (2.0f64 / 500.0).sqrt(), (6.0f64 / 500.0).sqrt()),
            (Init::GlorotNormal, (2.0f64 / 500.0).sqrt(), f64::INFINITY),
            (Init::HeUniform, (2.0f64 / 300.0).sqrt(), (6.0f64 / 300.0).sqrt()),
            (Init::HeNormal, (2.0f64 / 300.0).sqrt(), f64::INFINITY),
        ];
        for (init, sigma, limit) in cases {
            let w = weights(init, inputs * outputs, [inputs, outputs], &mut generator(1, Purpose::Weights));
            let n = w.len() as f64;
            let mean = w.iter().sum::<f64>() / n;
            let deviation = (w.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            assert!(mean.abs() < 5.0 * sigma / n.sqrt(), "{init:?}: mean {mean}");
            assert!((deviation / sigma - 1.0).abs() < 0.02, "{init:?}: deviation {deviation}, not {sigma}");
            assert!(w.iter().all(|x| x.abs() <= limit), "{init:?}: beyond {limit}");
        }
    }

    #[test]
    fn a_seed_means_the_same_weights_for_ever() {
        let w = weights(Init::GlorotUniform, 4, [2, 2], &mut generator(0, Purpose::Weights));
        let again = weights(Init::GlorotUniform, 4, [2, 2], &mut generator(0, Purpose::Weights));
        let other = weights(Init::GlorotUniform, 4, [2, 2], &mut generator(1, Purpose::Weights));
        assert_eq!(w, again);
        assert_ne!(w, other);
        assert_eq!(w.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), GOLDEN, "{w:?}");
    }

    const GOLDEN: [u64; 4] =
        [4602788059255823801, 13814051421347861299, 4602459031446162267, 13830902837090971299];
}
