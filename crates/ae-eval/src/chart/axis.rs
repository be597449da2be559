//! The range of an axis, and its ticks.

use super::Scale;

/// The largest magnitude on an axis: beyond it, sums and powers of ten would overflow.
const MAX_MAGNITUDE: f64 = 1e300;
/// The smallest value on a logarithmic axis.
const MIN_LOG_VALUE: f64 = 1e-300;

/// The range of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct AxisRange {
    low: f64,
    high: f64,
    log: bool,
}

impl AxisRange {
    /// Covers all finite values; `has_margin` adds a margin on both sides.
    pub(super) fn of(values: impl Iterator<Item = f64>, scale: Scale, has_margin: bool) -> AxisRange {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in
            values.filter(|value| value.is_finite()).map(|value| value.clamp(-MAX_MAGNITUDE, MAX_MAGNITUDE))
        {
            (low, high) = (low.min(value), high.max(value));
        }
        if let Scale::Fixed(from, to) = scale {
            (low, high) = (from, to);
        }
        if !(low <= high) || !(high - low).is_finite() {
            (low, high) = (0.0, 1.0);
        }
        if low == high {
            let half = if low.abs() < 1e-300 { 1.0 } else { 0.5 * low.abs() };
            (low, high) = (low - half, high + half);
        }
        // Smaller positive values have logarithms too, but decades that cannot be counted.
        let log = scale == Scale::Log && low > MIN_LOG_VALUE;
        if has_margin && !matches!(scale, Scale::Fixed(..)) {
            (low, high) = if log {
                let margin = (0.04 * (high.ln() - low.ln())).exp();
                ((low / margin).max(MIN_LOG_VALUE), (high * margin).min(MAX_MAGNITUDE))
            } else {
                let margin = 0.04 * (high - low);
                (low - margin, high + margin)
            };
        }
        AxisRange { low, high, log }
    }

    /// The position of a value: 0 at the lower end, 1 at the upper.
    pub(super) fn fraction(&self, value: f64) -> f64 {
        if self.log {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// About `wanted` round values with their labels, in ascending order.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        if self.log {
            let ticks = self.log_ticks(&[1]);
            if ticks.len() >= 3 {
                let every = ticks.len().div_ceil(wanted.max(1));
                return ticks.into_iter().step_by(every).collect();
            }
            let ticks = self.log_ticks(&[1, 2, 5]);
            if ticks.len() >= 3 {
                return ticks;
            }
        }
        self.linear_ticks(wanted)
    }

    fn log_ticks(&self, digits: &[u8]) -> Vec<(f64, String)> {
        let exponents = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let all = exponents.flat_map(|exponent| digits.iter().map(move |digit| (*digit, exponent)));
        let values = all.map(|(digit, exponent)| {
            let value = f64::from(digit) * 10f64.powi(exponent);
            let label = match exponent {
                0..=5 => format!("{value:.0}"),
                -3..0 => format!("{value:.0$}", exponent.unsigned_abs() as usize),
                _ => format!("{digit}e{exponent}"),
            };
            (value, label)
        });
        // Rounding may put a power of ten just outside the end.
        let within = |value: f64| (-1e-9..=1.0 + 1e-9).contains(&self.fraction(value));
        values.filter(|(value, _)| within(*value)).collect()
    }

    fn linear_ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / wanted.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let factor =
            [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * (1.0 - 1e-9)).unwrap_or(10.0);
        let step = factor * power;
        if !(step > 0.0 && step.is_finite()) {
            return Vec::new();
        }
        let first = (self.low / step - 1e-9).ceil();
        let count = ((self.high / step + 1e-9).floor() - first).clamp(-1.0, 40.0) as i64;
        let largest = self.low.abs().max(self.high.abs());
        let digits = -(step.log10() + 1e-9).floor() as i64;
        (0..=count)
            .map(|place| {
                let value = (first + place as f64) * step;
                let label = if value == 0.0 {
                    "0".to_owned()
                } else if largest >= 1e6 || digits > 5 {
                    let kept = (value.abs().log10() + 1e-9).floor() as i64 + digits;
                    format!("{value:.0$e}", kept.clamp(0, 15) as usize)
                } else {
                    format!("{value:.0$}", digits.max(0) as usize)
                };
                (value, label)
            })
            .collect()
    }
}
