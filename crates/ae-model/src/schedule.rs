//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

use crate::config::{in_range, out_of_range};
use crate::error::ConfigError;

/// How the learning rate changes during training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// Does not change.
    #[default]
    Constant,
    /// Decays from the learning rate to a fraction `end` of it along half a cosine (Loshchilov & Hutter
    /// 2017, eq. 5, without restarts).
    Cosine {
        /// Fraction left at the end, in `[0, 1]`.
        end: f64,
    },
    /// Rises from 1/25 of the learning rate to all of it, then falls to 10⁻⁴ of that start, each along
    /// half a cosine (Smith & Topin 2018).
    OneCycle {
        /// Fraction of the updates for which the rate rises, in `[0, 1]`.
        warm_up: f64,
    },
    /// Multiplies the learning rate by `factor` whenever the monitored loss has not improved for
    /// `patience` epochs.
    Plateau {
        /// Factor, in `(0, 1)`.
        factor: f64,
        /// Epochs without improvement, at least 1.
        patience: usize,
    },
}

/// One-cycle: the fraction of the learning rate at the start, and the fraction of that left at the end.
const ONE_CYCLE: (f64, f64) = (1.0 / 25.0, 1e-4);

impl Schedule {
    /// The name used by the command line.
    pub fn name(self) -> &'static str {
        match self {
            Schedule::Constant => "constant",
            Schedule::Cosine { .. } => "cosine",
            Schedule::OneCycle { .. } => "one-cycle",
            Schedule::Plateau { .. } => "plateau",
        }
    }

    pub(crate) fn check(self) -> Result<(), ConfigError> {
        let fraction = |field, value: f64| match value {
            0.0..=1.0 => Ok(()),
            _ => Err(out_of_range(field, value, "from 0 to 1")),
        };
        match self {
            Schedule::Constant => Ok(()),
            Schedule::Cosine { end } => fraction("schedule.end", end),
            Schedule::OneCycle { warm_up } => fraction("schedule.warm_up", warm_up),
            Schedule::Plateau { factor, patience } => {
                if !(factor > 0.0 && factor < 1.0) {
                    return Err(out_of_range("schedule.factor", factor, "above 0 and below 1"));
                }
                in_range("schedule.patience", patience, 1, 1_000_000_000)
            }
        }
    }

    /// Whether it does not depend on the number of epochs.
    pub(crate) fn is_open_ended(self) -> bool {
        matches!(self, Schedule::Constant | Schedule::Plateau { .. })
    }

    /// The factor of the learning rate at update `step` (from 0) of `steps`.
    pub(crate) fn factor(self, step: u64, steps: u64) -> f64 {
        // 0 at the first update, 1 at the last.
        let at = step as f64 / (steps.max(2) - 1) as f64;
        match self {
            Schedule::Constant | Schedule::Plateau { .. } => 1.0,
            Schedule::Cosine { end } => between(1.0, end, at),
            Schedule::OneCycle { warm_up } => {
                let (start, end) = ONE_CYCLE;
                if at < warm_up {
                    between(start, 1.0, at / warm_up)
                } else if warm_up >= 1.0 {
                    1.0
                } else {
                    between(1.0, start * end, (at - warm_up) / (1.0 - warm_up))
                }
            }
        }
    }
}

/// Goes from `from` at 0 to `to` at 1 along half a cosine.
fn between(from: f64, to: f64, at: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * at.clamp(0.0, 1.0)).cos())
}

/// Watches the loss for [`Schedule::Plateau`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plateau {
    best: Option<f64>,
    since: usize,
    factor: f64,
}

impl Plateau {
    pub(crate) fn new() -> Self {
        Plateau { best: None, since: 0, factor: 1.0 }
    }

    /// Records the loss after an epoch.
    pub(crate) fn after_epoch(&mut self, schedule: Schedule, loss: f64) {
        let Schedule::Plateau { factor, patience } = schedule else { return };
        if self.best.is_none_or(|best| loss < best) {
            (self.best, self.since) = (Some(loss), 0);
            return;
        }
        self.since = self.since.saturating_add(1);
        if self.since >= patience {
            self.since = 0;
            self.factor *= factor;
        }
    }

    /// The current factor of the learning rate.
    pub(crate) fn factor(&self) -> f64 {
        self.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_start_and_end_where_they_say() {
        let steps = 1001;
        let at = |schedule: Schedule, step| schedule.factor(step, steps);
        assert_eq!(at(Schedule::Constant, 500), 1.0);
        let cosine = Schedule::Cosine { end: 0.1 };
        assert_eq!(at(cosine, 0), 1.0);
        assert!((at(cosine, 500) - 0.55).abs() < 1e-12 && (at(cosine, 1000) - 0.1).abs() < 1e-12);
        // cos(π/4) = √½: not a straight line.
        assert!((at(cosine, 250) - (0.1 + 0.45 * (1.0 + 0.5f64.sqrt()))).abs() < 1e-12);
        let cycle = Schedule::OneCycle { warm_up: 0.3 };
        assert!((at(cycle, 0) - 0.04).abs() < 1e-12 && (at(cycle, 300) - 1.0).abs() < 1e-12);
        assert!((at(cycle, 1000) - 4e-6).abs() < 1e-12);
        for warm_up in [0.0, 1.0] {
            let cycle = Schedule::OneCycle { warm_up };
            assert!((0..steps).all(|step| (0.0..=1.0).contains(&at(cycle, step))));
        }
        // A single update is the first.
        assert_eq!(cosine.factor(0, 1), 1.0);
    }

    #[test]
    fn a_plateau_is_waited_for() {
        let schedule = Schedule::Plateau { factor: 0.5, patience: 2 };
        let mut plateau = Plateau::new();
        let mut factors = Vec::new();
        for loss in [1.0, 0.9, 0.95, 0.9, 0.8, 0.8, 0.9, 0.9, 0.9] {
            plateau.after_epoch(schedule, loss);
            factors.push(plateau.factor());
        }
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]);
    }
}
