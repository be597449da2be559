//! Optimizer update rules, applied to a weight gradient while it is still in L1.

use crate::isa::Isa;
use crate::simd::{Element, Kernel, Simd};
use crate::trace::{trace, without_trace};

/// How a gradient `g = Σ_rows a·δ` that has just been summed changes a parameter `w` and its state. The
/// rule is the same for all parameters of a step.
///
/// The state is [`Rule::state_per_parameter`] times as long as the parameters: for each panel row of
/// parameters, it holds one panel row for each state value (momentum, second moment, ...), next to each
/// other. So the state of a range of panel rows is a range too, however the parameters are divided.
///
/// Velocities and first moments that have decayed below what moves a parameter (`2^-100` for `f32`) are
/// stored as zero, and so are second moments below twice the smallest normal number, once the first
/// moment is.
///
/// Kernels take the rule as a value, not as a type: it is examined once per tile of sums, and each
/// kernel is compiled once for all rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule<T> {
    /// Overwrites the parameters with `scale g`: used by gradient checks.
    Gradient {
        /// Factor of the gradient: `1 / rows` for the mean over the rows.
        scale: T,
    },
    /// `w <- w - step g`. With `step = learning_rate / rows`, this is plain stochastic gradient descent
    /// on the mean over the rows.
    Sgd {
        /// Learning rate divided by the number of rows of the batch.
        step: T,
    },
    /// `v <- momentum v + scale g`, `w <- w - rate v`: the heavy-ball method of Polyak (1964), in the
    /// form of Sutskever et al. (2013, equations 1 and 2), except that the rate is applied outside the
    /// velocity, which therefore survives a change of the rate.
    Momentum {
        /// Factor of the gradient: `1 / rows` for the mean over the rows.
        scale: T,
        /// Learning rate.
        rate: T,
        /// Momentum coefficient: the fraction of the velocity that remains.
        momentum: T,
    },
    /// `v <- momentum v + scale g`, `w <- w - rate (scale g + momentum v)`: Nesterov's accelerated
    /// gradient with the look-ahead absorbed into the parameters (Bengio, Boulanger-Lewandowski &
    /// Pascanu 2013, equation 7).
    Nesterov {
        /// Factor of the gradient: `1 / rows` for the mean over the rows.
        scale: T,
        /// Learning rate.
        rate: T,
        /// Momentum coefficient: the fraction of the velocity that remains.
        momentum: T,
    },
    /// Adam (Kingma & Ba 2015, algorithm 1): `m <- β₁ m + (1 - β₁) g`, `v <- β₂ v + (1 - β₂) g²`,
    /// `w <- decay_factor w - rate m / (√(inv_bias_correction2 v) + ε)`, with `g` scaled by `scale`. A
    /// `decay_factor` below 1 adds decoupled weight decay (after Loshchilov & Hutter 2019, algorithm 2).
    Adam {
        /// Factor of the gradient: `1 / rows` for the mean over the rows.
        scale: T,
        /// Learning rate divided by `1 - β₁ᵗ` at update `t`, counted from 1.
        rate: T,
        /// `β₁`
        beta1: T,
        /// `1 - β₁`, which is not computed from the rounded `β₁`.
        one_minus_beta1: T,
        /// `β₂`
        beta2: T,
        /// `1 - β₂`
        one_minus_beta2: T,
        /// `1 / (1 - β₂ᵗ)`
        inv_bias_correction2: T,
        /// `ε`
        epsilon: T,
        /// Fraction of a parameter that weight decay leaves: one minus learning rate times weight decay.
        decay_factor: T,
    },
}

impl<T: Element> Rule<T> {
    /// Returns the number of state values per parameter.
    pub fn state_per_parameter(&self) -> usize {
        match self {
            Rule::Gradient { .. } | Rule::Sgd { .. } => 0,
            Rule::Momentum { .. } | Rule::Nesterov { .. } => 1,
            Rule::Adam { .. } => 2,
        }
    }

    /// Returns whether a gradient of zero changes nothing, so that parameters without a gradient may be
    /// skipped.
    pub(crate) fn skips_zero_gradients(&self) -> bool {
        matches!(self, Rule::Sgd { .. })
    }

