//! What becomes of a weight gradient while it is still in L1: the rules of the optimisers.

use crate::isa::Isa;
use crate::simd::{Element, Kernel, Simd};

/// What a gradient `g = Σ_rows a·δ` that has just been summed does to a parameter `w` and its state: the same for all of a step.
///
/// Parameters come with a state [`Rule::state`] times as long: for each panel row of theirs one of each of its values (momentum, second
/// moment, ...), next to each other. So the state of a range of panel rows is a range too, however the parameters are divided.
///
/// Kernels take the rule as a value, not as a type: it is looked at once a tile of sums, and a kernel is compiled once for all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule<T> {
    /// Writes `scale g` in the place of the parameters: what a gradient check reads.
    Gradient {
        /// `1 / rows` for the mean over the rows.
        scale: T,
    },
    /// `w <- w - step g`. With `step = learning_rate / rows` this is plain stochastic gradient descent on the mean over the rows.
    Sgd {
        /// Learning rate over the rows of the batch.
        step: T,
    },
    /// `v <- momentum v + scale g`, `w <- w - rate v`: the heavy ball of Polyak (1964), as Sutskever et al. (2013, equations 1
    /// and 2) write it but for the rate outside the velocity, which then survives a change of the rate.
    Momentum {
        /// `1 / rows` for the mean over the rows.
        scale: T,
        /// Learning rate.
        rate: T,
        /// Share of the velocity that remains.
        momentum: T,
    },
    /// `v <- momentum v + scale g`, `w <- w - rate (scale g + momentum v)`: Nesterov's accelerated gradient with the look-ahead
    /// taken into the parameters (Bengio, Boulanger-Lewandowski & Pascanu 2013, equation 7).
    Nesterov {
        /// `1 / rows` for the mean over the rows.
        scale: T,
        /// Learning rate.
        rate: T,
        /// Share of the velocity that remains.
        momentum: T,
    },
    /// Adam (Kingma & Ba 2015, algorithm 1), with decoupled weight decay where `keep`, one less rate times decay, is below
    /// one (after Loshchilov & Hutter 2019, algorithm 2): `m <- β₁ m + (1 - β₁) g`, `v <- β₂ v + (1 - β₂) g²`, `w <- keep w - rate m / (√(unbias v) + ε)`.
    Adam {
        /// `1 / rows` for the mean over the rows.
        scale: T,
        /// Learning rate over `1 - β₁ᵗ` at update `t`, counted from 1.
        rate: T,
        /// `β₁`
        beta1: T,
        /// `1 - β₁`, which is not computed from `β₁` where that is rounded.
        new1: T,
        /// `β₂`
        beta2: T,
        /// `1 - β₂`
        new2: T,
        /// `1 / (1 - β₂ᵗ)`
        unbias: T,
        /// `ε`
        epsilon: T,
        /// Share of a parameter that the decay leaves: one minus learning rate times weight decay.
        keep: T,
    },
}

impl<T: Element> Rule<T> {
    /// State values a parameter has.
    pub fn state(&self) -> usize {
        match self {
            Rule::Gradient { .. } | Rule::Sgd { .. } => 0,
            Rule::Momentum { .. } | Rule::Nesterov { .. } => 1,
            Rule::Adam { .. } => 2,
        }
    }

    /// Whether a gradient of zero changes nothing, so that parameters which have none may be passed over.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self, Rule::Sgd { .. })
    }

    /// The rule for gradients that are to be multiplied by `factor` first.
    pub fn of_gradients_times(mut self, factor: T) -> Self {
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
    /// The rule in the arithmetic `T`.
    pub fn in_arithmetic<T: Element>(self) -> Rule<T> {
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
            Rule::Adam { scale, rate, beta1, new1, beta2, new2, unbias, epsilon, keep } => Rule::Adam {
                scale: to(scale),
                rate: to(rate),
                beta1: to(beta1),
                new1: to(new1),
                beta2: to(beta2),
                new2: to(new2),
                unbias: to(unbias),
                epsilon: to(epsilon),
                keep: to(keep),
            },
        }
    }
}

/// A rule on vectors.
trait OnVectors<T: Element>: Copy {
    /// State values a parameter has: at most 2.
    const STATE: usize;

    /// The new parameters from the old ones `w`, the summed gradient `g` and the state, which it may change.
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
        (s.neg_mul_add(s.splat(self.rate), v, w), [v, spare])
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
        (s.neg_mul_add(s.splat(self.rate), s.mul_add(momentum, v, g), w), [v, spare])
    }
}

