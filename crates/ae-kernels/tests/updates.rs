//! Optimizer update rules, applied by both forms of the weight gradient, against the formulas of the
//! papers in f64.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_kernels::gemm::{BatchPanels, Blocking, Round, WeightRange, weight_gradient};
use ae_kernels::panel::{self, Panels, PanelsMut, panel_len, transposed_len};
use ae_kernels::tile::{self, PairedTiles, Parts, split};
use ae_kernels::update::{self, Rule};
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};
use ae_testing::naive;
use ae_testing::random::SplitMix64;
use ae_testing::tolerance::{Tolerance, assert_close};

const INPUTS: usize = 37;
const OUTPUTS: usize = 21;
const ROWS: usize = 19;
const STEPS: usize = 6;
const SCALE: f64 = 1.0 / ROWS as f64;
const RATE: f64 = 0.05;

/// A textbook optimizer for one parameter: updates the state and returns the new value, given the mean
/// gradient of update number `t`.
type Textbook = fn(w: f64, g: f64, state: &mut [f64; 2], t: i32) -> f64;

fn sgd(w: f64, g: f64, _: &mut [f64; 2], _: i32) -> f64 {
    w - RATE * g
}

fn momentum(w: f64, g: f64, state: &mut [f64; 2], _: i32) -> f64 {
    state[0] = 0.9 * state[0] + g;
    w - RATE * state[0]
}

/// The original form: the gradient is taken at the point that the velocity leads to. The parameters of
/// the kernel are those points.
fn nesterov(w: f64, g: f64, state: &mut [f64; 2], _: i32) -> f64 {
    let before = state[0];
    let resting = w + RATE * 0.9 * before;
    state[0] = 0.9 * before + g;
    let resting = resting - RATE * state[0];
    resting - RATE * 0.9 * state[0]
}

fn adam(w: f64, g: f64, state: &mut [f64; 2], t: i32) -> f64 {
    state[0] = 0.9 * state[0] + 0.1 * g;
    state[1] = 0.999 * state[1] + 0.001 * g * g;
    let first = state[0] / (1.0 - 0.9f64.powi(t));
    let second = state[1] / (1.0 - 0.999f64.powi(t));
    w - RATE * first / (second.sqrt() + 1e-8)
}

fn adamw(w: f64, g: f64, state: &mut [f64; 2], t: i32) -> f64 {
    adam(w, g, state, t) - RATE * 0.01 * w
}

fn adam_rule<T: Element>(t: i32, decay: f64) -> Rule<T> {
    adam_with(t, SCALE, 0.999, 1e-8, decay)
}

fn adam_with<T: Element>(t: i32, scale: f64, beta2: f64, epsilon: f64, decay: f64) -> Rule<T> {
    let to = T::from_f64;
    Rule::Adam {
        scale: to(scale),
        rate: to(RATE / (1.0 - 0.9f64.powi(t))),
        beta1: to(0.9),
        one_minus_beta1: to(0.1),
        beta2: to(beta2),
        one_minus_beta2: to(1.0 - beta2),
        inv_bias_correction2: to(1.0 / (1.0 - beta2.powi(t))),
        epsilon: to(epsilon),
        decay_factor: to(1.0 - RATE * decay),
    }
}

/// The inputs and deltas of a batch, and the initial weights, bias last.
struct Data {
    x: Vec<f32>,
    delta: Vec<f32>,
    weights: Vec<f32>,
}

fn data() -> Data {
    let mut random = SplitMix64::new(11);
    Data {
        x: random.uniform_f32s(ROWS * INPUTS, -1.0, 1.0),
        delta: random.uniform_f32s(ROWS * OUTPUTS, -1.0, 1.0),
        weights: random.uniform_f32s((INPUTS + 1) * OUTPUTS, -1.0, 1.0),
    }
}

