//! Naive references: simple loops, summed in `f64`, that are obviously correct.
//!
//! Matrices are row-major slices, `[rows, columns]`; weights are `[in, out]`.

use crate::random::SplitMix64;

/// Computes `A B`: `a [m, k]` times `b [k, n]` gives `[m, n]`.
///
/// # Panics
/// If a slice does not have the size of its matrix.
#[track_caller]
pub fn matmul([m, k, n]: [usize; 3], a: &[f64], b: &[f64]) -> Vec<f64> {
    check("a", a, [m, k]);
    check("b", b, [k, n]);
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            for l in 0..k {
                c[i * n + j] += a[i * k + l] * b[l * n + j];
            }
        }
    }
    c
}

/// Computes `A Bᵀ`: `a [m, k]` and `b [n, k]` give `[m, n]`.
///
/// # Panics
/// If a slice does not have the size of its matrix.
#[track_caller]
pub fn matmul_nt([m, k, n]: [usize; 3], a: &[f64], b: &[f64]) -> Vec<f64> {
    check("b", b, [n, k]);
    matmul([m, k, n], a, &transpose([n, k], b))
}

/// Computes `Aᵀ B`: `a [k, m]` and `b [k, n]` give `[m, n]`.
///
/// # Panics
/// If a slice does not have the size of its matrix.
#[track_caller]
pub fn matmul_tn([m, k, n]: [usize; 3], a: &[f64], b: &[f64]) -> Vec<f64> {
    check("a", a, [k, m]);
    matmul([m, k, n], &transpose([k, m], a), b)
}

/// Transposes: `a [rows, columns]` gives `[columns, rows]`.
///
/// # Panics
/// If the slice does not have the size of the matrix.
#[track_caller]
pub fn transpose([rows, columns]: [usize; 2], a: &[f64]) -> Vec<f64> {
    check("a", a, [rows, columns]);
    let mut t = vec![0.0; rows * columns];
    for i in 0..rows {
        for j in 0..columns {
            t[j * rows + i] = a[i * columns + j];
        }
    }
    t
}

/// Converts the values to `f64`, exactly.
pub fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Rounds the values to the nearest `f32`.
pub fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

/// An activation function, by its definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `z`
    Linear,
    /// `max(0, z)`
    Relu,
    /// `1 / (1 + e^-z)`
    Sigmoid,
    /// `tanh z`
    Tanh,
    /// `z`, or `z / 100` below 0
    LeakyRelu,
    /// `z`, or `e^z - 1` below 0
    Elu,
    /// `ln(1 + e^z)`
    Softplus,
    /// `z (1 + tanh(√(2/π) (z + 0.044715 z³))) / 2`
    Gelu,
    /// `z / (1 + e^-z)`
    Silu,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 9] = [
        Activation::Linear,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::LeakyRelu,
        Activation::Elu,
        Activation::Softplus,
        Activation::Gelu,
        Activation::Silu,
    ];

    /// `act(z)`
    pub fn value(self, z: f64) -> f64 {
        match self {
            Activation::Linear => z,
            Activation::Relu if z > 0.0 => z,
            Activation::Relu => 0.0,
            Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
            Activation::Tanh => z.tanh(),
            Activation::LeakyRelu if z > 0.0 => z,
            Activation::LeakyRelu => 0.01 * z,
            Activation::Elu if z > 0.0 => z,
            Activation::Elu => z.exp_m1(),
            Activation::Softplus => z.max(0.0) + (-z.abs()).exp().ln_1p(),
            Activation::Gelu => 0.5 * z * (1.0 + gelu_inner(z).tanh()),
            Activation::Silu => z / (1.0 + (-z).exp()),
        }
    }

    /// `act'(z)`, from `z` itself rather than from `act(z)`; for ReLU, 0 at 0.
    pub fn derivative(self, z: f64) -> f64 {
        match self {
            Activation::Linear => 1.0,
            Activation::Relu if z > 0.0 => 1.0,
            Activation::Relu => 0.0,
            Activation::Sigmoid => 1.0 / ((1.0 + (-z).exp()) * (1.0 + z.exp())),
            Activation::Tanh => z.cosh().powi(-2),
            Activation::LeakyRelu if z > 0.0 => 1.0,
            Activation::LeakyRelu => 0.01,
            Activation::Elu if z > 0.0 => 1.0,
            Activation::Elu => z.exp(),
            Activation::Softplus => 1.0 / (1.0 + (-z).exp()),
            Activation::Gelu => {
                let slope = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044_715 * z * z);
                let t = gelu_inner(z).tanh();
                0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope
            }
            Activation::Silu => {
                let share = 1.0 / (1.0 + (-z).exp());
                share + z * share * (1.0 - share)
            }
        }
    }
}

