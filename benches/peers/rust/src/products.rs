//! Products of a dense layer by matrix multiplication crates. Operands are row-major.

use candle_core::{Device, Error, Tensor, WithDType};
use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, LinalgScalar};

use crate::random::Random;

/// The traits that the crates require of a number.
pub trait Number: WithDType + ComplexField + LinalgScalar + From<f32> {}
impl<T: WithDType + ComplexField + LinalgScalar + From<f32>> Number for T {}

/// The matrices of a product, either of which may be transposed in it.
#[derive(Clone, Debug)]
pub struct Operands<T> {
    a: Vec<T>,
    a_shape: [usize; 2],
    b: Vec<T>,
    b_shape: [usize; 2],
    turned: (bool, bool),
}

impl<T: Number> Operands<T> {
    /// Creates the operands of a product of a layer with `k` inputs and `n` outputs at a batch of `m`
    /// rows; `None` for an unknown product.
    pub fn of(product: &str, [m, n, k]: [usize; 3]) -> Option<Operands<T>> {
        let (a_shape, b_shape, turned) = match product {
            "forward" => ([m, k], [k, n], (false, false)),
            "backward_input" => ([m, n], [k, n], (false, true)),
            "weight_gradient" => ([m, k], [m, n], (true, false)),
            _ => return None,
        };
        let mut random = Random::new(0);
        let mut values = |[rows, cols]: [usize; 2]| -> Vec<T> {
            random.uniform(rows * cols, -1.0, 1.0).into_iter().map(T::from).collect()
        };
        Some(Operands { a: values(a_shape), a_shape, b: values(b_shape), b_shape, turned })
    }

    /// Returns the rows and columns of the result.
    fn shape(&self) -> [usize; 2] {
        [self.a_shape[usize::from(self.turned.0)], self.b_shape[usize::from(!self.turned.1)]]
    }

    /// Computes an element of the result in `f64`.
    fn expected(&self, row: usize, col: usize) -> f64 {
        let at = |values: &[T], [_, cols]: [usize; 2], turned: bool, r: usize, c: usize| {
            WithDType::to_f64(if turned { values[c * cols + r] } else { values[r * cols + c] })
        };
        let terms = self.a_shape[usize::from(!self.turned.0)];
        let a = |i| at(&self.a, self.a_shape, self.turned.0, row, i);
        let b = |i| at(&self.b, self.b_shape, self.turned.1, i, col);
        (0..terms).map(|i| a(i) * b(i)).sum()
    }

    /// Compares some elements of a result with dot products in `f64`.
    pub fn check(&self, result: &[T]) -> Result<(), String> {
        let [rows, cols] = self.shape();
        if result.len() != rows * cols {
            return Err(format!("{} elements instead of {}", result.len(), rows * cols));
        }
        for i in 0..64 {
            let (row, col) = (i * 31 % rows, i * 17 % cols);
            let (got, expected) = (WithDType::to_f64(result[row * cols + col]), self.expected(row, col));
            if !((got - expected).abs() < 1e-3) {
                return Err(format!("{got} instead of {expected}"));
            }
        }
        Ok(())
    }
}

/// Multiplies the same matrices repeatedly.
pub trait Multiply<T> {
    /// Computes the product.
    fn run(&mut self) -> Result<(), String>;
    /// Returns the last product.
    fn result(&self) -> Result<Vec<T>, String>;
}

/// Creates the system of this name; `None` for an unknown one.
pub fn system<T: Number>(name: &str, operands: &Operands<T>, threads: usize) -> Option<Box<dyn Multiply<T>>> {
    match name {
        "gemm" => Gemm::new(operands).ok().map(|gemm| Box::new(gemm) as Box<dyn Multiply<T>>),
        "faer" => Some(Box::new(Faer::new(operands, threads))),
        "matrixmultiply" => Some(Box::new(MatrixMultiply::new(operands))),
        _ => None,
    }
}

/// The `gemm` crate, called through candle because its own functions are unsafe to call; candle
/// allocates the result each time.
struct Gemm {
    a: Tensor,
    b: Tensor,
    c: Option<Tensor>,
}