#[derive(Clone, Copy)]
struct Adam<T> {
    scale: T,
    rate: T,
    beta1: T,
    new1: T,
    beta2: T,
    new2: T,
    unbias: T,
    epsilon: T,
    keep: T,
}

impl<T: Element> OnVectors<T> for Adam<T> {
    const STATE: usize = 2;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, [m, v]: [S::V; 2]) -> (S::V, [S::V; 2]) {
        let g = s.mul(s.splat(self.scale), g);
        let m = s.mul_add(s.splat(self.beta1), m, s.mul(s.splat(self.new1), g));
        let v = s.mul_add(s.splat(self.beta2), v, s.mul(s.splat(self.new2), s.mul(g, g)));
        let root = s.sqrt(s.mul(s.splat(self.unbias), v));
        let step = s.div(s.mul(s.splat(self.rate), m), s.add(root, s.splat(self.epsilon)));
        (s.sub(s.mul(s.splat(self.keep), w), step), [m, v])
    }
}

/// Applies `rule` to parameters whose gradients lie in memory, whole panel rows of them. `state` is [`Rule::state`] times as long.
pub fn apply<T: Element>(isa: Isa, rule: Rule<T>, gradients: &[T], weights: &mut [T], state: &mut [T]) {
    assert!(
        weights.len().is_multiple_of(T::PANEL)
            && gradients.len() == weights.len()
            && state.len() == weights.len() * rule.state(),
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

/// What parameters cost, added to their gradients: `l1 sign(w) + l2 w`. Gives the sum of the squares of the gradients after it.
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

/// Panel rows whose squares are summed before their sum joins the total, in `f64`.
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
            // A sum for each lane of a panel row, whatever the vectors' length.
            let mut sums = [T::ZERO; 16];
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut sum = s.splat(T::ZERO);
                for (w, g) in weights.chunks_exact(T::PANEL).zip(gradients.chunks_exact_mut(T::PANEL)) {
                    let (w, g) = (s.load(&w[lane..]), &mut g[lane..]);
                    let of_l1 = s.keep_lt(zero, s.abs(w), s.copysign(l1, w));
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

/// `mean <- mean + share (value - mean)`, every element of whole panel rows: a running mean.
pub fn follow<T: Element>(isa: Isa, share: T, values: &[T], means: &mut [T]) {
    assert!(
        values.len().is_multiple_of(T::PANEL) && means.len() == values.len(),
        "{} values, {} means",
        values.len(),
        means.len()
    );
    T::run(isa, Follow { share, values, means });
}

struct Follow<'a, T> {
    share: T,
    values: &'a [T],
    means: &'a mut [T],
}

impl<T: Element> Kernel<T> for Follow<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let share = s.splat(self.share);
        for (x, mean) in self.values.chunks_exact(S::LANES).zip(self.means.chunks_exact_mut(S::LANES)) {
            let m = s.load(mean);
            s.store(s.mul_add(share, s.sub(s.load(x), m), m), mean);
        }
    }
}

/// Parameters that are updated with their state, a run of vectors at a time.
pub(crate) struct Target<'a, T> {
    pub(crate) rule: Rule<T>,
    pub(crate) weights: &'a mut [T],
    /// [`Rule::state`] panel rows for each of the parameters'.
    pub(crate) state: &'a mut [T],
}

impl<T: Element> Target<'_, T> {
    /// Asks for `len` parameters from `at` on, and their state, before their gradients are known.
    #[inline(always)]
    pub(crate) fn prefetch<S: Simd<T>>(&self, s: S, at: usize, len: usize) {
        let times = self.rule.state();
        for line in (at..at + len).step_by(T::PANEL) {
            s.prefetch(self.weights.as_ptr().wrapping_add(line));
            for state in 0..times {
                s.prefetch(self.state.as_ptr().wrapping_add(times * line + state * T::PANEL));
            }
        }
    }

    /// Updates the parameters from `at` on with their gradients, whole vectors of them.
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
            Rule::Adam { scale, rate, beta1, new1, beta2, new2, unbias, epsilon, keep } => {
                self.each(
                    s,
                    at,
                    gradients,
                    Adam { scale, rate, beta1, new1, beta2, new2, unbias, epsilon, keep },
                );
            }
        }
    }

    #[inline(always)]
    fn each<S: Simd<T>, R: OnVectors<T>>(&mut self, s: S, at: usize, gradients: &[T], rule: R) {
        let len = gradients.len();
        // A panel row of the parameters and those of its state at a time: what the lengths are is clear to the compiler then, and the
        // vectors of a row are worked on beside each other.
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