fn batch<T: Element>(values: &[f32], features: usize, cols: usize) -> AlignedBuf<T> {
    let mut wide = vec![T::ZERO; features * cols];
    for (i, x) in values.iter().enumerate() {
        wide[i % features * cols + i / features] = T::from_f32(*x);
    }
    let mut buffer = AlignedBuf::zeroed(panel_len::<T>(features, cols));
    panel::pack(&wide, PanelsMut::new(buffer.as_mut_slice(), features, cols));
    buffer
}

fn textbook(data: &Data, rule: Textbook) -> Vec<f64> {
    let mut xt = naive::transpose([ROWS, INPUTS], &naive::widen(&data.x));
    xt.extend([1.0; ROWS]);
    let gradient = naive::matmul([INPUTS + 1, ROWS, OUTPUTS], &xt, &naive::widen(&data.delta));
    let mut weights = naive::widen(&data.weights);
    for (w, g) in weights.iter_mut().zip(gradient) {
        let mut state = [0.0; 2];
        for t in 1..=STEPS {
            *w = rule(*w, g * SCALE, &mut state, t as i32);
        }
    }
    weights
}

/// Returns the weights after all steps, where `rule(t)` is the rule of update `t`.
fn plain<T: Element>(isa: Isa, data: &Data, rule: impl Fn(i32) -> Rule<T>) -> Vec<T> {
    let x = batch::<T>(&data.x, INPUTS, ROWS);
    let delta = batch::<T>(&data.delta, OUTPUTS, ROWS);
    let mut transposed = AlignedBuf::<T>::zeroed(transposed_len::<T>(OUTPUTS, ROWS));
    panel::transpose_deltas(isa, Panels::new(delta.as_slice(), OUTPUTS, ROWS), transposed.as_mut_slice());
    let of = |data, panel_len| BatchPanels {
        data,
        block_len: 0,
        offset: 0,
        panel_len,
        block_panels: panel::panel_count::<T>(ROWS),
        rows: ROWS,
    };
    let (x, delta) = (
        of(x.as_slice(), INPUTS * T::PANEL),
        of(transposed.as_slice(), transposed_len::<T>(OUTPUTS, T::PANEL)),
    );
    train(data, rule(1).state_per_parameter(), |t, range, weights, state| {
        let (sizes, round) = ((INPUTS, OUTPUTS), Round::whole());
        weight_gradient(isa, Blocking::default(), sizes, range, x, delta, (round, rule(t)), weights, state);
    })
}

fn split(isa: Isa, data: &Data, rule: impl Fn(i32) -> Rule<f32>) -> Vec<f32> {
    let parts = Parts::Three;
    let (x, delta) = (batch::<f32>(&data.x, INPUTS, 32), batch::<f32>(&data.delta, OUTPUTS, 32));
    let (of_x, of_delta) = (split::pair_len(parts, INPUTS), split::pair_len(parts, OUTPUTS));
    let (mut xs, mut deltas) = (vec![0.0; of_x], vec![0.0; of_delta]);
    split::inputs(isa, parts, Panels::new(x.as_slice(), INPUTS, 32), &mut xs, of_x);
    split::transposed(isa, parts, Panels::new(delta.as_slice(), OUTPUTS, 32), &mut deltas, of_delta);
    let x = PairedTiles { data: &xs, offset: 0, stride: of_x, pairs: 1 };
    let delta = PairedTiles { data: &deltas, offset: 0, stride: of_delta, pairs: 1 };
    train(data, rule(1).state_per_parameter(), |t, range, weights, state| {
        tile::weight_gradient(isa, parts, INPUTS, range, x, delta, rule(t), weights, state);
    })
}

fn train<T: Element>(
    data: &Data,
    state: usize,
    step: impl Fn(i32, &WeightRange, &mut [T], &mut [T]),
) -> Vec<T> {
    let len = panel_len::<T>(INPUTS + 1, OUTPUTS);
    let first: Vec<T> = data.weights.iter().map(|w| T::from_f32(*w)).collect();
    let mut weights = AlignedBuf::<T>::zeroed(len);
    panel::pack(&first, PanelsMut::new(weights.as_mut_slice(), INPUTS + 1, OUTPUTS));
    let mut state = vec![T::ZERO; len * state];
    let range = WeightRange { panels: 0..panel::panel_count::<T>(OUTPUTS), rows: 0..INPUTS + 1 };
    for t in 1..=STEPS {
        step(t as i32, &range, weights.as_mut_slice(), &mut state);
    }
    let used = weights.as_slice().iter().all(|w| w.to_f64().is_finite());
    assert!(used, "padding included");
    let mut values = vec![T::ZERO; (INPUTS + 1) * OUTPUTS];
    panel::unpack(Panels::new(weights.as_slice(), INPUTS + 1, OUTPUTS), &mut values);
    values
}

