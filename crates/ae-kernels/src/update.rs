//! What becomes of a weight gradient while it is still in L1: the rules of the optimisers.

use crate::isa::Isa;
use crate::simd::{Element, Kernel, Simd};

/// An update of parameters from a gradient `g = Σ_rows a·δ` that has just been summed.
///
/// A part of the parameters of length `n` comes with a state of length `STATE * n`, which holds one
/// array of `n` after the other (momentum, second moment, ...).
pub trait UpdateRule<T: Element>: Copy + Send + Sync {
    /// State values a parameter has: at most 2.
    const STATE: usize;
    /// Whether a gradient of zero changes nothing, so that parameters which have none may be passed over.
    const IDLE: bool = false;

    /// The new parameters from the old ones `w`, the summed gradient `g` and the state, which it may change.
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, state: [S::V; 2]) -> (S::V, [S::V; 2]);
}

/// `w <- w - step g`. With `step = learning_rate / rows` this is plain stochastic gradient descent on the mean
/// over the rows.
#[derive(Clone, Copy, Debug)]
pub struct Sgd<T> {
    /// Learning rate over the rows of the batch.
    pub step: T,
}

impl<T: Element> UpdateRule<T> for Sgd<T> {
    const STATE: usize = 0;
    const IDLE: bool = true;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, state: [S::V; 2]) -> (S::V, [S::V; 2]) {
        (s.neg_mul_add(s.splat(self.step), g, w), state)
    }
}

/// Writes `scale g` in the place of the parameters: what a gradient check reads.
#[derive(Clone, Copy, Debug)]
pub struct Gradient<T> {
    /// `1 / rows` for the mean over the rows.
    pub scale: T,
}

impl<T: Element> UpdateRule<T> for Gradient<T> {
    const STATE: usize = 0;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, _: S::V, g: S::V, state: [S::V; 2]) -> (S::V, [S::V; 2]) {
        (s.mul(s.splat(self.scale), g), state)
    }
}

/// `v <- momentum v + scale g`, `w <- w - rate v`: the heavy ball of Polyak (1964), as Sutskever et al. (2013, equations 1
/// and 2) write it but for the rate outside the velocity, which then survives a change of the rate.
#[derive(Clone, Copy, Debug)]
pub struct Momentum<T> {
    /// `1 / rows` for the mean over the rows.
    pub scale: T,
    /// Learning rate.
    pub rate: T,
    /// Share of the velocity that remains.
    pub momentum: T,
}

impl<T: Element> UpdateRule<T> for Momentum<T> {
    const STATE: usize = 1;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, [v, spare]: [S::V; 2]) -> (S::V, [S::V; 2]) {
        let v = s.mul_add(s.splat(self.momentum), v, s.mul(s.splat(self.scale), g));
        (s.neg_mul_add(s.splat(self.rate), v, w), [v, spare])
    }
}

/// `v <- momentum v + scale g`, `w <- w - rate (scale g + momentum v)`: Nesterov's accelerated gradient with the look-ahead
/// taken into the parameters (Bengio, Boulanger-Lewandowski & Pascanu 2013, equation 7).
#[derive(Clone, Copy, Debug)]
pub struct Nesterov<T> {
    /// `1 / rows` for the mean over the rows.
    pub scale: T,
    /// Learning rate.
    pub rate: T,
    /// Share of the velocity that remains.
    pub momentum: T,
}

impl<T: Element> UpdateRule<T> for Nesterov<T> {
    const STATE: usize = 1;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, [v, spare]: [S::V; 2]) -> (S::V, [S::V; 2]) {
        let g = s.mul(s.splat(self.scale), g);
        let momentum = s.splat(self.momentum);
        let v = s.mul_add(momentum, v, g);
        (s.neg_mul_add(s.splat(self.rate), s.mul_add(momentum, v, g), w), [v, spare])
    }
}

