//! Gradients against finite differences.
//!
//! A derivative is compared with the central difference of fourth order,
//! `(8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h`, whose truncation error is of order `h⁴`. A loss with kinks (ReLU) has
//! no derivative that a difference across a kink could agree with; such parameters are recognised by the
//! two step sizes `h` and `h/2` disagreeing, and are counted instead of compared.

/// How gradients are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The step `h`.
    pub step: f64,
    /// Largest relative error that passes: the difference over the larger of the two values and the root mean square of
    /// the whole gradient.
    pub tolerance: f64,
    /// Largest share of parameters that may lie at a kink.
    pub kinks: f64,
}

impl Default for Settings {
    /// Steps of 10⁻⁴, a relative error of 10⁻⁶, kinks at one parameter in five.
    fn default() -> Self {
        Settings { step: 1e-4, tolerance: 1e-6, kinks: 0.2 }
    }
}

/// What the comparison found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Parameters compared.
    pub compared: usize,
    /// Parameters at a kink of the loss, not compared.
    pub kinks: usize,
    /// The largest relative error; NaN if any was.
    pub worst: f64,
    /// The parameter it was found at.
    pub worst_at: usize,
    /// Analytic and numeric derivative there.
    pub worst_values: (f64, f64),
}

impl Report {
    /// Whether the gradient agrees. Comparing nothing is no agreement.
    pub fn passes(&self, settings: &Settings) -> bool {
        let all = self.compared + self.kinks;
        self.compared > 0
            && self.worst <= settings.tolerance
            && self.kinks as f64 <= settings.kinks * all as f64
    }
}

/// Compares `gradient` with finite differences of `loss` at `parameters`.
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
    for index in 0..parameters.len() {
        let mut difference = |h: f64| {
            let mut value = |offset: f64| {
                at[index] = parameters[index] + offset;
                loss(&at)
            };
            let inner = value(h) - value(-h);
            let outer = value(2.0 * h) - value(-2.0 * h);
            at[index] = parameters[index];
            (8.0 * inner - outer) / (12.0 * h)
        };
        let (coarse, fine) = (difference(settings.step), difference(settings.step / 2.0));
        let analytic = gradient[index];
        let size = analytic.abs().max(coarse.abs()).max(scale);
        let size = if size > 0.0 { size } else { 1.0 };
        let error = (analytic - coarse).abs() / size;
        let steps_disagree = (coarse - fine).abs() / size > settings.tolerance;
        if !(error <= settings.tolerance) && steps_disagree {
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
