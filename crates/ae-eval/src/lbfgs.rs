//! Minimises smooth functions of many variables by L-BFGS.

/// Number of steps and gradient changes that are remembered.
const HISTORY: usize = 10;
/// The Wolfe constants: the fraction of the expected decrease that a step must achieve, and of the slope
/// that it may leave (Nocedal & Wright 2006, sec. 3.1).
const WOLFE: (f64, f64) = (1e-4, 0.9);
/// Most step lengths to try per step.
const MAX_LINE_SEARCH_STEPS: usize = 50;
/// Relative increase of the function's value that is attributed to rounding.
const ROUNDING: f64 = 1e-14;

/// How a minimisation ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Termination {
    /// The largest partial derivative in magnitude.
    pub(crate) gradient: f64,
    /// Number of steps made.
    pub(crate) steps: usize,
    /// Whether the gradient is within the tolerance.
    pub(crate) converged: bool,
}

/// Moves `x` to where no partial derivative of `function` exceeds `tolerance` in magnitude, by at most
/// `max_steps` steps of L-BFGS (Liu & Nocedal 1989; Nocedal & Wright 2006, algorithm 7.4). `function`
/// returns its value and fills in its gradient.
pub(crate) fn minimise<E>(
    x: &mut [f64],
    tolerance: f64,
    max_steps: usize,
    mut function: impl FnMut(&[f64], &mut [f64]) -> Result<f64, E>,
) -> Result<Termination, E> {
    let mut gradient = vec![0.0; x.len()];
    let mut value = function(x, &mut gradient)?;
    let (mut next, mut next_gradient) = (x.to_vec(), gradient.clone());
    let mut history: Vec<CurvaturePair> = Vec::new();
    for steps in 0..=max_steps {
        // NaN counts as larger than any number, and is kept.
        let larger = |max: f64, g: &f64| if max.is_nan() || g.abs() <= max { max } else { g.abs() };
        let largest = gradient.iter().fold(0.0, larger);
        let converged = largest <= tolerance;
        if converged || steps == max_steps || !value.is_finite() {
            return Ok(Termination { gradient: largest, steps, converged });
        }
        let mut direction = search_direction(&history, &gradient);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            // Rounding has spoilt the history.
            history.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = dot(&direction, &gradient);
        }
        let (mut low, mut high) = (0.0, f64::INFINITY);
        let mut length = if history.is_empty() { (1.0 / (-slope).sqrt()).min(1.0) } else { 1.0 };
        let mut accepted = false;
        // Bisection for the weak Wolfe conditions (Lewis & Overton 2013, algorithm 2.6).
        for _ in 0..MAX_LINE_SEARCH_STEPS {
            for ((next, x), d) in next.iter_mut().zip(&*x).zip(&direction) {
                *next = x + length * d;
            }
            let found = function(&next, &mut next_gradient)?;
            if !(found <= value + WOLFE.0 * length * slope + ROUNDING * value.abs()) {
                high = length;
            } else if dot(&next_gradient, &direction) < WOLFE.1 * slope {
                low = length;
            } else {
                value = found;
                accepted = true;
                break;
            }
            length = if high.is_finite() { f64::midpoint(low, high) } else { 2.0 * low };
        }
        if !accepted {
            return Ok(Termination { gradient: largest, steps, converged: false });
        }
        history.extend(CurvaturePair::new(&next, x, &next_gradient, &gradient));
        if history.len() > HISTORY {
            history.remove(0);
        }
        x.copy_from_slice(&next);
        gradient.copy_from_slice(&next_gradient);
    }
    Ok(Termination { gradient: f64::INFINITY, steps: max_steps, converged: false })
}

/// A step, and the change of the gradient over it.
struct CurvaturePair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// `1 / (step · change)`
    rho: f64,
}

impl CurvaturePair {
    /// `None` if the function is not convex along the step.
    fn new(to: &[f64], from: &[f64], after: &[f64], before: &[f64]) -> Option<CurvaturePair> {
        let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
        let (step, change) = (difference(to, from), difference(after, before));
        let curvature = dot(&step, &change);
        (curvature > 0.0).then(|| CurvaturePair { step, change, rho: 1.0 / curvature })
    }
}

/// The direction of the next step: the negative gradient times the approximate inverse Hessian.
fn search_direction(history: &[CurvaturePair], gradient: &[f64]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(history.len());
    for CurvaturePair { step, change, rho } in history.iter().rev() {
        let alpha = rho * dot(step, &direction);
        direction.iter_mut().zip(change).for_each(|(d, y)| *d -= alpha * y);
        alphas.push(alpha);
    }
    if let Some(CurvaturePair { change, rho, .. }) = history.last() {
        let scale = 1.0 / (rho * dot(change, change));
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (CurvaturePair { step, change, rho }, alpha) in history.iter().zip(alphas.iter().rev()) {
        let beta = rho * dot(change, &direction);
        direction.iter_mut().zip(step).for_each(|(d, s)| *d += (alpha - beta) * s);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(x: &mut [f64], function: impl Fn(&[f64], &mut [f64]) -> f64) -> Termination {
        minimise(x, 1e-9, 500, |x, g| Ok::<_, ()>(function(x, g))).unwrap()
    }

    /// A quadratic bowl whose curvatures differ by a factor of a million.
    #[test]
    fn a_long_valley() {
        let mut x = vec![1.0; 7];
        let termination = run(&mut x, |x, g| {
            let factor = |i: usize| 10f64.powi(i as i32);
            (0..7).for_each(|i| g[i] = factor(i) * (x[i] - i as f64));
            (0..7).map(|i| 0.5 * factor(i) * (x[i] - i as f64).powi(2)).sum()
        });
        assert!(termination.converged, "{termination:?}");
        assert!(x.iter().enumerate().all(|(i, x)| (x - i as f64).abs() < 1e-8), "{x:?}");
    }

    /// Rosenbrock 1960.
    #[test]
    fn a_bent_valley() {
        let mut x = [-1.2, 1.0];
        let termination = run(&mut x, |x, g| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            (g[0], g[1]) = (-2.0 * a - 400.0 * x[0] * b, 200.0 * b);
            a * a + 100.0 * b * b
        });
        assert!(
            termination.converged && (x[0] - 1.0).abs() < 1e-8 && (x[1] - 1.0).abs() < 1e-8,
            "{termination:?} {x:?}"
        );
    }

    #[test]
    fn what_has_no_least_value_does_not_converge() {
        let termination = minimise(&mut [0.0], 1e-9, 20, |x, g| {
            g[0] = -1.0;
            Ok::<_, ()>(-x[0])
        });
        assert!(!termination.unwrap().converged);
        assert_eq!(minimise(&mut [0.0], 1e-9, 20, |_, _| Err("no")), Err("no"));
        let termination = minimise(&mut [0.0], 1e-9, 20, |_, g| {
            g[0] = f64::NAN;
            Ok::<_, ()>(f64::NAN)
        });
        assert!(!termination.unwrap().converged);
    }
}