    /// Returns the rule that multiplies gradients by `factor` first.
    pub fn with_gradient_factor(mut self, factor: T) -> Self {
        match &mut self {
            Rule::Sgd { step: scale }
            | Rule::Gradient { scale }
            | Rule::Momentum { scale, .. }
            | Rule::Nesterov { scale, .. }
            | Rule::Adam { scale, .. } => *scale = *scale * factor,
        }
        self
    }
}

impl Rule<f64> {
    /// Converts the rule to the element type `T`.
    pub fn cast<T: Element>(self) -> Rule<T> {
        let to = T::from_f64;
        match self {
            Rule::Gradient { scale } => Rule::Gradient { scale: to(scale) },
            Rule::Sgd { step } => Rule::Sgd { step: to(step) },
            Rule::Momentum { scale, rate, momentum } => {
                Rule::Momentum { scale: to(scale), rate: to(rate), momentum: to(momentum) }
            }
            Rule::Nesterov { scale, rate, momentum } => {
                Rule::Nesterov { scale: to(scale), rate: to(rate), momentum: to(momentum) }
            }
            Rule::Adam {
                scale,
                rate,
                beta1,
                one_minus_beta1,
                beta2,
                one_minus_beta2,
                inv_bias_correction2,
                epsilon,
                decay_factor,
            } => Rule::Adam {
                scale: to(scale),
                rate: to(rate),
                beta1: to(beta1),
                one_minus_beta1: to(one_minus_beta1),
                beta2: to(beta2),
                one_minus_beta2: to(one_minus_beta2),
                inv_bias_correction2: to(inv_bias_correction2),
                epsilon: to(epsilon),
                decay_factor: to(decay_factor),
            },
        }
    }
}

/// A rule applied to vectors.
trait OnVectors<T: Element>: Copy {
    /// Number of state values per parameter: at most 2.
    const STATE: usize;

    /// Returns the new parameters and state, given the old parameters `w`, the summed gradient `g` and
    /// the old state.
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, state: [S::V; 2]) -> (S::V, [S::V; 2]);
}

#[derive(Clone, Copy)]
struct Sgd<T> {
    step: T,
}

impl<T: Element> OnVectors<T> for Sgd<T> {
    const STATE: usize = 0;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, state: [S::V; 2]) -> (S::V, [S::V; 2]) {
        (s.neg_mul_add(s.splat(self.step), g, w), state)
    }
}

#[derive(Clone, Copy)]
struct Gradient<T> {
    scale: T,
}

impl<T: Element> OnVectors<T> for Gradient<T> {
    const STATE: usize = 0;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, _: S::V, g: S::V, state: [S::V; 2]) -> (S::V, [S::V; 2]) {
        (s.mul(s.splat(self.scale), g), state)
    }
}

#[derive(Clone, Copy)]
struct Momentum<T> {
    scale: T,
    rate: T,
    momentum: T,
}

impl<T: Element> OnVectors<T> for Momentum<T> {
    const STATE: usize = 1;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, [v, spare]: [S::V; 2]) -> (S::V, [S::V; 2]) {
        let v = s.mul_add(s.splat(self.momentum), v, s.mul(s.splat(self.scale), g));
        (s.neg_mul_add(s.splat(self.rate), v, w), [without_trace(s, v), spare])
    }
}

#[derive(Clone, Copy)]
struct Nesterov<T> {
    scale: T,
    rate: T,
    momentum: T,
}

impl<T: Element> OnVectors<T> for Nesterov<T> {
    const STATE: usize = 1;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, [v, spare]: [S::V; 2]) -> (S::V, [S::V; 2]) {
        let g = s.mul(s.splat(self.scale), g);
        let momentum = s.splat(self.momentum);
        let v = s.mul_add(momentum, v, g);
        (s.neg_mul_add(s.splat(self.rate), s.mul_add(momentum, v, g), w), [without_trace(s, v), spare])
    }
}

#[derive(Clone, Copy)]
struct Adam<T> {
    scale: T,
    rate: T,
    beta1: T,
    one_minus_beta1: T,
    beta2: T,
    one_minus_beta2: T,
    inv_bias_correction2: T,
    epsilon: T,
    decay_factor: T,
}

