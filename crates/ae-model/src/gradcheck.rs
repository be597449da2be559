//! Checks gradients against finite differences.
//!
//! A derivative is compared with the fourth-order central difference,
//! `(8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h`, whose truncation error is of order `h⁴`. Where a
//! loss has kinks (ReLU), no derivative agrees with a difference taken across one; such parameters are
//! counted instead of compared. They are recognised by comparing the step sizes `h` and `h/2`: where the
//! loss is smooth, their differences agree, and the slopes of the two sides differ half as much at half
//! the step. The second test detects a kink right at the parameter's value, where both step sizes give
//! the mean of the two slopes.

/// How gradients are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The step `h`.
    pub step: f64,
    /// Largest relative error that passes: the difference divided by the largest of the two values and
    /// the root mean square of the whole gradient.
    pub tolerance: f64,
    /// Largest fraction of parameters that may lie at a kink.
    pub kinks: f64,
}

impl Default for Settings {
    /// A step of 10⁻⁴, a relative error of 10⁻⁶, kinks at one parameter in five.
    fn default() -> Self {
        Settings { step: 1e-4, tolerance: 1e-6, kinks: 0.2 }
    }
}

/// What the comparison found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Number of parameters compared.
    pub compared: usize,
    /// Number of parameters at a kink of the loss, which are not compared.
    pub kinks: usize,
    /// The largest relative error; NaN if any error was NaN.
    pub worst: f64,
    /// The index of the parameter with that error.
    pub worst_at: usize,
    /// The analytic and the numeric derivative there.
    pub worst_values: (f64, f64),
}

impl Report {
    /// Whether the gradient agrees; false if nothing was compared.
    pub fn passes(&self, settings: &Settings) -> bool {
        let all = self.compared + self.kinks;
        self.compared > 0
            && self.worst <= settings.tolerance
            && self.kinks as f64 <= settings.kinks * all as f64
    }
}

/// Compares `gradient` with finite differences of `loss` at `parameters`.
///
/// # Panics
/// If `gradient` does not have one value per parameter.
pub fn compare(
    settings: &Settings,
    parameters: &[f64],
    gradient: &[f64],
    mut loss: impl FnMut(&[f64]) -> f64,
) -> Report {
    assert!(parameters.len() == gradient.len(), "{} derivatives of {}", gradient.len(), parameters.len());
    let mut at = parameters.to_vec();
    let squares: f64 = gradient.iter().map(|g| g * g).sum();
    let scale = (squares / gradient.len().max(1) as f64).sqrt();
    let mut report = Report { compared: 0, kinks: 0, worst: 0.0, worst_at: 0, worst_values: (0.0, 0.0) };
    let here = loss(&at);
    for index in 0..parameters.len() {
        // The difference quotient with this step, and the difference between the slopes of the two
        // sides.
        let mut difference = |h: f64| {
            let mut value = |offset: f64| {
                at[index] = parameters[index] + offset;
                loss(&at)
            };
            let (above, below) = (value(h), value(-h));
            let outer = value(2.0 * h) - value(-2.0 * h);
            at[index] = parameters[index];
            ((8.0 * (above - below) - outer) / (12.0 * h), (above - 2.0 * here + below) / h)
        };
        let ((coarse, apart), (fine, less_apart)) =
            (difference(settings.step), difference(settings.step / 2.0));
        let analytic = gradient[index];
        let size = analytic.abs().max(coarse.abs()).max(scale);
        let size = if size > 0.0 { size } else { 1.0 };
        let error = (analytic - coarse).abs() / size;
        // In some places a kink adds a few times less to these than to the error.
        let kink =
            (coarse - fine).abs().max((apart - 2.0 * less_apart).abs()) / size > settings.tolerance / 10.0;
        if !(error <= settings.tolerance) && kink {
            report.kinks += 1;
            continue;
        }
        report.compared += 1;
        if !(error <= report.worst) {
            report.worst = if report.worst.is_nan() { f64::NAN } else { error };
            report.worst_at = index;
            report.worst_values = (analytic, coarse);
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A smooth part, plus a kink where the second parameter is `kink`.
    fn loss(kink: f64) -> impl Fn(&[f64]) -> f64 {
        move |p| p[0].sin() * p[1].exp() + 1e-3 * (p[1] - kink).max(0.0)
    }

    #[test]
    fn a_kink_is_counted_wherever_it_is_within_the_steps() {
        let at: [f64; 2] = [0.3, 0.2];
        let right = [at[0].cos() * at[1].exp(), at[0].sin() * at[1].exp()];
        for offset in [0.0, 1e-12, -3e-8, 1e-5, -6e-5, 1.5e-4] {
            let report = compare(&Settings::default(), &at, &right, loss(at[1] + offset));
            assert_eq!((report.compared, report.kinks), (1, 1), "{offset}: {report:?}");
        }
        let report = compare(&Settings::default(), &at, &right, loss(at[1] + 1e-3));
        assert!(report.compared == 2 && report.passes(&Settings::default()), "{report:?}");
    }

    #[test]
    fn a_wrong_derivative_is_not_taken_for_a_kink() {
        let at: [f64; 2] = [0.3, 0.2];
        let wrong = [at[0].cos() * at[1].exp(), at[0].sin() * at[1].exp() * (1.0 + 1e-5)];
        let report = compare(&Settings::default(), &at, &wrong, loss(1.0));
        assert!(
            report.kinks == 0 && report.worst_at == 1 && !report.passes(&Settings::default()),
            "{report:?}"
        );
    }
}
