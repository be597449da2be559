//! A random network and the check of its gradients.

use ae_kernels::{Element, Isa};
use ae_model::gradcheck::{Report, Settings, compare};
use ae_model::{Activation, Arithmetic, Config, Init, LayerParameters, Optimizer, Products, Trainer};
use ae_testing::naive::{self, NaiveGradients, NaiveNet};
use ae_testing::random::SplitMix64;

use super::rounding::{self, Scale};
use super::{ACTIVATIONS, worse};
use crate::failure::Failure;

/// Largest relative error against central differences.
pub(super) const TOLERANCE: f64 = 1e-6;
/// Largest error against the naive reference, in the units of [`rounding`]. The first 4,000 cases
/// reached 0.21 in `f64`, where the reference itself rounds as much, and 0.13 in `f32`, with and without
/// fused multiply-adds.
pub(super) const ROUNDING_BOUND: f64 = 0.5;
/// Networks with at most this many parameters are checked in full.
const CHECKED_IN_FULL: usize = 1500;
/// Number of parameters sampled from larger networks.
pub(super) const SAMPLE: usize = 200;
/// Maximum number of encoder layers, width and batch size.
const MAX_LAYERS: usize = 6;
const MAX_WIDTH: usize = 70;
const MAX_BATCH: usize = 40;
/// About half of the networks are at most this wide, so that they are checked in full.
const NARROW: usize = 12;
/// A pre-activation this close to ReLU's kink may be on either side of it in `f32`.
const NEAR_KINK: f64 = 1e-5;

/// A network, its batch size, and the seed of its random numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    /// Widths of the encoder, starting with the input.
    pub(super) dims: Vec<usize>,
    pub(super) activation: Activation,
    pub(super) init: Init,
    pub(super) batch: usize,
    pub(super) seed: u64,
}

/// Results of the check of a case.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    /// `f64` against central differences.
    pub(super) differences: Report,
    /// The settings of that comparison.
    pub(super) settings: Settings,
    /// `f64` against the naive reference: the largest error of any instruction set, in units of
    /// rounding.
    pub(super) rounding_f64: f64,
    /// The same for `f32`; `None` for a network too close to a kink.
    pub(super) rounding_f32: Option<f64>,
}

impl Case {
    /// Returns the case of this seed.
    pub(super) fn random(seed: u64) -> Case {
        let mut random = SplitMix64::new(seed);
        let widest = if random.below(2) == 0 { NARROW } else { MAX_WIDTH };
        let layers = 1 + random.below(MAX_LAYERS);
        Case {
            dims: (0..=layers).map(|_| 1 + random.below(widest)).collect(),
            activation: ACTIVATIONS[random.below(ACTIVATIONS.len())],
            init: [Init::GlorotUniform, Init::GlorotNormal][random.below(2)],
            batch: 1 + random.below(MAX_BATCH),
            seed,
        }
    }

    fn config(&self) -> Result<Config, Failure> {
        let (first, last) = (self.dims[0], self.dims[self.dims.len() - 1]);
        let hidden = &self.dims[1..self.dims.len() - 1];
        let builder = Config::builder(first).optimizer(Optimizer::Sgd).hidden_dims(hidden).encoding_dim(last);
        Ok(builder.activation(self.activation).init(self.init).seed(self.seed).build()?)
    }

    /// Checks the gradients in every way.
    pub(super) fn check(&self) -> Result<Findings, Failure> {
        let subject = Subject::new(self)?;
        let gradients = subject.gradients::<f64>(Isa::active()?, Products::Plain)?.1;
        self.check_against(&subject, &flatten(&gradients))
    }

    /// Like [`Case::check`], but for a given gradient instead of the trainer's.
    fn check_against(&self, subject: &Subject, gradient: &[f64]) -> Result<Findings, Failure> {
        let (settings, differences) = self.differences(subject, gradient)?;
        let reference = subject.net.gradients(&subject.wide_table(), &subject.wide_table());
        let scale = Scale::of(&subject.net, &subject.wide_table());
        let mut rounding_f64 = scale.error(f64::EPSILON, gradient, &flat_reference(&reference));
        let mut rounding_f32 = None;
        for isa in Isa::available() {
            let error = rounding_error::<f64>(subject, isa, Products::Plain, &reference, &scale)?;
            rounding_f64 = worse(rounding_f64, error);
            if !subject.near_kink() {
                for products in [Products::Plain, Products::Split] {
                    let error = rounding_error::<f32>(subject, isa, products, &reference, &scale)?;
                    rounding_f32 = Some(worse(rounding_f32.unwrap_or(0.0), error));
                }
            }
        }
        Ok(Findings { differences, settings, rounding_f64, rounding_f32 })
    }