impl<T: Element> OnVectors<T> for Adam<T> {
    const STATE: usize = 2;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, [m, v]: [S::V; 2]) -> (S::V, [S::V; 2]) {
        let g = s.mul(s.splat(self.scale), g);
        let m = s.mul_add(s.splat(self.beta1), m, s.mul(s.splat(self.one_minus_beta1), g));
        let v = s.mul_add(s.splat(self.beta2), v, s.mul(s.splat(self.one_minus_beta2), s.mul(g, g)));
        // An infinite second moment would never decay, and its parameter never change again. NaN stays.
        let v = s.min(s.splat(T::MAX), v);
        let root = s.sqrt(s.mul(s.splat(self.inv_bias_correction2), v));
        let step = s.div(s.mul(s.splat(self.rate), m), s.add(root, s.splat(self.epsilon)));
        // The second moment vanishes after the first: a step is not to be divided by ε alone.
        let least = s.splat(T::MIN_NORMAL + T::MIN_NORMAL);
        let v = s.select_lt(v, least, s.select_lt(s.abs(m), trace(s), s.splat(T::ZERO), v), v);
        (s.sub(s.mul(s.splat(self.decay_factor), w), step), [without_trace(s, m), v])
    }
}

/// Applies `rule` to parameters whose gradients are in memory, whole panel rows of them. `state` is
/// [`Rule::state_per_parameter`] times as long.
pub fn apply<T: Element>(isa: Isa, rule: Rule<T>, gradients: &[T], weights: &mut [T], state: &mut [T]) {
    assert!(
        weights.len().is_multiple_of(T::PANEL)
            && gradients.len() == weights.len()
            && state.len() == weights.len() * rule.state_per_parameter(),
        "{} gradients, {} weights, {} of state",
        gradients.len(),
        weights.len(),
        state.len(),
    );
    T::run(isa, Apply { gradients, target: Target { rule, weights, state } });
}

struct Apply<'a, T> {
    gradients: &'a [T],
    target: Target<'a, T>,
}

impl<T: Element> Kernel<T> for Apply<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        self.target.update(s, 0, self.gradients);
    }
}

/// Adds the derivative of the weight penalties, `l1 sign(w) + l2 w`, to the gradients. Returns the sum
/// of squares of the resulting gradients.
pub fn penalise<T: Element>(isa: Isa, [l1, l2]: [T; 2], weights: &[T], gradients: &mut [T]) -> f64 {
    assert!(
        weights.len().is_multiple_of(T::PANEL) && gradients.len() == weights.len(),
        "{} weights, {} gradients",
        weights.len(),
        gradients.len()
    );
    T::run(isa, Penalise { l1, l2, weights, gradients })
}

struct Penalise<'a, T> {
    l1: T,
    l2: T,
    weights: &'a [T],
    gradients: &'a mut [T],
}

/// Number of panel rows whose squares are summed before their sum is added to the `f64` total.
const RUN: usize = 64;

impl<T: Element> Kernel<T> for Penalise<'_, T> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) -> f64 {
        let (zero, l1, l2) = (s.splat(T::ZERO), s.splat(self.l1), s.splat(self.l2));
        let mut total = 0.0;
        for (weights, gradients) in
            self.weights.chunks(RUN * T::PANEL).zip(self.gradients.chunks_mut(RUN * T::PANEL))
        {
            // One sum per lane of a panel row, whatever the vector length.
            let mut sums = [T::ZERO; 16];
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut sum = s.splat(T::ZERO);
                for (w, g) in weights.chunks_exact(T::PANEL).zip(gradients.chunks_exact_mut(T::PANEL)) {
                    let (w, g) = (s.load(&w[lane..]), &mut g[lane..]);
                    let of_l1 = s.zero_unless_lt(zero, s.abs(w), s.copysign(l1, w));
                    let new = s.add(s.load(g), s.mul_add(l2, w, of_l1));
                    s.store(new, g);
                    sum = s.mul_add(new, new, sum);
                }
                s.store(sum, &mut sums[lane..]);
            }
            total += sums.iter().map(|x| x.to_f64()).sum::<f64>();
        }
        total
    }
}

