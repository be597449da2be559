//! Analytic gradients of every weight and bias against finite differences and against a naive network.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod parameters;

use ae_model::gradcheck::{self, Settings};
use ae_model::{Activation, Arithmetic, Config, Init, Isa, LayerParameters, Optimizer, Products, Trainer};
use ae_testing::naive::{self, NaiveNet};
use ae_testing::random::SplitMix64;
use parameters::flat;
use proptest::prelude::*;

/// A random autoencoder and a batch for it.
#[derive(Debug, Clone)]
struct Architecture {
    /// Input, hidden widths, encoding.
    widths: Vec<usize>,
    activation: Activation,
    init: Init,
    rows: usize,
    seed: u64,
}

impl Architecture {
    fn config(&self) -> Config {
        let [input, hidden @ .., encoding] = self.widths.as_slice() else {
            unreachable!("two widths at least")
        };
        Config::builder(*input)
            .optimizer(Optimizer::Sgd)
            .hidden_dims(hidden)
            .encoding_dim(*encoding)
            .activation(self.activation)
            .init(self.init)
            .seed(self.seed)
            .build()
            .unwrap()
    }

    /// `[rows, input]`
    fn table(&self) -> Vec<f32> {
        SplitMix64::new(self.seed).uniform_f32s(self.rows * self.widths[0], -1.0, 1.0)
    }

    /// The trainer, with nonzero biases so that they are tested too.
    fn trainer<T: Arithmetic>(&self, isa: Isa) -> Trainer<T> {
        let mut trainer = Trainer::new(&self.config(), isa, Some(1)).unwrap();
        let mut random = SplitMix64::new(!self.seed);
        for (index, mut layer) in trainer.layers().into_iter().enumerate() {
            layer.bias.iter_mut().for_each(|b| *b = T::from_f32(random.uniform_in(-0.3, 0.3) as f32));
            // Values that both types represent exactly, so that the gradients are those of the same
            // network.
            layer.weights.iter_mut().for_each(|w| *w = T::from_f32(w.to_f32()));
            trainer.set_layer(index, &layer).unwrap();
        }
        trainer
    }

    fn gradients<T: Arithmetic>(&self, isa: Isa) -> (f64, Vec<LayerParameters<T>>) {
        self.gradients_by(isa, Products::Fastest)
    }

    fn gradients_by<T: Arithmetic>(&self, isa: Isa, products: Products) -> (f64, Vec<LayerParameters<T>>) {
        let indices: Vec<usize> = (0..self.rows).collect();
        let mut trainer = self.trainer::<T>(isa);
        trainer.set_products(products);
        trainer.enter(|session| session.gradients(&self.table(), &indices)).unwrap()
    }

    /// The norm of the gradient of each row by itself, averaged over the rows.
    fn mean_norm_of_rows(&self) -> f64 {
        let table = self.table();
        let mut trainer = self.trainer::<f64>(Isa::best());
        let norms = trainer.enter(|session| {
            let of_row =
                |row| session.gradients(&table, &[row]).map(|(_, of_row)| norm(flat(&of_row).into_iter()));
            (0..self.rows).map(of_row).sum::<Result<f64, _>>()
        });
        norms.unwrap() / self.rows as f64
    }

    /// The same network in naive loops.
    fn naive(&self) -> NaiveNet {
        let layers = self.trainer::<f64>(Isa::best()).layers();
        NaiveNet {
            dims: self.config().layer_dims(),
            weights: layers.iter().map(|layer| layer.weights.clone()).collect(),
            biases: layers.iter().map(|layer| layer.bias.clone()).collect(),
            activation: match self.activation {
                Activation::Sigmoid => naive::Activation::Sigmoid,
                Activation::Tanh => naive::Activation::Tanh,
                _ => naive::Activation::Relu,
            },
        }
    }
}

fn architectures(
    depth: std::ops::RangeInclusive<usize>,
    width: usize,
) -> impl Strategy<Value = Architecture> {
    let widths = prop::collection::vec(1..=width, *depth.start() + 1..=*depth.end() + 1);
    let activation = prop::sample::select(vec![Activation::Relu, Activation::Sigmoid, Activation::Tanh]);
    let init = prop::sample::select(vec![Init::GlorotUniform, Init::GlorotNormal]);
    (widths, activation, init, 1..=40usize, any::<u64>()).prop_map(
        |(widths, activation, init, rows, seed)| Architecture { widths, activation, init, rows, seed },
    )
}