/// The argument of the tanh in GELU.
fn gelu_inner(z: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * (z + 0.044_715 * z.powi(3))
}

/// A dense network with one activation function on every layer but the last, which is linear.
#[derive(Clone, Debug, PartialEq)]
pub struct NaiveNet {
    /// Widths from the input to the output: one more than the number of layers.
    pub dims: Vec<usize>,
    /// The weights of each layer, `[in, out]`.
    pub weights: Vec<Vec<f64>>,
    /// The biases of each layer, `[out]`.
    pub biases: Vec<Vec<f64>>,
    /// The activation function of every layer but the last.
    pub activation: Activation,
}

/// The results of a forward pass, layer by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct NaiveForward {
    /// `z = a w + b` of each layer, `[m, out]`.
    pub pre_activations: Vec<Vec<f64>>,
    /// The batch, then the output of each layer, `[m, width]`; the last is `x̂`.
    pub activations: Vec<Vec<f64>>,
}

/// The results of a backward pass, layer by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct NaiveGradients {
    /// `J = (1/m) Σ_rows Σ_features ½ (x̂ - target)²`
    pub loss: f64,
    /// `δ = m ∂J/∂z` of each layer, `[m, out]`.
    pub deltas: Vec<Vec<f64>>,
    /// `∂J/∂W` of each layer, `[in, out]`.
    pub weights: Vec<Vec<f64>>,
    /// `∂J/∂b` of each layer, `[out]`.
    pub biases: Vec<Vec<f64>>,
}

impl NaiveNet {
    /// Creates a network with Glorot-uniform weights and small nonzero biases, so that these are tested
    /// too.
    ///
    /// # Panics
    /// If `dims` has fewer than two entries.
    #[track_caller]
    pub fn random(dims: &[usize], activation: Activation, seed: u64) -> NaiveNet {
        assert!(dims.len() >= 2, "no layer between {dims:?}");
        let mut random = SplitMix64::new(seed);
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for layer in dims.windows(2) {
            let limit = (6.0 / (layer[0] + layer[1]) as f64).sqrt();
            weights.push(random.uniform_f64s(layer[0] * layer[1], -limit, limit));
            biases.push(random.uniform_f64s(layer[1], -0.2, 0.2));
        }
        NaiveNet { dims: dims.to_vec(), weights, biases, activation }
    }

    /// Rounds every parameter to `f32`, so that an `f32` network can have the same parameters.
    pub fn rounded_to_f32(mut self) -> NaiveNet {
        for values in self.weights.iter_mut().chain(&mut self.biases) {
            *values = widen(&narrow(values));
        }
        self
    }

    /// Returns the number of layers.
    pub fn layers(&self) -> usize {
        self.weights.len()
    }

    /// Returns the activation function of a layer: linear for the last.
    pub fn activation_of(&self, layer: usize) -> Activation {
        if layer + 1 == self.layers() { Activation::Linear } else { self.activation }
    }

    /// Computes the forward pass of a batch `x [m, dims[0]]`.
    ///
    /// # Panics
    /// If `x` is not a whole number of rows, or the parameters do not fit `dims`.
    #[track_caller]
    pub fn forward(&self, x: &[f64]) -> NaiveForward {
        let m = self.rows(x);
        let mut pre_activations = Vec::new();
        let mut activations = vec![x.to_vec()];
        for layer in 0..self.layers() {
            let [inputs, outputs] = [self.dims[layer], self.dims[layer + 1]];
            check("biases", &self.biases[layer], [1, outputs]);
            let mut z = matmul([m, inputs, outputs], &activations[layer], &self.weights[layer]);
            for row in 0..m {
                for j in 0..outputs {
                    z[row * outputs + j] += self.biases[layer][j];
                }
            }
            let activation = self.activation_of(layer);
            activations.push(z.iter().map(|&z| activation.value(z)).collect());
            pre_activations.push(z);
        }
        NaiveForward { pre_activations, activations }
    }

    /// Computes `J = (1/m) Σ_rows Σ_features ½ (x̂ - target)²` for `target [m, out]`; the target of an
    /// autoencoder is `x`.
    ///
    /// # Panics
    /// As [`NaiveNet::forward`]; also if the target does not have the size of the output, or if there
    /// are no rows.
    #[track_caller]
    pub fn loss(&self, x: &[f64], target: &[f64]) -> f64 {
        let m = self.rows(x);
        assert!(m > 0, "no rows to average over");
        let forward = self.forward(x);
        let output = &forward.activations[self.layers()];
        check("target", target, [m, output.len() / m]);
        let sum: f64 = output.iter().zip(target).map(|(y, t)| 0.5 * (y - t) * (y - t)).sum();
        sum / m as f64
    }

