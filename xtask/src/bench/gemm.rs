//! The three matrix products of training, compared with matrixmultiply on the same row-major matrices
//! and optionally with other systems.

mod layer;
mod others;
mod yardstick;

use std::path::PathBuf;
use std::time::Duration;

use ae_kernels::par::Pool;
use ae_kernels::{Element, Isa};
use ae_testing::tolerance::Float;
use clap::Args;
use ndarray::LinalgScalar;
use serde_json::{Value, json};

use super::Failure;
use super::peers::Peers;
use super::table::markdown;
use super::timing::{best_of_two, limit, time};
use super::train::rounded;
use layer::Layer;
use others::Others;

/// Layers of common networks: rows of a batch, outputs, inputs.
const SHAPES: [Shape; 8] = [
    Shape { m: 32, n: 256, k: 784 },
    Shape { m: 128, n: 256, k: 784 },
    Shape { m: 32, n: 128, k: 256 },
    Shape { m: 128, n: 128, k: 256 },
    Shape { m: 32, n: 1000, k: 784 },
    Shape { m: 128, n: 1000, k: 784 },
    Shape { m: 32, n: 2048, k: 1024 },
    Shape { m: 128, n: 2048, k: 1024 },
];
/// Encoder widths of the networks whose layers `--all` times, and the batch sizes.
const NETS: [&[usize]; 3] = [&[784, 256, 128, 64, 32], &[784, 1000, 500, 250, 30], &[1024, 2048, 512]];
const BATCHES: [usize; 3] = [32, 128, 1024];

/// What to time.
#[derive(Args, Debug)]
pub(crate) struct GemmBench {
    /// A layer as m,n,k: rows of the batch, outputs, inputs. May be repeated [default: layers of common
    /// networks]
    #[arg(long, value_parser = parse_shape)]
    shape: Vec<Shape>,
    /// Every layer of three networks, including decoders, at three batch sizes
    #[arg(long, conflicts_with = "shape")]
    all: bool,
    /// Numbers of threads; without --peers, matrixmultiply always uses one
    #[arg(long, value_delimiter = ',', default_values_t = [1])]
    threads: Vec<usize>,
    /// Also run MKL, gemm, faer and multi-threaded matrixmultiply, alternating with ours product by
    /// product
    #[arg(long)]
    peers: bool,
    /// Python interpreter with PyTorch, for MKL [default: an environment created under target/peers]
    #[arg(long)]
    python: Option<PathBuf>,
    /// Numeric precision
    #[arg(long, default_value = "f32", value_parser = ["f32", "f64"])]
    precision: String,
    /// Seconds to time each product
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

/// A layer of `k` inputs and `n` outputs at a batch of `m` rows. Each of its products takes `2 m n k`
/// operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    m: usize,
    n: usize,
    k: usize,
}

fn parse_shape(text: &str) -> Result<Shape, String> {
    let sizes: Vec<usize> = text
        .split(',')
        .map(|size| size.trim().parse().map_err(|error| format!("'{size}': {error}")))
        .collect::<Result<_, _>>()?;
    match sizes[..] {
        [m, n, k] if [m, n, k].iter().all(|size| (1..=1 << 20).contains(size)) => Ok(Shape { m, n, k }),
        _ => Err("expected three sizes from 1 to 1048576: m,n,k".to_owned()),
    }
}

#[derive(Clone, Copy, Debug)]
enum Product {
    /// `Y = X W`
    Forward,
    /// `dX = δ Wᵀ`
    BackwardInput,
    /// `dW = Xᵀ δ`
    WeightGradient,
}

impl Product {
    const ALL: [Product; 3] = [Product::Forward, Product::BackwardInput, Product::WeightGradient];

    fn name(self) -> &'static str {
        match self {
            Product::Forward => "forward",
            Product::BackwardInput => "backward_input",
            Product::WeightGradient => "weight_gradient",
        }
    }
}

