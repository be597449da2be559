//! How far a computed gradient may be from the true one because of rounding alone.
//!
//! A sum of k products has an error of about `ε √k` times the norm of the magnitudes of its terms if
//! errors of either sign are equally likely (Higham 2002, section 2.8), and each layer propagates the
//! errors of the previous one. The error of a layer's gradient is therefore measured in units of
//!
//! `ε √K ‖ḡ‖`, `K` = the sum of all contraction lengths, forward, backward and over the batch,
//!
//! where `ḡ` is the gradient with every term replaced by its magnitude, so that cancellation cannot make
//! it small. Both the error and `ḡ` are measured in the Euclidean norm over the layer.

use ae_kernels::Element;
use ae_testing::naive::{NaiveNet, matmul, matmul_nt, matmul_tn};

/// The gap between 1 and the next larger number.
pub(super) fn epsilon<T: Element>() -> f64 {
    if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON }
}

/// The scale of rounding errors, without the factor `ε`.
pub(super) struct Scale {
    /// For each layer, its number of parameters and `√K ‖ḡ‖`.
    layers: Vec<(usize, f64)>,
    /// For the objective, `√K` times the magnitude of its terms.
    objective: f64,
}

impl Scale {
    /// Computes the scale of the network's gradients for the batch `x [m, dims[0]]`, which is also the
    /// target.
    pub(super) fn of(net: &NaiveNet, x: &[f64]) -> Scale {
        let (m, count) = (x.len() / net.dims[0], net.layers());
        let abs = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<f64>>();
        let forward = net.forward(x);
        let weights: Vec<Vec<f64>> = net.weights.iter().map(|weights| abs(weights)).collect();
        let contraction: usize = net.dims.windows(2).map(|pair| pair[0] + 1 + pair[1]).sum::<usize>() + m;
        let root = (contraction as f64).sqrt();

        // |x̂| and |x| of every output, before cancellation.
        let last = count - 1;
        let [inputs, outputs] = [net.dims[last], net.dims[last + 1]];
        let mut delta = matmul([m, inputs, outputs], &abs(&forward.activations[last]), &weights[last]);
        for (i, value) in delta.iter_mut().enumerate() {
            *value += net.biases[last][i % outputs].abs() + x[i].abs();
        }
        let objective = root * delta.iter().map(|value| value * value).sum::<f64>() / m as f64;

        let mut layers = Vec::new();
        for layer in (0..count).rev() {
            let [inputs, outputs] = [net.dims[layer], net.dims[layer + 1]];
            let gradient = matmul_tn([inputs, m, outputs], &abs(&forward.activations[layer]), &delta);
            let bias = matmul([1, m, outputs], &vec![1.0; m], &delta);
            let norm = gradient.iter().chain(&bias).map(|g| (g / m as f64).powi(2)).sum::<f64>().sqrt();
            layers.push(((inputs + 1) * outputs, root * norm));
            if layer > 0 {
                delta = matmul_nt([m, outputs, inputs], &delta, &weights[layer]);
                let below = &forward.pre_activations[layer - 1];
                for (value, &z) in delta.iter_mut().zip(below) {
                    *value *= net.activation_of(layer - 1).derivative(z).abs();
                }
            }
        }
        layers.reverse();
        Scale { layers, objective }
    }

    /// Returns the largest error of any layer, in units of rounding.
    pub(super) fn error(&self, epsilon: f64, got: &[f64], expected: &[f64]) -> f64 {
        if got.len() != expected.len() {
            return f64::INFINITY;
        }
        let mut worst = 0.0;
        let (mut got, mut expected) = (got, expected);
        for &(count, scale) in &self.layers {
            let squares = got[..count].iter().zip(&expected[..count]).map(|(g, e)| (g - e).powi(2));
            worst = super::worse(worst, in_units(squares.sum::<f64>().sqrt(), epsilon * scale));
            (got, expected) = (&got[count..], &expected[count..]);
        }
        worst
    }

    /// Returns the error of the objective, in units of rounding.
    pub(super) fn objective_error(&self, epsilon: f64, got: f64, expected: f64) -> f64 {
        in_units((got - expected).abs(), epsilon * self.objective)
    }
}

fn in_units(error: f64, unit: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / unit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ae_testing::naive::Activation;

    /// One input and one weight per layer, computed by hand.
    #[test]
    fn scale_by_hand() {
        let net = NaiveNet {
            dims: vec![1, 1, 1],
            weights: vec![vec![2.0], vec![-3.0]],
            biases: vec![vec![1.0], vec![0.5]],
            activation: Activation::Relu,
        };
        let scale = Scale::of(&net, &[1.0]);
        // z = 3, |x̂| + |x| = 9 + 0.5 + 1; K = 3 + 3 + 1.
        let (root, delta) = (7f64.sqrt(), 10.5);
        let expected = [root * delta * 3.0 * 2f64.sqrt(), root * delta * 10f64.sqrt()];
        for ((count, got), expected) in scale.layers.iter().zip(expected) {
            assert!(*count == 2 && (got - expected).abs() < 1e-12, "{got} instead of {expected}");
        }
        assert!((scale.objective - root * delta * delta).abs() < 1e-12);
    }

    #[test]
    fn errors_in_units() {
        let scale = Scale { layers: vec![(2, 10.0), (1, 1.0)], objective: 4.0 };
        let expected = [1.0, 2.0, 3.0];
        assert_eq!(scale.error(0.5, &expected, &expected), 0.0);
        assert_eq!(scale.error(0.5, &[4.0, 6.0, 3.0], &expected), 1.0);
        assert_eq!(scale.error(0.5, &[4.0, 6.0, 5.0], &expected), 4.0);
        assert!(scale.error(0.5, &[1.0, f64::NAN, 3.0], &expected).is_nan());
        assert_eq!(scale.error(0.5, &[1.0], &expected), f64::INFINITY);
        assert_eq!(scale.objective_error(0.5, 3.0, 5.0), 1.0);
        assert_eq!(in_units(0.0, 0.0), 0.0);
        assert_eq!(in_units(1.0, 0.0), f64::INFINITY);
    }
}