/// Adam (Kingma & Ba 2015, algorithm 1), with decoupled weight decay where `keep` is below one (Loshchilov & Hutter 2019,
/// algorithm 2): `m <- β₁ m + (1 - β₁) g`, `v <- β₂ v + (1 - β₂) g²`, `w <- keep w - rate m / (√(unbias v) + ε)`.
#[derive(Clone, Copy, Debug)]
pub struct Adam<T> {
    /// `1 / rows` for the mean over the rows.
    pub scale: T,
    /// Learning rate over `1 - β₁ᵗ` at update `t`, counted from 1.
    pub rate: T,
    /// `β₁`
    pub beta1: T,
    /// `β₂`
    pub beta2: T,
    /// `1 / (1 - β₂ᵗ)`
    pub unbias: T,
    /// `ε`
    pub epsilon: T,
    /// Share of a parameter that the decay leaves: one minus learning rate times weight decay.
    pub keep: T,
}

impl<T: Element> UpdateRule<T> for Adam<T> {
    const STATE: usize = 2;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, [m, v]: [S::V; 2]) -> (S::V, [S::V; 2]) {
        let g = s.mul(s.splat(self.scale), g);
        let m = s.mul_add(s.splat(self.beta1), m, s.mul(s.splat(T::ONE - self.beta1), g));
        let v = s.mul_add(s.splat(self.beta2), v, s.mul(s.splat(T::ONE - self.beta2), s.mul(g, g)));
        let root = s.sqrt(s.mul(s.splat(self.unbias), v));
        let step = s.div(s.mul(s.splat(self.rate), m), s.add(root, s.splat(self.epsilon)));
        (s.sub(s.mul(s.splat(self.keep), w), step), [m, v])
    }
}

/// Applies `rule` to parameters whose gradients lie in memory, whole panel rows of them. `state` is [`UpdateRule::STATE`] times as long.
pub fn apply<T: Element, R: UpdateRule<T>>(
    isa: Isa,
    rule: R,
    gradients: &[T],
    weights: &mut [T],
    state: &mut [T],
) {
    assert!(
        weights.len().is_multiple_of(T::PANEL)
            && gradients.len() == weights.len()
            && state.len() == weights.len() * R::STATE
            && R::STATE <= 2,
        "{} gradients, {} weights, {} of state",
        gradients.len(),
        weights.len(),
        state.len(),
    );
    T::run(isa, Apply { gradients, target: Target { rule, weights, state } });
}

struct Apply<'a, T, R> {
    gradients: &'a [T],
    target: Target<'a, T, R>,
}

impl<T: Element, R: UpdateRule<T>> Kernel<T> for Apply<'_, T, R> {
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
            let mut sum = [T::ZERO; 16];
            for (w, g) in weights.chunks_exact(S::LANES).zip(gradients.chunks_exact_mut(S::LANES)) {
                let w = s.load(w);
                let of_l1 = s.keep_lt(zero, s.abs(w), s.copysign(l1, w));
                let new = s.add(s.load(g), s.mul_add(l2, w, of_l1));
                s.store(new, g);
                s.store(s.mul_add(new, new, s.load(&sum)), &mut sum);
            }
            total += sum.iter().map(|x| x.to_f64()).sum::<f64>();
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
pub(crate) struct Target<'a, T, R> {
    pub(crate) rule: R,
    pub(crate) weights: &'a mut [T],
    /// [`UpdateRule::STATE`] arrays of as many elements.
    pub(crate) state: &'a mut [T],
}

impl<T: Element, R: UpdateRule<T>> Target<'_, T, R> {
    /// Updates the parameters from `at` on with their gradients, whole vectors of them.
    #[inline(always)]
    pub(crate) fn update<S: Simd<T>>(&mut self, s: S, at: usize, gradients: &[T]) {
        let count = self.weights.len();
        let weights = &mut self.weights[at..][..gradients.len()];
        for (index, (w, g)) in
            weights.chunks_exact_mut(S::LANES).zip(gradients.chunks_exact(S::LANES)).enumerate()
        {
            let place = at + index * S::LANES;
            let mut states = [s.splat(T::ZERO); 2];
            for (k, v) in states.iter_mut().enumerate().take(R::STATE) {
                *v = s.load(&self.state[k * count + place..]);
            }
            let (new, states) = self.rule.update(s, s.load(w), s.load(g), states);
            s.store(new, w);
            for (k, v) in states.into_iter().enumerate().take(R::STATE) {
                s.store(v, &mut self.state[k * count + place..]);
            }
        }
    }
}