    /// Compares the gradient, or a sample of it, with central differences.
    fn differences(&self, subject: &Subject, gradient: &[f64]) -> Result<(Settings, Report), Failure> {
        let all = flatten(&subject.layers);
        let chosen = self.chosen(all.len());
        let pick = |values: &[f64]| chosen.iter().map(|&index| values[index]).collect::<Vec<f64>>();
        let mut trainer = subject.trainer::<f64>(Isa::active()?)?;
        let mut layers = subject.layers.clone();
        let places = places(&layers);
        let mut failure = None;
        let loss = |values: &[f64]| {
            let mut changed = Vec::new();
            for (&index, &value) in chosen.iter().zip(values) {
                let (layer, at) = places[index];
                let parameter = parameter(&mut layers[layer], at);
                if *parameter != value {
                    *parameter = value;
                    changed.push(layer);
                }
            }
            changed.dedup();
            let set = changed.iter().try_for_each(|&layer| trainer.set_layer(layer, &layers[layer]));
            let result =
                set.and_then(|()| trainer.enter(|session| session.gradients(&subject.table, &subject.rows)));
            match result {
                Ok((objective, _)) => objective,
                Err(error) => {
                    failure = Some(error);
                    f64::NAN
                }
            }
        };
        let settings = self.settings();
        let report = compare(&settings, &pick(&all), &pick(gradient), loss);
        match failure {
            Some(error) => Err(error.into()),
            None => Ok((settings, report)),
        }
    }

    /// With ReLU, the objective is a quadratic polynomial in each parameter up to the next kink: a short
    /// step costs no accuracy and meets few kinks.
    fn settings(&self) -> Settings {
        let step = if self.activation == Activation::Relu { 1e-5 } else { 1e-4 };
        Settings { step, tolerance: TOLERANCE, ..Settings::default() }
    }

    /// Returns the indices of the parameters to compare, ascending.
    fn chosen(&self, parameters: usize) -> Vec<usize> {
        if parameters <= CHECKED_IN_FULL {
            return (0..parameters).collect();
        }
        let mut random = SplitMix64::new(self.seed ^ 1);
        let mut chosen: Vec<usize> = (0..SAMPLE).map(|_| random.below(parameters)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }
}

impl Findings {
    /// Returns what is wrong; empty if the case passes.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.differences.passes(&self.settings) {
            let Report { compared, kinks, worst, worst_at, worst_values, .. } = self.differences;
            problems.push(format!(
                "relative error {worst:e} against central differences (parameter {worst_at} of those compared: \
                 {worst_values:?}; {compared} compared, {kinks} kinks)"
            ));
        }
        let mut rounding = |precision: &str, error: f64| {
            if !(error <= ROUNDING_BOUND) {
                problems.push(format!("{precision} is {error} units of rounding from the naive reference"));
            }
        };
        rounding("f64", self.rounding_f64);
        if let Some(error) = self.rounding_f32 {
            rounding("f32", error);
        }
        problems
    }
}

/// A case with its parameters and rows, both exactly representable in `f32`.
struct Subject {
    config: Config,
    layers: Vec<LayerParameters<f64>>,
    net: NaiveNet,
    /// `[batch, dims[0]]`
    table: Vec<f32>,
    rows: Vec<usize>,
}

impl Subject {
    fn new(case: &Case) -> Result<Subject, Failure> {
        let config = case.config()?;
        let mut random = SplitMix64::new(case.seed ^ 2);
        let mut layers = Trainer::<f64>::new(&config, Isa::active()?, Some(1))?.layers();
        for layer in &mut layers {
            // Biases are initialised to zero; here they should matter.
            layer.bias = random.uniform_f64s(layer.outputs, -0.2, 0.2);
            for values in [&mut layer.weights, &mut layer.bias] {
                *values = naive::widen(&naive::narrow(values));
            }
        }
        let net = NaiveNet {
            dims: config.layer_dims(),
            weights: layers.iter().map(|layer| layer.weights.clone()).collect(),
            biases: layers.iter().map(|layer| layer.bias.clone()).collect(),
            activation: match case.activation {
                Activation::Sigmoid => naive::Activation::Sigmoid,
                Activation::Tanh => naive::Activation::Tanh,
                _ => naive::Activation::Relu,
            },
        };
        let table = random.uniform_f32s(case.batch * config.input_dim(), -1.0, 1.0);
        // Not in order, so that mixing up row indices and positions is noticed.
        let rows = (0..case.batch).rev().collect();
        Ok(Subject { config, layers, net, table, rows })
    }

    fn wide_table(&self) -> Vec<f64> {
        naive::widen(&self.table)
    }

    fn trainer<T: Arithmetic>(&self, isa: Isa) -> Result<Trainer<T>, Failure> {
        let mut trainer = Trainer::new(&self.config, isa, Some(1))?;
        for (index, layer) in self.layers.iter().enumerate() {
            let convert = |values: &[f64]| values.iter().map(|&value| T::from_f64(value)).collect();
            let LayerParameters { inputs, outputs, ref weights, ref bias } = *layer;
            let layer = LayerParameters { inputs, outputs, weights: convert(weights), bias: convert(bias) };
            trainer.set_layer(index, &layer)?;
        }
        Ok(trainer)
    }