/// Updates an exponential moving average: `mean <- mean + fraction (value - mean)` for every element.
/// The slices are whole panel rows.
pub fn update_moving_average<T: Element>(isa: Isa, fraction: T, values: &[T], means: &mut [T]) {
    assert!(
        values.len().is_multiple_of(T::PANEL) && means.len() == values.len(),
        "{} values, {} means",
        values.len(),
        means.len()
    );
    T::run(isa, UpdateMovingAverage { fraction, values, means });
}

struct UpdateMovingAverage<'a, T> {
    fraction: T,
    values: &'a [T],
    means: &'a mut [T],
}

impl<T: Element> Kernel<T> for UpdateMovingAverage<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let fraction = s.splat(self.fraction);
        for (x, mean) in self.values.chunks_exact(S::LANES).zip(self.means.chunks_exact_mut(S::LANES)) {
            let m = s.load(mean);
            s.store(s.mul_add(fraction, s.sub(s.load(x), m), m), mean);
        }
    }
}

/// Parameters and their state, updated one run of vectors at a time.
pub(crate) struct Target<'a, T> {
    pub(crate) rule: Rule<T>,
    pub(crate) weights: &'a mut [T],
    /// [`Rule::state_per_parameter`] panel rows for each panel row of parameters.
    pub(crate) state: &'a mut [T],
}

impl<T: Element> Target<'_, T> {
    /// Prefetches `len` parameters from element `at` on, and their state, before their gradients are
    /// known.
    #[inline(always)]
    pub(crate) fn prefetch<S: Simd<T>>(&self, s: S, at: usize, len: usize) {
        let times = self.rule.state_per_parameter();
        for line in (at..at + len).step_by(T::PANEL) {
            s.prefetch(self.weights.as_ptr().wrapping_add(line));
            for state in 0..times {
                s.prefetch(self.state.as_ptr().wrapping_add(times * line + state * T::PANEL));
            }
        }
    }

    /// Updates the parameters from element `at` on with their gradients, which are whole panel rows.
    #[inline(always)]
    pub(crate) fn update<S: Simd<T>>(&mut self, s: S, at: usize, gradients: &[T]) {
        match self.rule {
            Rule::Gradient { scale } => self.each(s, at, gradients, Gradient { scale }),
            Rule::Sgd { step } => self.each(s, at, gradients, Sgd { step }),
            Rule::Momentum { scale, rate, momentum } => {
                self.each(s, at, gradients, Momentum { scale, rate, momentum });
            }
            Rule::Nesterov { scale, rate, momentum } => {
                self.each(s, at, gradients, Nesterov { scale, rate, momentum });
            }
            Rule::Adam {
                scale,
                rate,
                beta1,
                one_minus_beta1,
                beta2,
                one_minus_beta2,
                inv_bias_correction2,
                epsilon,
                decay_factor,
            } => {
                self.each(
                    s,
                    at,
                    gradients,
                    Adam {
                        scale,
                        rate,
                        beta1,
                        one_minus_beta1,
                        beta2,
                        one_minus_beta2,
                        inv_bias_correction2,
                        epsilon,
                        decay_factor,
                    },
                );
            }
        }
    }

    #[inline(always)]
    fn each<S: Simd<T>, R: OnVectors<T>>(&mut self, s: S, at: usize, gradients: &[T], rule: R) {
        let len = gradients.len();
        // Work on one panel row of the parameters and those of its state at a time: the lengths are then
        // known to the compiler, and the vectors of a row can be interleaved.
        let mut state = self.state[R::STATE * at..][..R::STATE * len].chunks_exact_mut(T::PANEL);
        let weights = self.weights[at..at + len].chunks_exact_mut(T::PANEL);
        for (w, g) in weights.zip(gradients.chunks_exact(T::PANEL)) {
            let mut lines: [&mut [T]; 2] = [&mut [], &mut []];
            for line in lines.iter_mut().take(R::STATE) {
                *line = state.next().unwrap_or_default();
            }
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut states = [s.splat(T::ZERO); 2];
                for (state, line) in states.iter_mut().zip(&lines).take(R::STATE) {
                    *state = s.load(&line[lane..]);
                }
                let (new, states) = rule.update(s, s.load(&w[lane..]), s.load(&g[lane..]), states);
                s.store(new, &mut w[lane..]);
                for (state, line) in states.into_iter().zip(&mut lines).take(R::STATE) {
                    s.store(state, &mut line[lane..]);
                }
            }
        }
    }
}