    /// Computes the loss and all its derivatives by backpropagation: `δ(L) = x̂ - target`,
    /// `δ(l) = (δ(l+1) W(l+1)ᵀ) ⊙ act'(z(l))`, `∂J/∂W(l) = (1/m) A(l-1)ᵀ δ(l)`,
    /// `∂J/∂b(l) = (1/m) Σ_rows δ(l)`.
    ///
    /// # Panics
    /// As [`NaiveNet::loss`].
    #[track_caller]
    pub fn gradients(&self, x: &[f64], target: &[f64]) -> NaiveGradients {
        let loss = self.loss(x, target);
        let NaiveForward { pre_activations, activations } = self.forward(x);
        let (m, layers) = (self.rows(x), self.layers());

        let mut deltas = vec![Vec::new(); layers];
        deltas[layers - 1] = activations[layers].iter().zip(target).map(|(y, t)| y - t).collect();
        for layer in (0..layers - 1).rev() {
            let [width, above] = [self.dims[layer + 1], self.dims[layer + 2]];
            let mut delta = matmul_nt([m, above, width], &deltas[layer + 1], &self.weights[layer + 1]);
            for (delta, &z) in delta.iter_mut().zip(&pre_activations[layer]) {
                *delta *= self.activation_of(layer).derivative(z);
            }
            deltas[layer] = delta;
        }

        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for layer in 0..layers {
            let [inputs, outputs] = [self.dims[layer], self.dims[layer + 1]];
            let sums = matmul_tn([inputs, m, outputs], &activations[layer], &deltas[layer]);
            weights.push(sums.iter().map(|sum| sum / m as f64).collect());
            let sums = matmul([1, m, outputs], &vec![1.0; m], &deltas[layer]);
            biases.push(sums.iter().map(|sum| sum / m as f64).collect());
        }
        NaiveGradients { loss, deltas, weights, biases }
    }

    /// Takes one step of gradient descent on a batch and returns the gradients used.
    ///
    /// # Panics
    /// As [`NaiveNet::loss`].
    #[track_caller]
    pub fn step(&mut self, x: &[f64], target: &[f64], learning_rate: f64) -> NaiveGradients {
        let gradients = self.gradients(x, target);
        let all = gradients.weights.iter().chain(&gradients.biases);
        for (values, gradient) in self.weights.iter_mut().chain(&mut self.biases).zip(all) {
            for (value, gradient) in values.iter_mut().zip(gradient) {
                *value -= learning_rate * gradient;
            }
        }
        gradients
    }

    #[track_caller]
    fn rows(&self, x: &[f64]) -> usize {
        assert!(self.dims.len() == self.layers() + 1, "{} layers between {:?}", self.layers(), self.dims);
        let width = self.dims[0];
        assert!(width > 0 && x.len().is_multiple_of(width), "{} elements are no rows of {width}", x.len());
        x.len() / width
    }
}