/// Checks both forms and both types on every instruction set.
fn check(
    name: &str,
    expected: Textbook,
    single: impl Fn(i32) -> Rule<f32>,
    double: impl Fn(i32) -> Rule<f64>,
) {
    let data = data();
    let expected = textbook(&data, expected);
    for isa in Isa::available() {
        let what = |form: &str| format!("{name}, {form}, on {isa}");
        let (f32s, f64s) = (plain::<f32>(isa, &data, &single), plain::<f64>(isa, &data, &double));
        assert_close(&what("f64"), &f64s, &expected, Tolerance::Absolute(1e-12));
        assert_close(&what("f32"), &f32s, &expected, Tolerance::Absolute(2e-5));
        assert_close(&what("split"), &split(isa, &data, &single), &expected, Tolerance::Absolute(2e-5));
    }
}

#[test]
fn rules_are_those_of_the_textbook() {
    let (scale, rate) = (SCALE as f32, RATE as f32);
    check("sgd", sgd, |_| Rule::Sgd { step: rate * scale }, |_| Rule::Sgd { step: RATE * SCALE });
    check(
        "momentum",
        momentum,
        |_| Rule::Momentum { scale, rate, momentum: 0.9 },
        |_| Rule::Momentum { scale: SCALE, rate: RATE, momentum: 0.9 },
    );
    check(
        "nesterov",
        nesterov,
        |_| Rule::Nesterov { scale, rate, momentum: 0.9 },
        |_| Rule::Nesterov { scale: SCALE, rate: RATE, momentum: 0.9 },
    );
    check("adam", adam, |t| adam_rule::<f32>(t, 0.0), |t| adam_rule::<f64>(t, 0.0));
    check("adamw", adamw, |t| adam_rule::<f32>(t, 0.01), |t| adam_rule::<f64>(t, 0.01));
}

/// The sum of squares has the bits of one sum per lane of a panel row, joined every 64 panel rows,
/// whatever the vector length.
fn norms_are_summed_by_lane<T: Element>(mul_add: fn(T, T, T) -> T) {
    let mut random = SplitMix64::new(12);
    for rows in [0, 1, 63, 64, 65, 200] {
        let values: Vec<T> = random
            .uniform_f32s(rows * T::PANEL, -1.0, 1.0)
            .into_iter()
            .map(|x| T::from_f64(x.into()))
            .collect();
        let mut expected = 0.0;
        for run in values.chunks(64 * T::PANEL) {
            let mut sums = vec![T::ZERO; T::PANEL];
            for row in run.chunks(T::PANEL) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum = mul_add(*x, *x, *sum));
            }
            expected += sums.iter().map(|x| x.to_f64()).sum::<f64>();
        }
        for isa in Isa::available().filter(|isa| isa.fuses()) {
            let mut gradients = values.clone();
            let norm = update::penalise(isa, [T::ZERO; 2], &values, &mut gradients);
            assert_eq!(norm.to_bits(), expected.to_bits(), "{rows} rows on {isa}");
        }
    }
}

#[test]
fn norms_have_the_same_bits_on_every_instruction_set() {
    norms_are_summed_by_lane(f32::mul_add);
    norms_are_summed_by_lane(f64::mul_add);
}