    /// Returns the objective and its gradient.
    fn gradients<T: Arithmetic>(
        &self,
        isa: Isa,
        products: Products,
    ) -> Result<(f64, Vec<LayerParameters<T>>), Failure> {
        let mut trainer = self.trainer(isa)?;
        trainer.set_products(products);
        Ok(trainer.enter(|session| session.gradients(&self.table, &self.rows))?)
    }

    /// Whether rounding may push a pre-activation across a kink.
    fn near_kink(&self) -> bool {
        let forward = self.net.forward(&self.wide_table());
        let hidden = &forward.pre_activations[..self.net.layers() - 1];
        self.net.activation == naive::Activation::Relu && hidden.iter().flatten().any(|z| z.abs() < NEAR_KINK)
    }
}

/// Returns the error of the gradients in `T` against the reference.
fn rounding_error<T: Arithmetic>(
    subject: &Subject,
    isa: Isa,
    products: Products,
    reference: &NaiveGradients,
    scale: &Scale,
) -> Result<f64, Failure> {
    let (objective, gradients) = subject.gradients::<T>(isa, products)?;
    let epsilon = rounding::epsilon::<T>();
    let gradients = flatten(&gradients);
    let objective = scale.objective_error(epsilon, objective, reference.loss);
    Ok(worse(objective, scale.error(epsilon, &gradients, &flat_reference(reference))))
}

/// Concatenates the weights and biases of all layers.
fn flatten<T: Element>(layers: &[LayerParameters<T>]) -> Vec<f64> {
    layers
        .iter()
        .flat_map(|layer| layer.weights.iter().chain(&layer.bias))
        .map(|value| value.to_f64())
        .collect()
}

fn flat_reference(gradients: &NaiveGradients) -> Vec<f64> {
    gradients.weights.iter().zip(&gradients.biases).flat_map(|(w, b)| w.iter().chain(b)).copied().collect()
}

/// Returns the layer of each flattened parameter, and its index there.
fn places(layers: &[LayerParameters<f64>]) -> Vec<(usize, usize)> {
    let of_layer = |(index, layer): (usize, &LayerParameters<f64>)| {
        (0..layer.weights.len() + layer.bias.len()).map(move |at| (index, at)).collect::<Vec<_>>()
    };
    layers.iter().enumerate().flat_map(of_layer).collect()
}

fn parameter(layer: &mut LayerParameters<f64>, at: usize) -> &mut f64 {
    let weights = layer.weights.len();
    if at < weights { &mut layer.weights[at] } else { &mut layer.bias[at - weights] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_cover_what_they_should() {
        let cases: Vec<Case> = (0..300).map(Case::random).collect();
        assert_eq!(cases[7], Case::random(7));
        for layers in 1..=MAX_LAYERS {
            assert!(cases.iter().any(|case| case.dims.len() == layers + 1));
        }
        for activation in ACTIVATIONS {
            for init in [Init::GlorotUniform, Init::GlorotNormal] {
                assert!(cases.iter().any(|case| case.activation == activation && case.init == init));
            }
        }
        let widths: Vec<usize> = cases.iter().flat_map(|case| case.dims.clone()).collect();
        assert!(
            widths.contains(&1) && widths.contains(&MAX_WIDTH) && widths.iter().all(|w| (1..=70).contains(w))
        );
        assert!([1, MAX_BATCH].iter().all(|batch| cases.iter().any(|case| case.batch == *batch)));
    }

    #[test]
    fn the_first_cases_pass() {
        for seed in 0..12 {
            let case = Case::random(seed);
            assert_eq!(case.check().unwrap().problems(), [""; 0], "{case:?}");
        }
    }

    /// A derivative that is wrong in any of several ways fails every check that sees it.
    #[test]
    fn planted_faults_are_found() {
        for activation in ACTIVATIONS {
            let case = Case { dims: vec![9, 6, 4], activation, init: Init::GlorotUniform, batch: 5, seed: 3 };
            let subject = Subject::new(&case).unwrap();
            let right = flatten(&subject.gradients::<f64>(Isa::best(), Products::Plain).unwrap().1);
            assert_eq!(case.check_against(&subject, &right).unwrap().problems(), [""; 0]);
            let largest =
                (0..right.len()).max_by(|&a, &b| right[a].abs().total_cmp(&right[b].abs())).unwrap();
            let faults: [fn(f64) -> f64; 4] = [|g| -g, |g| g * 1.000_01, |_| 0.0, |_| f64::NAN];
            for (index, fault) in faults.into_iter().enumerate() {
                let mut wrong = right.clone();
                wrong[largest] = fault(wrong[largest]);
                let problems = case.check_against(&subject, &wrong).unwrap().problems();
                assert_eq!(problems.len(), 2, "{activation:?}, fault {index}: {problems:?}");
            }
        }
    }

    #[test]
    fn large_networks_are_sampled() {
        let case = Case::random(0);
        assert_eq!(case.chosen(CHECKED_IN_FULL).len(), CHECKED_IN_FULL);
        let sample = case.chosen(50_000);
        assert!(sample.is_sorted() && (SAMPLE - 10..=SAMPLE).contains(&sample.len()));
    }
}