#[track_caller]
fn check(name: &str, values: &[f64], shape: [usize; 2]) {
    assert!(values.len() == shape[0] * shape[1], "{name} has {} elements, not {shape:?}", values.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerance::{Tolerance, assert_close};

    /// 2 x 3 by 3 x 2, computed by hand; the other forms take the same matrices transposed.
    #[test]
    fn products_by_hand() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
        let c = [58.0, 64.0, 139.0, 154.0];
        let a_t = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        let b_t = [7.0, 9.0, 11.0, 8.0, 10.0, 12.0];
        let shape = [2, 3, 2];
        assert_eq!(matmul(shape, &a, &b), c);
        assert_eq!(matmul_nt(shape, &a, &b_t), c);
        assert_eq!(matmul_tn(shape, &a_t, &b), c);
        assert_eq!(transpose([2, 3], &a), a_t);
        assert_eq!(matmul([2, 0, 1], &[], &[]), [0.0; 2]);
        assert!(matmul([0, 3, 2], &[], &b).is_empty());
    }

    #[test]
    #[should_panic(expected = "b has 5 elements, not [3, 2]")]
    fn shapes_are_checked() {
        matmul([2, 3, 2], &[0.0; 6], &[0.0; 5]);
    }

    #[test]
    fn activations_by_hand() {
        for (activation, z, value, derivative) in [
            (Activation::Linear, -3.0, -3.0, 1.0),
            (Activation::Relu, -3.0, 0.0, 0.0),
            (Activation::Relu, 0.0, 0.0, 0.0),
            (Activation::Relu, 2.0, 2.0, 1.0),
            (Activation::Sigmoid, 0.0, 0.5, 0.25),
            (Activation::Sigmoid, 3f64.ln(), 0.75, 0.1875),
            (Activation::Tanh, 0.0, 0.0, 1.0),
            (Activation::Tanh, 0.5 * 3f64.ln(), 0.5, 0.75),
        ] {
            let got = [activation.value(z), activation.derivative(z)];
            assert_close(
                &format!("{activation:?} {z}"),
                &got,
                &[value, derivative],
                Tolerance::Absolute(1e-15),
            );
        }
    }

    #[test]
    fn derivatives_are_slopes() {
        let h = 1e-6;
        for activation in Activation::ALL {
            for z in [-4.0, -1.0, -0.1, 0.3, 2.0, 6.0] {
                let slope = (activation.value(z + h) - activation.value(z - h)) / (2.0 * h);
                let error = (activation.derivative(z) - slope).abs();
                assert!(error < 1e-9, "{activation:?} at {z}: off by {error:e}");
            }
        }
    }

    /// One input, one hidden unit, one output, two rows: every number computed by hand.
    #[test]
    fn a_step_by_hand() {
        let mut net = NaiveNet {
            dims: vec![1, 1, 1],
            weights: vec![vec![2.0], vec![3.0]],
            biases: vec![vec![1.0], vec![-1.0]],
            activation: Activation::Relu,
        };
        let x = [1.0, -1.0];
        let forward = net.forward(&x);
        assert_eq!(forward.pre_activations, [[3.0, -1.0], [8.0, -1.0]]);
        assert_eq!(forward.activations, [[1.0, -1.0], [3.0, 0.0], [8.0, -1.0]]);
        let gradients = net.step(&x, &x, 0.5);
        let expected = NaiveGradients {
            loss: 12.25,
            deltas: vec![vec![21.0, 0.0], vec![7.0, 0.0]],
            weights: vec![vec![10.5], vec![10.5]],
            biases: vec![vec![10.5], vec![3.5]],
        };
        assert_eq!(gradients, expected);
        assert_eq!(net.weights, [[2.0 - 5.25], [3.0 - 5.25]]);
        assert_eq!(net.biases, [[1.0 - 5.25], [-1.0 - 1.75]]);
    }

    /// The gradient of each parameter matches finite differences, and a fault planted in it is noticed.
    #[test]
    fn gradients_are_slopes() {
        for activation in Activation::ALL {
            let net = NaiveNet::random(&[4, 3, 2, 3, 4], activation, 8);
            let x = SplitMix64::new(9).uniform_f64s(5 * 4, 0.0, 1.0);
            let gradients = net.gradients(&x, &x);
            for layer in 0..net.layers() {
                for (kind, got) in
                    [("weights", &gradients.weights[layer]), ("biases", &gradients.biases[layer])]
                {
                    let h = 1e-5;
                    let loss_with = |i: usize, change: f64| {
                        let mut net = net.clone();
                        let values =
                            if kind == "weights" { &mut net.weights[layer] } else { &mut net.biases[layer] };
                        values[i] += change;
                        net.loss(&x, &x)
                    };
                    let slope = |i| (loss_with(i, h) - loss_with(i, -h)) / (2.0 * h);
                    let slopes: Vec<f64> = (0..got.len()).map(slope).collect();
                    let what = format!("{activation:?} {kind} {layer}");
                    assert_close(&what, got, &slopes, Tolerance::Absolute(1e-8));

                    let mut wrong = got.clone();
                    wrong[0] += 1e-4;
                    let noticed = std::panic::catch_unwind(|| {
                        assert_close(&what, &wrong, &slopes, Tolerance::Absolute(1e-8));
                    });
                    assert!(noticed.is_err(), "{what}: a fault of 1e-4 was not noticed");
                }
            }
        }
    }

    #[test]
    fn random_networks() {
        let net = NaiveNet::random(&[100, 50, 10, 50, 100], Activation::Tanh, 1);
        let count: usize = net.weights.iter().chain(&net.biases).map(Vec::len).sum();
        assert_eq!(count, 11_210);
        assert_eq!(net.activation_of(2), Activation::Tanh);
        assert_eq!(net.activation_of(3), Activation::Linear);
        assert!(net.weights[0].iter().all(|w| w.abs() <= 0.2));
        assert_eq!(net, NaiveNet::random(&[100, 50, 10, 50, 100], Activation::Tanh, 1));
        let rounded = net.clone().rounded_to_f32();
        assert_ne!(rounded, net);
        assert_eq!(rounded.clone().rounded_to_f32(), rounded);
    }
}