/// One gradient whose square overflows leaves a second moment that decays, and NaN stays NaN.
fn second_moments_stay_finite_after<T: Element>(large: f64, max: T) {
    for isa in Isa::available() {
        let (mut weights, mut state) = ([1.0; 16].map(T::from_f64), [T::ZERO; 32]);
        let mut step = |t, g: f64| {
            let gradients = [T::from_f64(g); 16];
            update::apply(isa, adam_rule::<T>(t, 0.0), &gradients, &mut weights, &mut state);
            (weights[3].to_f64(), state[T::PANEL + 3].to_f64())
        };
        let max = max.to_f64();
        assert_eq!(step(1, large / SCALE), (1.0, max), "on {isa}");
        let (_, decayed) = step(2, 1.0);
        assert!(decayed < max && decayed > 0.99 * max, "on {isa}: {decayed}");
        assert!(step(3, f64::NAN).1.is_nan(), "on {isa}");
    }
}

#[test]
fn second_moments_stay_finite() {
    second_moments_stay_finite_after(2e20, f32::MAX);
    second_moments_stay_finite_after(2e155, f64::MAX);
}

/// The number of subnormal numbers in the state, and the state, after an update with gradients and
/// `updates` without.
fn subnormal_after<T: Element>(isa: Isa, rule: impl Fn(i32) -> Rule<T>, updates: i32) -> (usize, Vec<T>) {
    let (mut weights, mut state) = ([T::ONE; 16], vec![T::ZERO; 16 * rule(1).state_per_parameter()]);
    update::apply(isa, rule(1), &[T::from_f64(0.01); 16], &mut weights, &mut state);
    for t in 0..updates {
        update::apply(isa, rule(t + 2), &[T::ZERO; 16], &mut weights, &mut state);
    }
    let least = T::MIN_NORMAL.to_f64();
    let count = state.iter().filter(|x| x.to_f64() != 0.0 && x.to_f64().abs() < least).count();
    (count, state)
}

/// State without gradients does not end as subnormal numbers, which rounding would preserve for ever,
/// but as zero.
fn state_decays_to_zero<T: Element>() {
    let to = T::from_f64;
    let (scale, rate, momentum) = (to(1.0), to(1e-3), to(0.9));
    // The second moment decays faster than by default, to get there.
    let fast = |t: i32| adam_with::<T>(t, SCALE, 0.95, 1e-8, 0.0);
    for isa in Isa::available() {
        for updates in (0..2000).step_by(40).chain([20_000]) {
            let states = [
                subnormal_after(isa, |_| Rule::Momentum { scale, rate, momentum }, updates),
                subnormal_after(isa, |_| Rule::Nesterov { scale, rate, momentum }, updates),
                subnormal_after(isa, fast, updates),
            ];
            for (subnormal, state) in states {
                assert_eq!(subnormal, 0, "after {updates} updates on {isa}: {state:?}");
                let gone = state.iter().all(|x| *x == T::ZERO);
                assert_eq!(gone, updates == 20_000 || gone && updates > 500, "{updates} on {isa}: {state:?}");
            }
        }
    }
}

#[test]
fn no_state_becomes_subnormal() {
    state_decays_to_zero::<f32>();
    state_decays_to_zero::<f64>();
}

/// Where gradients are tiny and ε is tinier, steps keep their size, and none is larger: the second moment
/// does not vanish before the first one.
#[test]
fn tiny_gradients_do_not_make_large_steps() {
    for isa in Isa::available() {
        for g in [1e-15, 1e-17, 1e-18, 1e-19, 1e-21, 1e-25, 1e-30, 1e-35, 1e-44] {
            let (mut weights, mut state) = ([0.0_f32; 16], [0.0_f32; 32]);
            for t in 1..=50 {
                let rule = adam_with(t, 1.0, 0.999, 1e-20, 0.0);
                let before = weights[0];
                update::apply(isa, rule, &[g; 16], &mut weights, &mut state);
                let step = (weights[0] - before).abs();
                let least = if g >= 1e-19 { 0.5 * RATE as f32 } else { 0.0 };
                let expected = least..=1.5 * RATE as f32;
                assert!(expected.contains(&step), "a step of {step} for a gradient of {g:e} on {isa}");
            }
        }
    }
}
