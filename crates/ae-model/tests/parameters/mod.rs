//! All parameters of a network as one list, layer by layer, weights before biases.

use ae_kernels::Element;
use ae_model::LayerParameters;

pub(crate) fn flat<T: Element>(layers: &[LayerParameters<T>]) -> Vec<f64> {
    layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias)).map(|x| x.to_f64()).collect()
}

/// The layers with these parameters, in the order of [`flat`].
#[allow(dead_code, reason = "tests that compare gradients need it")]
pub(crate) fn fill(layers: &mut [LayerParameters<f64>], mut values: &[f64]) {
    for target in layers.iter_mut().flat_map(|layer| [&mut layer.weights, &mut layer.bias]) {
        let (head, tail) = values.split_at(target.len());
        target.copy_from_slice(head);
        values = tail;
    }
}