impl Gemm {
    fn new<T: Number>(operands: &Operands<T>) -> Result<Gemm, Error> {
        let matrix = |values: &[T], [rows, cols]: [usize; 2], turned| {
            let matrix = Tensor::from_slice(values, (rows, cols), &Device::Cpu)?;
            if turned { matrix.t() } else { Ok(matrix) }
        };
        let a = matrix(&operands.a, operands.a_shape, operands.turned.0)?;
        Ok(Gemm { a, b: matrix(&operands.b, operands.b_shape, operands.turned.1)?, c: None })
    }
}

impl<T: Number> Multiply<T> for Gemm {
    fn run(&mut self) -> Result<(), String> {
        // The last result is dropped first, so that the allocator can reuse its memory.
        self.c = None;
        self.c = Some(self.a.matmul(&self.b).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn result(&self) -> Result<Vec<T>, String> {
        let c = self.c.as_ref().ok_or("nothing has been computed")?;
        c.flatten_all().and_then(|c| c.to_vec1()).map_err(|error| error.to_string())
    }
}

/// faer, into an existing result.
struct Faer<T> {
    operands: Operands<T>,
    c: Vec<T>,
    par: Par,
}

impl<T: Number> Faer<T> {
    fn new(operands: &Operands<T>, threads: usize) -> Faer<T> {
        let [rows, cols] = operands.shape();
        let threads = std::num::NonZeroUsize::new(threads).filter(|threads| threads.get() > 1);
        let par = threads.map_or(Par::Seq, Par::Rayon);
        Faer { operands: operands.clone(), c: vec![T::from(0f32); rows * cols], par }
    }
}

impl<T: Number> Multiply<T> for Faer<T> {
    fn run(&mut self) -> Result<(), String> {
        let Operands { ref a, a_shape, ref b, b_shape, turned } = self.operands;
        let [rows, cols] = self.operands.shape();
        let a = MatRef::from_row_major_slice(a, a_shape[0], a_shape[1]);
        let b = MatRef::from_row_major_slice(b, b_shape[0], b_shape[1]);
        let a = if turned.0 { a.transpose() } else { a };
        let b = if turned.1 { b.transpose() } else { b };
        let c = MatMut::from_row_major_slice_mut(&mut self.c, rows, cols);
        matmul(c, Accum::Replace, a, b, T::from(1f32), self.par);
        Ok(())
    }

    fn result(&self) -> Result<Vec<T>, String> {
        Ok(self.c.clone())
    }
}

/// matrixmultiply with its own threads, called through ndarray because its own functions are unsafe to
/// call.
struct MatrixMultiply<T> {
    a: Array2<T>,
    b: Array2<T>,
    c: Array2<T>,
    turned: (bool, bool),
}

impl<T: Number> MatrixMultiply<T> {
    fn new(operands: &Operands<T>) -> MatrixMultiply<T> {
        let matrix = |values: &[T], [_, cols]: [usize; 2], shape| {
            Array2::from_shape_fn(shape, |(row, col)| values[row * cols + col])
        };
        MatrixMultiply {
            a: matrix(&operands.a, operands.a_shape, operands.a_shape),
            b: matrix(&operands.b, operands.b_shape, operands.b_shape),
            c: Array2::from_elem(operands.shape(), T::from(0f32)),
            turned: operands.turned,
        }
    }
}

impl<T: Number> Multiply<T> for MatrixMultiply<T> {
    fn run(&mut self) -> Result<(), String> {
        let a = if self.turned.0 { self.a.t() } else { self.a.view() };
        let b = if self.turned.1 { self.b.t() } else { self.b.view() };
        general_mat_mul(T::from(1f32), &a, &b, T::from(0f32), &mut self.c);
        Ok(())
    }

    fn result(&self) -> Result<Vec<T>, String> {
        Ok(self.c.iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify<T: Number>(name: &str) {
        for product in ["forward", "backward_input", "weight_gradient"] {
            let mut operands = Operands::<T>::of(product, [19, 23, 29]).unwrap();
            let mut system = system(name, &operands, 1).unwrap();
            system.run().unwrap();
            let result = system.result().unwrap();
            operands.check(&result).unwrap();
            operands.b.fill(T::from(5f32));
            assert!(operands.check(&result).is_err() && operands.check(&[]).is_err(), "{name} {product}");
        }
    }

    #[test]
    fn every_system_multiplies() {
        for name in ["gemm", "faer", "matrixmultiply"] {
            verify::<f32>(name);
            verify::<f64>(name);
        }
        assert!(Operands::<f32>::of("sideways", [1, 1, 1]).is_none());
    }
}