/// The parameters of `naive` from a flat list in the order of [`flat`].
fn set_flat(naive: &mut NaiveNet, mut values: &[f64]) {
    for (weights, biases) in naive.weights.iter_mut().zip(&mut naive.biases) {
        for target in [weights, biases] {
            let (head, tail) = values.split_at(target.len());
            target.copy_from_slice(head);
            values = tail;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Every parameter of small networks of every depth, against finite differences of the naive
    /// network's objective, which shares no code with the gradient.
    #[test]
    fn every_parameter_agrees_with_finite_differences(arch in architectures(1..=6, 7)) {
        for isa in Isa::available() {
            let (_, gradients) = arch.gradients::<f64>(isa);
            let mut naive = arch.naive();
            let parameters = flat(&arch.trainer::<f64>(isa).layers());
            let table = naive::widen(&arch.table());
            // A unit at its kink excludes all weights below it from the comparison, in a narrow network
            // most of them. Such a network says little, so another is drawn.
            let settings = Settings { kinks: 1.0, ..Settings::default() };
            let report = gradcheck::compare(&settings, &parameters, &flat(&gradients), |values| {
                set_flat(&mut naive, values);
                naive.loss(&table, &table)
            });
            prop_assume!(report.kinks <= report.compared);
            prop_assert!(report.passes(&settings), "{isa}: {report:?}");
        }
    }

    /// The f64 gradients of large networks against the naive ones, which the test above has verified.
    #[test]
    fn large_networks_agree_with_naive_ones(arch in architectures(1..=6, 70)) {
        let table = naive::widen(&arch.table());
        let expected = arch.naive().gradients(&table, &table);
        let expected_flat: Vec<f64> =
            expected.weights.iter().zip(&expected.biases).flat_map(|(w, b)| w.iter().chain(b)).copied().collect();
        for isa in Isa::available() {
            let (objective, gradients) = arch.gradients::<f64>(isa);
            prop_assert!((objective - expected.loss).abs() <= 1e-12 * expected.loss, "{isa}");
            let error = distance(&flat(&gradients), &expected_flat);
            prop_assert!(error <= 1e-12, "{isa}: {error:e}");
        }
    }

    /// The f32 gradients of every instruction set, plain and split, against the f64 ones: within 2⁻¹⁷
    /// (7.6e-6) of the norm of the gradient, which is 64 roundings. ReLU may land on the other side of a
    /// kink where z rounds across 0, and such units change the gradient by their whole contribution. So
    /// this test covers only smooth activations; the kernels' own tests cover ReLU.
    #[test]
    fn single_precision_stays_near_double(arch in architectures(1..=6, 70)) {
        let arch = Architecture {
            activation: if arch.activation == Activation::Relu { Activation::Tanh } else { arch.activation },
            ..arch
        };
        let (_, exact) = arch.gradients::<f64>(Isa::best());
        for isa in Isa::available() {
            for products in [Products::Plain, Products::Split] {
                let (_, gradients) = arch.gradients_by::<f32>(isa, products);
                let error = distance(&flat(&gradients), &flat(&exact));
                prop_assert!(error <= 2f64.powi(-17), "{products:?} on {isa}: {error:e}");
            }
        }
    }

    /// Mixed precision: every operand of every product is off by up to 2⁻⁹, and so, within a factor, is
    /// the gradient of a row through a dozen layers. Gradients of several rows may cancel in the sum, so
    /// the error is compared with the mean of their norms.
    #[test]
    fn bf16_stays_near_double(arch in architectures(1..=3, 70)) {
        let arch = Architecture {
            activation: if arch.activation == Activation::Relu { Activation::Tanh } else { arch.activation },
            ..arch
        };
        let (_, exact) = arch.gradients::<f64>(Isa::best());
        let of_rows = arch.mean_norm_of_rows();
        let mut bits = Vec::new();
        for isa in Isa::available() {
            let (_, gradients) = arch.gradients_by::<f32>(isa, Products::Bf16);
            let error = norm(flat(&gradients).iter().zip(flat(&exact)).map(|(a, b)| a - b)) / of_rows;
            prop_assert!(error <= 2f64.powi(-5), "{isa}: {error:e}");
            if isa.fuses() {
                bits.push(flat(&gradients));
            }
        }
        prop_assert!(bits.windows(2).all(|pair| pair[0] == pair[1]), "instruction sets that fuse differ");
    }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// `‖a - b‖ / ‖b‖`, NaN if either holds one.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

/// The check must fail for the kinds of wrong derivatives that a backward pass is likely to have.
#[test]
fn a_planted_fault_is_found() {
    let arch = Architecture {
        widths: vec![6, 5, 3],
        activation: Activation::Sigmoid,
        init: Init::GlorotUniform,
        rows: 9,
        seed: 4,
    };
    let table = naive::widen(&arch.table());
    let mut naive = arch.naive();
    let parameters = flat(&arch.trainer::<f64>(Isa::best()).layers());
    let (_, gradients) = arch.gradients::<f64>(Isa::best());
    let settings = Settings::default();
    let mut check = |gradient: &[f64]| {
        gradcheck::compare(&settings, &parameters, gradient, |values| {
            set_flat(&mut naive, values);
            naive.loss(&table, &table)
        })
    };
    let right = flat(&gradients);
    assert!(check(&right).passes(&settings));

    // The gradient of the same network with the derivative of another activation.
    let mut wrong_slope = arch.naive();
    wrong_slope.activation = naive::Activation::Tanh;
    let wrong_slope = wrong_slope.gradients(&table, &table);
    let wrong_slope = wrong_slope
        .weights
        .iter()
        .zip(&wrong_slope.biases)
        .flat_map(|(w, b)| w.iter().chain(b))
        .copied()
        .collect();
    let changed = |change: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        right.iter().enumerate().map(|(i, g)| change(i, *g)).collect()
    };
    let faults: [(&str, Vec<f64>); 6] = [
        ("another activation's derivative", wrong_slope),
        ("the sum instead of the mean over rows", changed(&|_, g| g * 9.0)),
        ("a missing factor of one half", changed(&|_, g| g * 2.0)),
        (
            "one weight off by a part in a thousand",
            changed(&|i, g| if i == 7 { g * 1.001 + 1e-4 } else { g }),
        ),
        ("biases forgotten", changed(&|i, g| if (30..35).contains(&i) { 0.0 } else { g })),
        ("not a number", changed(&|i, g| if i == 3 { f64::NAN } else { g })),
    ];
    for (name, gradient) in faults {
        let report = check(&gradient);
        assert!(!report.passes(&settings), "{name} passed: {report:?}");
    }
    assert!(!gradcheck::compare(&settings, &[], &[], |_| 0.0).passes(&settings), "nothing compared");
}
