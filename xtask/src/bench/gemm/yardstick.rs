//! The same products by matrixmultiply, called through ndarray because its own functions are unsafe to
//! call.

use ae_kernels::Element;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, LinalgScalar};

use super::{Layer, Product, Shape};

/// A product of a layer's row-major matrices.
pub(super) struct Yardstick<T> {
    a: Array2<T>,
    b: Array2<T>,
    pub(super) c: Array2<T>,
    /// Whether `a` and `b` are transposed in the product.
    transposed: (bool, bool),
}

impl<T: Element + LinalgScalar> Layer<T> {
    pub(super) fn yardstick(&self, product: Product) -> Yardstick<T> {
        let Shape { m, n, k } = self.shape;
        let matrix =
            |values: &[T], rows, cols| Array2::from_shape_fn((rows, cols), |(r, c)| values[r * cols + c]);
        let (x, w, delta) =
            (|| matrix(&self.x, m, k), || matrix(&self.w, k, n), || matrix(&self.delta, m, n));
        let (a, b, c, transposed) = match product {
            Product::Forward => (x(), w(), [m, n], (false, false)),
            Product::BackwardInput => (delta(), w(), [m, k], (false, true)),
            Product::WeightGradient => (x(), delta(), [k, n], (true, false)),
        };
        Yardstick { a, b, c: Array2::from_elem(c, T::ZERO), transposed }
    }
}

impl<T: Element + LinalgScalar> Yardstick<T> {
    /// Computes `c`.
    pub(super) fn run(&mut self) {
        let a = if self.transposed.0 { self.a.t() } else { self.a.view() };
        let b = if self.transposed.1 { self.b.t() } else { self.b.view() };
        general_mat_mul(T::ONE, &a, &b, T::ZERO, &mut self.c);
    }
}