impl GemmBench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let peers = self.peers.then(|| Peers::find(self.python.as_deref()));
        let mut rows = Vec::new();
        for threads in &self.threads {
            let mut others =
                peers.as_ref().map(|peers| Others::start(peers, *threads, &self.precision, self.seconds));
            for shape in self.shapes() {
                for product in Product::ALL {
                    let mut row = match self.precision.as_str() {
                        "f64" => self.measure::<f64>(product, shape, *threads)?,
                        _ => self.measure::<f32>(product, shape, *threads)?,
                    };
                    if let Some(others) = &mut others {
                        others.add_to(&mut row, product, shape);
                    }
                    if self.json {
                        println!("{row}");
                    } else {
                        eprintln!(
                            "{} {shape:?}, threads {threads}: {} GFLOP/s",
                            product.name(),
                            row["gflops"]
                        );
                    }
                    rows.push(row);
                }
            }
        }
        if !self.json {
            self.print(&rows);
        }
        Ok(())
    }

    fn print(&self, rows: &[Value]) {
        let mut columns = vec!["product", "m", "n", "k", "isa", "threads", "us", "gflops"];
        if !self.peers {
            columns.extend(["matrixmultiply_gflops", "ratio"]);
            print!("{}", markdown(&columns, rows));
            return;
        }
        columns.extend(others::COLUMNS);
        print!("{}", markdown(&columns, rows));
        println!();
        for threads in &self.threads {
            println!("{}", others::means(rows, *threads));
        }
    }

    fn shapes(&self) -> Vec<Shape> {
        match self.shape.as_slice() {
            [] if self.all => all_shapes(),
            [] => SHAPES.to_vec(),
            shapes => shapes.to_vec(),
        }
    }

    fn measure<T: Element + Float + LinalgScalar>(
        &self,
        product: Product,
        shape: Shape,
        threads: usize,
    ) -> Result<Value, Failure> {
        let isa = Isa::active()?;
        let limit = limit(self.seconds)?;
        let pool = Pool::new(Some(threads)).map_err(ae_model::Error::from)?;
        let Shape { m, n, k } = shape;
        let operations = 2.0 * m as f64 * n as f64 * k as f64;
        let crew = pool.crew();
        let mut layer = Layer::<T>::random(isa, shape);
        layer.verify(crew, product)?;
        let mut yardstick = layer.yardstick(product);
        // Windows of about a millisecond, so that the cost of reading the clock is negligible.
        let repeats = (1e8 / operations).clamp(1.0, 1e4) as u32;
        let ours = || time(repeats, || layer.run(crew, product, T::from_f64(1e-12)));
        let theirs = || time(repeats, || yardstick.run());
        let times = best_of_two(limit, ours, theirs);
        let [ours, theirs] = times.map(|time: Duration| operations / time.as_secs_f64() / 1e9);
        Ok(json!({
            "product": product.name(),
            "m": m,
            "n": n,
            "k": k,
            "precision": self.precision,
            "isa": isa.name(),
            "threads": threads,
            "us": rounded(times[0].as_secs_f64() * 1e6, 2),
            "gflops": rounded(ours, 2),
            "matrixmultiply_gflops": rounded(theirs, 2),
            "ratio": rounded(ours / theirs, 2),
        }))
    }
}

/// Returns the distinct layers of [`NETS`], including those of the decoders.
fn all_shapes() -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::new();
    for m in BATCHES {
        for pair in NETS.iter().flat_map(|dims| dims.windows(2)) {
            for (k, n) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                let shape = Shape { m, n, k };
                if !shapes.contains(&shape) {
                    shapes.push(shape);
                }
            }
        }
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        assert_eq!(parse_shape("1, 2,3"), Ok(Shape { m: 1, n: 2, k: 3 }));
        for wrong in ["", "1,2", "1,2,3,4", "1,2,x", "0,1,1"] {
            assert!(parse_shape(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_layers() {
        let shapes = all_shapes();
        assert_eq!(shapes.len(), 3 * 2 * (4 + 4 + 2));
        assert!(shapes.contains(&Shape { m: 1024, n: 784, k: 1000 }));
    }
}
