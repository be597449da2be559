//! The time of each product of a training step compared with the peak of the CPU: one thread, each
//! product on its own, on data that its previous run left in the caches.

use std::time::{Duration, Instant};

use ae_kernels::Isa;
use ae_kernels::activation::Activation;
use ae_kernels::gemm::{self, BatchPanels, Blocking, Round, WeightRange};
use ae_kernels::panel::{self, Panels, PanelsMut, panel_count, panel_len, transposed_len};
use ae_kernels::par::Crew;
use ae_kernels::simd::Element;
use ae_kernels::tile::{self, Forms, PairedTiles, Parts, split};
use ae_kernels::update::Rule;
use ae_kernels::workspace::AlignedBuf;
use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::peak;
use super::table::markdown;
use super::timing::{best_of, limit};
use super::train::{rounded, uniform_rows};

/// What to time.
#[derive(Args, Debug)]
pub(crate) struct RooflineBench {
    /// Encoder widths from input to encoding; the decoder mirrors them
    #[arg(long, value_delimiter = ',', default_value = "784,256,128,64,32")]
    dims: Vec<usize>,
    /// Rows per step, which is one block here
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// How products are computed
    #[arg(long, default_value = "plain", value_parser = ["plain", "split", "bf16"])]
    products: String,
    /// Seconds to time each product
    #[arg(long, default_value_t = 0.1)]
    seconds: f64,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

/// A layer at one batch size, with everything that its products read and write.
struct Layer {
    isa: Isa,
    inputs: usize,
    outputs: usize,
    rows: usize,
    weights: AlignedBuf<f32>,
    x: AlignedBuf<f32>,
    y: AlignedBuf<f32>,
    delta: AlignedBuf<f32>,
    dx: AlignedBuf<f32>,
}

impl RooflineBench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let isa = Isa::active()?;
        let limit = limit(self.seconds)?;
        if self.dims.len() < 2 || self.dims.contains(&0) || self.batch == 0 {
            return Err(Failure::Usage("--dims needs at least two widths, --batch at least 1".to_owned()));
        }
        let parts = match self.products.as_str() {
            "split" => Some(Parts::Three),
            "bf16" => Some(Parts::One),
            _ => None,
        };
        let peak = match parts {
            None => peak::of_multiply_adds::<f32>(isa, 1, limit)?,
            Some(parts) => tile_peak(isa, parts, limit),
        };
        if !self.json {
            println!("peak of {} on {isa}, one thread: {} GFLOP/s", self.products, rounded(peak, 1));
        }
        let mirrored: Vec<usize> = self.dims.iter().chain(self.dims.iter().rev().skip(1)).copied().collect();
        let mut rows = Vec::new();
        for (index, pair) in mirrored.windows(2).enumerate() {
            let mut layer = Layer::new(isa, pair[0], pair[1], rows_of(self.batch, parts));
            let measured = match parts {
                None => layer.plain(limit),
                Some(parts) => layer.on_tiles(parts, limit),
            };
            let flops = 2.0 * (pair[0] * pair[1] * self.batch) as f64;
            for (phase, (name, took)) in [1, 1, 2].into_iter().zip(measured) {
                if index == 0 && name == "backward_input" {
                    continue;
                }
                let gflops = flops / took.as_secs_f64() / 1e9;
                rows.push(json!({
                    "phase": phase,
                    "layer": format!("{}x{}", pair[0], pair[1]),
                    "product": name,
                    "us": rounded(took.as_secs_f64() * 1e6, 1),
                    "gflops": rounded(gflops, 1),
                    "percent_of_peak": rounded(100.0 * gflops / peak, 0),
                    "kib": layer.bytes(name, parts).div_ceil(1024),
                }));
            }
        }
        self.print(&rows);
        Ok(())
    }

    fn print(&self, rows: &[Value]) {
        if self.json {
            rows.iter().for_each(|row| println!("{row}"));
            return;
        }
        let columns = ["phase", "layer", "product", "us", "gflops", "percent_of_peak", "kib"];
        print!("{}", markdown(&columns, rows));
        let total: f64 = rows.iter().filter_map(|row| row["us"].as_f64()).sum();
        println!("all products together: {} us per step", rounded(total, 1));
        println!("kib: data that a product must read and write at least once, in KiB");
    }
}

/// Returns the number of rows that the products work on: on tiles, whole pairs of batch panels.
fn rows_of(batch: usize, parts: Option<Parts>) -> usize {
    if parts.is_some() { batch.next_multiple_of(2 * f32::PANEL) } else { batch }
}

