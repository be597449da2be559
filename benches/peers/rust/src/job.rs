//! The work of every system, as in `systems/job.py`, and how its steps are timed.

use std::time::{Duration, Instant};

use crate::random::Random;

/// Learning rate for the objective `½ Σ_features (x̂ - x)²`, averaged over the rows.
pub const LEARNING_RATE: f64 = 1e-4;
/// Momentum coefficient.
pub const MOMENTUM: f64 = 0.9;
/// Decay rates of Adam's moments.
pub const BETAS: (f64, f64) = (0.9, 0.999);
/// Adam's epsilon.
pub const EPSILON: f64 = 1e-8;
/// AdamW's weight decay.
pub const WEIGHT_DECAY: f64 = 0.01;
/// Batches per window.
pub const BATCHES: usize = 8;
/// Warm-up windows before timing starts.
const WARM_UPS: usize = 3;

/// A network and its optimizer.
#[derive(Clone, Debug)]
pub struct Job {
    /// Widths from the input through the encoding to the output.
    pub layer_dims: Vec<usize>,
    /// Rows per step.
    pub batch: usize,
    /// Optimizer update rule.
    pub optimizer: String,
}

impl Job {
    /// Creates the symmetric autoencoder with these encoder widths.
    pub fn mirrored(dims: &[usize], batch: usize, optimizer: &str) -> Job {
        let layer_dims = dims.iter().chain(dims.iter().rev().skip(1)).copied().collect();
        Job { layer_dims, batch, optimizer: optimizer.to_owned() }
    }

    /// Returns the inputs and outputs of every layer.
    pub fn layers(&self) -> impl Iterator<Item = (usize, usize)> {
        self.layer_dims.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// Returns the learning rate that gives the same steps for the mean squared error over rows and
    /// features.
    pub fn rate_of_mean(&self) -> f64 {
        LEARNING_RATE * self.layer_dims.last().copied().unwrap_or_default() as f64 / 2.0
    }

    /// Draws the weights of a layer, uniform after Glorot and Bengio (2010).
    pub fn glorot(random: &mut Random, (inputs, outputs): (usize, usize)) -> Vec<f32> {
        let bound = (6.0 / (inputs + outputs) as f64).sqrt();
        random.uniform(inputs * outputs, -bound, bound)
    }

    /// Draws the rows of a window, batch by batch.
    pub fn batches(&self) -> Vec<Vec<f32>> {
        let mut random = Random::new(1);
        (0..BATCHES).map(|_| random.uniform(self.batch * self.layer_dims[0], 0.0, 1.0)).collect()
    }

    /// Returns the operations per row: for each weight, two each for the forward pass, its gradient, and
    /// the gradient of its input (except in the first layer).
    pub fn operations_per_sample(&self) -> usize {
        let sizes: Vec<usize> = self.layers().map(|(inputs, outputs)| inputs * outputs).collect();
        6 * sizes.iter().sum::<usize>() - 2 * sizes[0]
    }
}

/// A system that trains.
pub trait Steps {
    /// Runs one update per batch and returns the mean squared error before the last one.
    fn window(&mut self) -> Result<f64, String>;
}

/// Returns the shortest time per step, averaged over a window. The steps must actually train: the error
/// has to fall.
pub fn best_window(steps: &mut dyn Steps, limit: Duration) -> Result<Duration, String> {
    let mut window = || {
        let start = Instant::now();
        let error = steps.window()?;
        Ok::<_, String>((start.elapsed() / BATCHES as u32, error))
    };
    let (_, first) = window()?;
    for _ in 1..WARM_UPS {
        window()?;
    }
    let begin = Instant::now();
    let (mut best, mut last) = window()?;
    while begin.elapsed() < limit {
        let (elapsed, error) = window()?;
        (best, last) = (best.min(elapsed), error);
    }
    if last.is_finite() && last < first {
        Ok(best)
    } else {
        Err(format!("the loss went from {first} to {last}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BurnSteps, CandleSteps};

    type Made = Result<Box<dyn Steps>, String>;

    fn systems(job: &Job) -> [Made; 2] {
        let candle = CandleSteps::new(job).map(|steps| Box::new(steps) as Box<dyn Steps>);
        [candle, BurnSteps::new(job).map(|steps| Box::new(steps) as Box<dyn Steps>)]
    }

    /// Every update rule that a system supports trains, and the systems agree on the first error.
    #[test]
    fn the_loss_falls() {
        for (optimizer, known) in [
            ("sgd", [true, true]),
            ("momentum", [false, true]),
            ("nesterov", [false, true]),
            ("adam", [true, true]),
            ("adamw", [true, true]),
        ] {
            let job = Job::mirrored(&[20, 10, 4], 16, optimizer);
            let mut firsts = Vec::new();
            for (made, known) in systems(&job).into_iter().zip(known) {
                assert_eq!(made.is_ok(), known, "{optimizer}");
                let Ok(mut steps) = made else { continue };
                firsts.push(steps.window().unwrap());
                best_window(steps.as_mut(), Duration::ZERO).unwrap();
            }
            assert!(firsts.iter().all(|first| (first / firsts[0] - 1.0).abs() < 1e-3), "{firsts:?}");
        }
    }

    #[test]
    fn what_does_not_learn_is_no_training() {
        struct Still;
        impl Steps for Still {
            fn window(&mut self) -> Result<f64, String> {
                Ok(1.0)
            }
        }
        assert!(best_window(&mut Still, Duration::ZERO).is_err());
        assert!(CandleSteps::new(&Job::mirrored(&[4, 2], 1, "lion")).is_err());
    }

    #[test]
    fn operations() {
        assert_eq!(Job::mirrored(&[3, 2], 1, "sgd").operations_per_sample(), 6 * 12 - 2 * 6);
    }
}