impl Layer {
    fn new(isa: Isa, inputs: usize, outputs: usize, rows: usize) -> Layer {
        let filled = |len: usize| {
            let mut buffer = AlignedBuf::zeroed(len);
            buffer.as_mut_slice().copy_from_slice(&uniform_rows(len));
            buffer
        };
        let mut weights = filled(panel_len::<f32>(inputs + 1, outputs));
        weights.as_mut_slice().iter_mut().for_each(|w| *w -= 0.5);
        Layer {
            isa,
            inputs,
            outputs,
            rows,
            weights,
            x: filled(panel_len::<f32>(inputs, rows)),
            y: filled(panel_len::<f32>(outputs, rows)),
            delta: filled(panel_len::<f32>(outputs, rows)),
            dx: filled(panel_len::<f32>(inputs, rows)),
        }
    }

    fn whole(&self) -> WeightRange {
        WeightRange { panels: 0..panel_count::<f32>(self.outputs), rows: 0..self.inputs + 1 }
    }

    fn plain(&mut self, limit: Duration) -> [(&'static str, Duration); 3] {
        let whole = self.whole();
        let Layer { isa, inputs, outputs, rows, ref mut weights, ref x, ref mut y, ref delta, ref mut dx } =
            *self;
        let mut transposed = AlignedBuf::<f32>::zeroed(transposed_len::<f32>(outputs, rows));
        panel::transpose_deltas(isa, Panels::new(delta.as_slice(), outputs, rows), transposed.as_mut_slice());
        let blocking = Blocking::default();
        let of_x = Panels::new(x.as_slice(), inputs, rows);
        let forward = best_of(limit, || {
            let w = Panels::new(weights.as_slice(), inputs + 1, outputs);
            let y = PanelsMut::new(y.as_mut_slice(), outputs, rows);
            once(|| gemm::forward(isa, blocking, w, of_x, y, Activation::Relu))
        });
        let backward = best_of(limit, || {
            let w = Panels::new(weights.as_slice(), inputs + 1, outputs);
            let delta = Panels::new(delta.as_slice(), outputs, rows);
            let dx = PanelsMut::new(dx.as_mut_slice(), inputs, rows);
            once(|| gemm::backward_input(isa, blocking, w, 0, delta, (of_x, Activation::Relu), dx))
        });
        let of = |data, panel_len| BatchPanels {
            data,
            block_len: 0,
            offset: 0,
            panel_len,
            block_panels: panel_count::<f32>(rows),
            rows,
        };
        let x = of(x.as_slice(), inputs * f32::PANEL);
        let delta = of(transposed.as_slice(), transposed_len::<f32>(outputs, f32::PANEL));
        let gradient = best_of(limit, || {
            let (rule, weights) = (Rule::Sgd { step: 1e-9 }, weights.as_mut_slice());
            once(|| {
                gemm::weight_gradient(
                    isa,
                    blocking,
                    (inputs, outputs),
                    &whole,
                    x,
                    delta,
                    (Round::whole(), rule),
                    weights,
                    &mut [],
                );
            })
        });
        [("forward", forward), ("backward_input", backward), ("weight_gradient", gradient)]
    }

    fn on_tiles(&mut self, parts: Parts, limit: Duration) -> [(&'static str, Duration); 3] {
        let whole = self.whole();
        let Layer { isa, inputs, outputs, rows, ref mut weights, ref x, ref mut y, ref delta, .. } = *self;
        let (panels, pairs) = (panel_count::<f32>(rows), panel_count::<f32>(rows) / 2);
        let buffer = AlignedBuf::<f32>::zeroed;
        let mut of_rows = buffer(panels * split::panel_len(parts, inputs));
        let mut of_features = buffer(panels * split::panel_len(parts, outputs));
        let (x_len, delta_len) = (split::pair_len(parts, inputs), split::pair_len(parts, outputs));
        let (mut of_inputs, mut of_transposed) = (buffer(pairs * x_len), buffer(pairs * delta_len));
        let of_x = Panels::new(x.as_slice(), inputs, rows);
        let of_delta = Panels::new(delta.as_slice(), outputs, rows);
        split::rows(isa, parts, of_x, of_rows.as_mut_slice());
        split::features(isa, parts, of_delta, of_features.as_mut_slice());
        split::inputs(isa, parts, of_x, of_inputs.as_mut_slice(), x_len);
        split::transposed(isa, parts, of_delta, of_transposed.as_mut_slice(), delta_len);
        let mut scratch = buffer(tile::scratch_len(parts, panels));
        let (mut next, mut kept) = (buffer(of_features.as_slice().len()), buffer(pairs * delta_len));
        let forward = best_of(limit, || {
            let w = Panels::new(weights.as_slice(), inputs + 1, outputs);
            let y = PanelsMut::new(y.as_mut_slice(), outputs, rows);
            let forms =
                Forms { next: Some(next.as_mut_slice()), kept: Some(kept.as_mut_slice()), stride: delta_len };
            let (x, scratch) = (of_rows.as_slice(), scratch.as_mut_slice());
            once(|| tile::forward((isa, Crew::SOLO), parts, w, x, y, Activation::Relu, Some(forms), scratch))
        });
        let (mut next, mut kept) = (buffer(of_rows.as_slice().len()), buffer(pairs * x_len));
        let backward = best_of(limit, || {
            let w = Panels::new(weights.as_slice(), inputs + 1, outputs);
            let forms =
                Forms { next: Some(next.as_mut_slice()), kept: Some(kept.as_mut_slice()), stride: x_len };
            let (delta, scratch) = (of_features.as_slice(), scratch.as_mut_slice());
            let below = (of_x, Activation::Relu);
            once(|| tile::backward_input((isa, Crew::SOLO), parts, w, delta, below, forms, None, scratch))
        });
        let x = PairedTiles { data: of_inputs.as_slice(), offset: 0, stride: x_len, pairs };
        let delta = PairedTiles { data: of_transposed.as_slice(), offset: 0, stride: delta_len, pairs };
        let gradient = best_of(limit, || {
            let (rule, weights) = (Rule::Sgd { step: 1e-9 }, weights.as_mut_slice());
            once(|| tile::weight_gradient(isa, parts, inputs, &whole, x, delta, rule, weights, &mut []))
        });
        [("forward", forward), ("backward_input", backward), ("weight_gradient", gradient)]
    }

    /// Returns the minimum number of bytes that a product reads and writes.
    fn bytes(&self, product: &str, parts: Option<Parts>) -> usize {
        let (weights, x, y) = (self.inputs * self.outputs, self.inputs * self.rows, self.outputs * self.rows);
        // A part has two bytes per value, and results are written in two forms in addition to the
        // values.
        let of = |values: usize| parts.map_or(4, |parts| 2 * parts.count()) * values;
        let out = |values: usize| if parts.is_some() { 2 * of(values) } else { 4 * values };
        match product {
            "forward" => 4 * weights + of(x) + out(y) + if parts.is_some() { 4 * y } else { 0 },
            "backward_input" => 4 * weights + of(y) + 4 * x + out(x),
            _ => 8 * weights + of(x) + of(y),
        }
    }
}

fn once(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Measures the GFLOP/s of products of the same four tiles, repeated many times.
fn tile_peak(isa: Isa, parts: Parts, limit: Duration) -> f64 {
    const PAIRS: usize = 2000;
    let (rows, features) = (32, 32);
    let values = uniform_rows(panel_len::<f32>(features, rows));
    let view = Panels::new(&values, features, rows);
    let len = split::pair_len(parts, features);
    let (mut x, mut delta) = (AlignedBuf::<f32>::zeroed(len), AlignedBuf::<f32>::zeroed(len));
    split::inputs(isa, parts, view, x.as_mut_slice(), len);
    split::transposed(isa, parts, view, delta.as_mut_slice(), len);
    let of = |tiles| PairedTiles { data: tiles, offset: 0, stride: 0, pairs: PAIRS };
    let mut weights = AlignedBuf::<f32>::zeroed(panel_len::<f32>(features + 1, features));
    // Without the bias row, whose sum is not a product.
    let range = WeightRange { panels: 0..2, rows: 0..features };
    let took = best_of(limit, || {
        let weights = &mut weights.as_mut_slice()[..range.elements::<f32>()];
        let rule = Rule::Sgd { step: 1e-9 };
        let (x, delta) = (of(x.as_slice()), of(delta.as_slice()));
        once(|| tile::weight_gradient(isa, parts, features, &range, x, delta, rule, weights, &mut []))
    });
    2.0 * (features * features * rows * PAIRS) as f64 / took.as_secs_f64() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_is_measured() {
        for (products, parts) in [("plain", None), ("split", Some(Parts::Three)), ("bf16", Some(Parts::One))]
        {
            let bench = RooflineBench {
                dims: vec![40, 20, 5],
                batch: 20,
                products: products.to_owned(),
                seconds: 0.0,
                json: true,
            };
            bench.run().unwrap();
            let layer = Layer::new(Isa::best(), 40, 20, 20);
            assert!(layer.bytes("forward", parts) > 4 * 40 * 20);
        }
    }

    #[test]
    fn peaks_are_numbers() {
        assert!(tile_peak(Isa::best(), Parts::Three, Duration::ZERO) > 0.0);
    }
}
