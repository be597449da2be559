//! The products on tiles, on every instruction set: operands split in three, against naive f64 loops and
//! the error of `f32` itself; operands rounded to bf16, against the same loops over rounded operands;
//! and the emulation against the tiles, bit for bit.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_kernels::Isa;
use ae_kernels::activation::{Activation, Epilogue};
use ae_kernels::gemm::WeightRange;
use ae_kernels::panel::{self, Panels, PanelsMut, panel_count, panel_len};
use ae_kernels::par::{Crew, Pool};
use ae_kernels::tile::{self, Forms, PairedTiles, Parts, split};
use ae_kernels::update::Rule;
use ae_kernels::workspace::AlignedBuf;
use ae_testing::naive;
use ae_testing::random::SplitMix64;
use ae_testing::tolerance::{Tolerance, assert_close, matmul_bound};
use proptest::prelude::*;

const BOTH: [Parts; 2] = [Parts::One, Parts::Three];

/// The data of one layer, row-major.
struct Case {
    rows: usize,
    inputs: usize,
    outputs: usize,
    /// `[inputs, outputs]`
    weights: Vec<f32>,
    bias: Vec<f32>,
    /// `[rows, inputs]`
    x: Vec<f32>,
    /// `[rows, outputs]`
    delta: Vec<f32>,
}

impl Case {
    fn new([rows, inputs, outputs]: [usize; 3]) -> Case {
        let mut random = SplitMix64::new((rows * 1_000_003 + inputs * 1_009 + outputs) as u64);
        let mut draw = |len| random.uniform_f32s(len, -1.0, 1.0);
        Case {
            rows,
            inputs,
            outputs,
            weights: draw(inputs * outputs),
            bias: draw(outputs),
            x: draw(rows * inputs),
            delta: draw(rows * outputs),
        }
    }

    /// Multiplies every value by `2^e`, with `e` drawn from `-spread..=spread`.
    fn badly_scaled(mut self, spread: u32) -> Case {
        let mut random = SplitMix64::new(u64::from(spread));
        for x in self.weights.iter_mut().chain(&mut self.x).chain(&mut self.delta) {
            let exponent = random.below(2 * spread as usize + 1) as i32 - spread as i32;
            *x *= 2f32.powi(exponent);
        }
        self
    }

    fn panels(&self) -> usize {
        panel_count::<f32>(self.rows).next_multiple_of(2)
    }

    fn name(&self, what: &str, isa: Isa) -> String {
        format!("{what} {}x{}x{} on {isa}", self.rows, self.inputs, self.outputs)
    }

    /// `[inputs + 1, outputs]` in panels.
    fn layer(&self) -> AlignedBuf<f32> {
        let values: Vec<f32> = self.weights.iter().chain(&self.bias).copied().collect();
        packed(&values, self.inputs + 1, self.outputs)
    }

    /// A batch `[rows, features]` in an even number of panels, with zeros beyond the rows.
    fn batch(&self, values: &[f32], features: usize) -> AlignedBuf<f32> {
        let cols = self.panels() * 16;
        let mut wide = vec![0.0; features * cols];
        for row in 0..self.rows {
            for feature in 0..features {
                wide[feature * cols + row] = values[row * features + feature];
            }
        }
        packed(&wide, features, cols)
    }
}

fn packed(values: &[f32], rows: usize, cols: usize) -> AlignedBuf<f32> {
    let mut buffer = AlignedBuf::zeroed(panel_len::<f32>(rows, cols));
    panel::pack(values, PanelsMut::new(buffer.as_mut_slice(), rows, cols));
    buffer
}

/// The `[rows, features]` table that a batch holds.
fn table(batch: &AlignedBuf<f32>, rows: usize, features: usize, panels: usize) -> Vec<f32> {
    let view = Panels::new(batch.as_slice(), features, panels * 16);
    (0..rows * features).map(|i| view.get(i % features, i / features)).collect()
}

fn forward(case: &Case, isa: Isa, parts: Parts) -> Vec<f32> {
    forward_with(case, isa, parts, Activation::Linear)
}

fn forward_with<'a>(case: &Case, isa: Isa, parts: Parts, epilogue: impl Into<Epilogue<'a, f32>>) -> Vec<f32> {
    forward_shared(case, isa, parts, epilogue, (Crew::SOLO, 1))
}

/// The forward product with scratch memory for `threads` threads.
fn forward_shared<'a>(
    case: &Case,
    isa: Isa,
    parts: Parts,
    epilogue: impl Into<Epilogue<'a, f32>>,
    (crew, threads): (Crew<'_>, usize),
) -> Vec<f32> {
    let epilogue = epilogue.into();
    let keeps_zero = !matches!(epilogue.activation, Activation::Sigmoid | Activation::Softplus);
    let q = case.panels();
    let (layer, x) = (case.layer(), case.batch(&case.x, case.inputs));
    let mut tiles = AlignedBuf::zeroed(q * split::panel_len(parts, case.inputs));
    split::rows(isa, parts, Panels::new(x.as_slice(), case.inputs, q * 16), tiles.as_mut_slice());
    let mut y = AlignedBuf::zeroed(panel_len::<f32>(case.outputs, q * 16));
    let mut scratch = AlignedBuf::zeroed(threads * tile::scratch_len(parts, q));
    let (mut next, mut kept) =
        (vec![0.0; q * split::panel_len(parts, case.outputs)], kept(parts, q, case.outputs));
    let stride = split::pair_len(parts, case.outputs);
    tile::forward(
        (isa, crew),
        parts,
        Panels::new(layer.as_slice(), case.inputs + 1, case.outputs),
        tiles.as_slice(),
        PanelsMut::new(y.as_mut_slice(), case.outputs, q * 16),
        epilogue,
        Some(Forms { next: Some(&mut next), kept: Some(&mut kept), stride }),
        scratch.as_mut_slice(),
    );
    // The other forms must hold the result. They are not compared if it is not finite, since their
    // padding may not be finite either, or if the activation does not map 0 to 0: their padding need not
    // be zero then, because the weights it is multiplied by are.
    if !keeps_zero || y.as_slice().iter().any(|y| !y.is_finite()) {
        return table(&y, case.rows, case.outputs, q);
    }
    let view = Panels::new(y.as_slice(), case.outputs, q * 16);
    let mut expected = vec![0.0; next.len()];
    split::rows(isa, parts, view, &mut expected);
    assert_eq!(bits(&next), bits(&expected), "{} {parts:?}", case.name("rows of forward", isa));
    let mut expected = vec![0.0; kept.len()];
    split::inputs(isa, parts, view, &mut expected, stride);
    assert_eq!(bits(&kept), bits(&expected), "{} {parts:?}", case.name("inputs of forward", isa));
    table(&y, case.rows, case.outputs, q)
}

fn kept(parts: Parts, panels: usize, features: usize) -> Vec<f32> {
    vec![0.0; panels / 2 * split::pair_len(parts, features)]
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Adds up the parts of the value in one half of a word.
fn half(tiles: &[f32], parts: Parts, tile: usize, place: usize, high: bool) -> f32 {
    let part = |p: usize| {
        let word = tiles[(tile * parts.count() + p) * 256 + place].to_bits();
        f32::from_bits(if high { word & 0xffff_0000 } else { word << 16 })
    };
    (0..parts.count()).rev().map(part).fold(0.0, |sum, x| sum + x)
}

fn backward_input(case: &Case, isa: Isa, parts: Parts) -> Vec<f32> {
    backward_shared(case, isa, parts, (Crew::SOLO, 1))
}

/// Returns `dx`, reassembled from its transposed form, computed with scratch memory for `threads`
/// threads.
fn backward_shared(case: &Case, isa: Isa, parts: Parts, (crew, threads): (Crew<'_>, usize)) -> Vec<f32> {
    let q = case.panels();
    let (layer, x) = (case.layer(), case.batch(&case.x, case.inputs));
    let delta = case.batch(&case.delta, case.outputs);
    let mut tiles = AlignedBuf::zeroed(q * split::panel_len(parts, case.outputs));
    split::features(isa, parts, Panels::new(delta.as_slice(), case.outputs, q * 16), tiles.as_mut_slice());
    let mut scratch = AlignedBuf::zeroed(threads * tile::scratch_len(parts, q));
    let (mut next, mut kept) =
        (vec![0.0; q * split::panel_len(parts, case.inputs)], kept(parts, q, case.inputs));
    let stride = split::pair_len(parts, case.inputs);
    let mut dx = AlignedBuf::zeroed(panel_len::<f32>(case.inputs, q * 16));
    tile::backward_input(
        (isa, crew),
        parts,
        Panels::new(layer.as_slice(), case.inputs + 1, case.outputs),
        tiles.as_slice(),
        (Panels::new(x.as_slice(), case.inputs, q * 16), Activation::Relu),
        Forms { next: Some(&mut next), kept: Some(&mut kept), stride },
        Some(PanelsMut::new(dx.as_mut_slice(), case.inputs, q * 16)),
        scratch.as_mut_slice(),
    );
    let panels = panel_count::<f32>(case.inputs);
    let value = |row: usize, input: usize| {
        let place = row % 16 * 16 + input % 16;
        half(&kept, parts, row / 32 * panels + input / 16, place, row % 32 >= 16)
    };
    if parts == Parts::Three {
        // The panels must hold the values that were split.
        let of_panels = table(&dx, case.rows, case.inputs, q);
        let split: Vec<f32> =
            (0..case.rows * case.inputs).map(|i| value(i / case.inputs, i % case.inputs)).collect();
        assert_eq!(bits(&of_panels), bits(&split), "{}", case.name("dx in panels", isa));
    }
    // The other form must hold the same values.
    let depth = case.inputs.div_ceil(32);
    for row in 0..case.rows {
        for input in 0..case.inputs {
            let place = input % 16 * 16 + row % 16;
            let same = half(&next, parts, row / 16 * depth + input / 32, place, input % 32 >= 16);
            assert_eq!(same.to_bits(), value(row, input).to_bits(), "row {row}, input {input}");
        }
    }
    (0..case.rows * case.inputs).map(|i| value(i / case.inputs, i % case.inputs)).collect()
}

/// Returns the weight gradient `[inputs + 1, outputs]`, computed in ranges of at most `most` rows.
fn weight_gradient(case: &Case, isa: Isa, parts: Parts, most: usize) -> Vec<f32> {
    let q = case.panels();
    let (x, delta) = (case.batch(&case.x, case.inputs), case.batch(&case.delta, case.outputs));
    // The tiles of both operands of a pair of batch panels lie next to each other, as in a training
    // step.
    let (of_x, of_delta) = (split::pair_len(parts, case.inputs), split::pair_len(parts, case.outputs));
    let stride = of_x + of_delta;
    let mut tiles = AlignedBuf::zeroed(q / 2 * stride);
    let tiles = tiles.as_mut_slice();
    if q > 0 {
        split::inputs(isa, parts, Panels::new(x.as_slice(), case.inputs, q * 16), tiles, stride);
        let at = &mut tiles[of_x..];
        split::transposed(isa, parts, Panels::new(delta.as_slice(), case.outputs, q * 16), at, stride);
    }
    let operand = |offset| PairedTiles { data: &*tiles, offset, stride, pairs: q / 2 };
    let mut gradient = AlignedBuf::<f32>::zeroed(panel_len::<f32>(case.inputs + 1, case.outputs));
    let (lines, panels) = (case.inputs + 1, panel_count::<f32>(case.outputs));
    let mut ranges = Vec::new();
    for panel in 0..panels {
        let mut row = 0;
        while row < lines {
            let end = if lines - row <= most { lines } else { row + most };
            ranges.push(WeightRange { panels: panel..panel + 1, rows: row..end });
            row = end;
        }
    }
    if most >= lines {
        ranges = vec![WeightRange { panels: 0..panels, rows: 0..lines }];
    }
    let mut rest = gradient.as_mut_slice();
    for range in &ranges {
        let (part, after) = rest.split_at_mut(range.elements::<f32>());
        rest = after;
        let rule = Rule::Gradient { scale: 1.0 };
        tile::weight_gradient(isa, parts, case.inputs, range, operand(0), operand(of_x), rule, part, &mut []);
    }
    let mut values = vec![0.0; lines * case.outputs];
    panel::unpack(Panels::new(gradient.as_slice(), lines, case.outputs), &mut values);
    values
}

/// Rounds to bf16, ties to even.
fn rounded(values: &[f32]) -> Vec<f64> {
    let round = |x: &f32| {
        let bits = x.to_bits();
        f64::from(f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000))
    };
    values.iter().map(round).collect()
}

fn operand(parts: Parts, values: &[f32]) -> Vec<f64> {
    if parts == Parts::One { rounded(values) } else { naive::widen(values) }
}

/// Checks all products against naive f64 loops over the values that the parts represent.
fn check(case: &Case, isa: Isa, parts: Parts) {
    let (m, n, k) = (case.rows, case.outputs, case.inputs);
    let x = operand(parts, &case.x);
    let w = operand(parts, &case.weights);
    let delta = operand(parts, &case.delta);

    let mut expected = naive::matmul([m, k, n], &x, &w);
    let mut bounds = matmul_bound::<f32>([m, k, n], &x, &w);
    for i in 0..m * n {
        expected[i] += f64::from(case.bias[i % n]);
        bounds[i] += f64::from(f32::EPSILON) * 2.0;
    }
    let name = case.name("forward", isa);
    assert_close(&name, &forward(case, isa, parts), &expected, Tolerance::Each(&bounds));

    let wt = naive::transpose([k, n], &w);
    let mut expected = naive::matmul([m, n, k], &delta, &wt);
    let bounds = matmul_bound::<f32>([m, n, k], &delta, &wt);
    for (e, x) in expected.iter_mut().zip(&case.x) {
        *e *= if *x > 0.0 { 1.0 } else { 0.0 };
    }
    // With one part, the result is rounded once more.
    let last = if parts == Parts::One { 2f64.powi(-8) } else { 0.0 };
    let bounds: Vec<f64> =
        bounds.iter().zip(&expected).map(|(bound, e)| bound * 1.01 + last * e.abs()).collect();
    let name = case.name("backward_input", isa);
    assert_close(&name, &backward_input(case, isa, parts), &expected, Tolerance::Each(&bounds));

    let mut xt = naive::transpose([m, k], &x);
    xt.extend(vec![1.0; m]);
    let expected = naive::matmul([k + 1, m, n], &xt, &delta);
    let bounds = matmul_bound::<f32>([k + 1, m, n], &xt, &delta);
    for most in [16, 48, 100_000] {
        let got = weight_gradient(case, isa, parts, most);
        assert_close(&case.name("weight_gradient", isa), &got, &expected, Tolerance::Each(&bounds));
    }
}

const SHAPES: [[usize; 3]; 14] = [
    [1, 1, 1],
    [16, 16, 16],
    [32, 32, 32],
    [33, 33, 33],
    [17, 31, 15],
    [1, 100, 10],
    [7, 10, 100],
    [0, 5, 7],
    [5, 0, 7],
    [5, 7, 0],
    [64, 47, 65],
    [40, 530, 3],
    [3, 5, 530],
    [130, 64, 48],
];

#[test]
fn products_of_awkward_shapes() {
    for isa in Isa::available() {
        for shape in SHAPES {
            for parts in BOTH {
                check(&Case::new(shape), isa, parts);
            }
        }
    }
}

/// The emulation gives the bits of the tiles, so a mixed-precision model trains identically on every
/// machine.
#[test]
fn every_instruction_set_gives_the_same_bits() {
    for shape in SHAPES {
        for parts in BOTH {
            let case = Case::new(shape);
            let results: Vec<_> = Isa::available()
                .map(|isa| {
                    [
                        forward(&case, isa, parts),
                        backward_input(&case, isa, parts),
                        weight_gradient(&case, isa, parts, 48),
                    ]
                    .map(|values| bits(&values))
                })
                .collect();
            assert!(results.iter().all(|result| *result == results[0]), "{shape:?} in {parts:?}");
        }
    }
}

#[test]
fn threads_that_share_a_product_change_no_bit() {
    let pool = Pool::new(Some(5)).unwrap();
    for isa in Isa::available() {
        for (shape, parts) in SHAPES.into_iter().flat_map(|shape| BOTH.map(|parts| (shape, parts))) {
            let case = Case::new(shape);
            let alone = [forward(&case, isa, parts), backward_input(&case, isa, parts)].map(|y| bits(&y));
            // With all threads, and with fewer for lack of memory.
            for crew in [(pool.crew(), 5), (pool.crew(), 2)] {
                let shared = [
                    forward_shared(&case, isa, parts, Activation::Linear, crew),
                    backward_shared(&case, isa, parts, crew),
                ];
                assert!(shared.map(|y| bits(&y)) == alone, "{}", case.name("shared products", isa));
            }
        }
    }
}

/// Root mean square of the errors, relative to that of the magnitudes `Σ |x||w|`.
fn error(got: &[f32], expected: &[f64], magnitudes: &[f64]) -> f64 {
    let squares: f64 = got.iter().zip(expected).map(|(g, e)| (f64::from(*g) - e).powi(2)).sum();
    let scale: f64 = magnitudes.iter().map(|m| m * m).sum();
    (squares / scale).sqrt()
}

/// The product in `f32`, one chain of fused multiply-adds per element.
fn fma_chain([m, k, n]: [usize; 3], x: &[f32], w: &[f32]) -> Vec<f32> {
    (0..m * n).map(|i| (0..k).fold(0.0, |sum, p| x[i / n * k + p].mul_add(w[p * n + i % n], sum))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Splitting is no less exact than `f32`: over a few hundred sums of at least 64 terms, its error is
    /// at most that of chains of fused multiply-adds, however the terms are scaled (about half of it;
    /// four fifths where few terms dominate). Any sum is within a few roundings of the magnitude of its
    /// terms, one per product of tiles.
    #[test]
    fn splitting_is_as_exact_as_f32(
        rows in 1usize..40, inputs in 1usize..400, outputs in 1usize..40, spread in 0u32..12,
    ) {
        let mut case = Case::new([rows, inputs, outputs]).badly_scaled(spread);
        case.bias.fill(0.0);
        let sizes = [rows, inputs, outputs];
        let (x, w) = (naive::widen(&case.x), naive::widen(&case.weights));
        let abs = |values: &[f64]| values.iter().map(|x| x.abs()).collect::<Vec<_>>();
        let expected = naive::matmul(sizes, &x, &w);
        let magnitudes = naive::matmul(sizes, &abs(&x), &abs(&w));
        let of_fma = error(&fma_chain(sizes, &case.x, &case.weights), &expected, &magnitudes);
        for isa in Isa::available() {
            let of_split = error(&forward(&case, isa, Parts::Three), &expected, &magnitudes);
            let many = inputs >= 64 && rows * outputs >= 400;
            let sums = 2.0 + inputs as f64 / 32.0;
            let allowed = if many { of_fma } else { f64::from(f32::EPSILON) * sums };
            prop_assert!(of_split <= allowed, "{sizes:?} on {isa}: {of_split:e} instead of {of_fma:e}");
        }
    }
}

/// Values that cannot be split give a result that is not finite, never a wrong number: infinities, NaN
/// with any payload, and numbers that round to infinity. Denormal operands count as zero at worst.
#[test]
fn the_ends_of_the_range() {
    for isa in Isa::available() {
        for parts in BOTH {
            for bad in [
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
                f32::from_bits(0x7fff_ffff),
                f32::from_bits(0xff80_0001),
            ] {
                let mut case = Case::new([3, 40, 5]);
                case.x[45] = bad;
                let y = forward(&case, isa, parts);
                assert!(y[5..10].iter().all(|y| !y.is_finite()), "{bad} in {parts:?} on {isa}: {y:?}");
                assert!(y[..5].iter().all(|y| y.is_finite()));
            }
            let mut case = Case::new([1, 1, 1]);
            case.bias[0] = 0.0;
            case.weights[0] = 1.0;
            for large in [f32::MAX, 3.395e38, -3.3e38] {
                case.x[0] = large;
                let y = forward(&case, isa, parts)[0];
                let close = ((f64::from(y) - f64::from(large)) / f64::from(large)).abs() < 0.01;
                assert!(close || !y.is_finite(), "{large} became {y} in {parts:?} on {isa}");
            }
            for small in [f32::MIN_POSITIVE, f32::MIN_POSITIVE / 3.0, f32::from_bits(1)] {
                case.x[0] = small;
                let y = forward(&case, isa, parts)[0];
                assert!((y - small).abs() <= f32::MIN_POSITIVE, "{small} became {y} in {parts:?} on {isa}");
            }
        }
    }
}

/// In one part, numbers are rounded to nearest, ties to even, into infinity from halfway beyond the largest
/// on; NaN stays NaN, and denormal numbers count as zero at worst.
#[test]
fn one_part_is_rounded_to_even() {
    let upper = [0u32, 0x0001, 0x0080, 0x0081, 0x3f80, 0x3f81, 0x42ff, 0x7eff, 0x7f7f, 0x7f80, 0x7fc1];
    let lower = [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
    let signs = [0u32, 0x8000_0000];
    let values: Vec<f32> = upper
        .into_iter()
        .flat_map(|upper| lower.map(|lower| upper << 16 | lower))
        .flat_map(|bits| signs.map(|sign| f32::from_bits(sign | bits)))
        .collect();
    // One row per value, beside its neighbour in the other half of a word.
    let case = Case::new([values.len(), 17, 1]);
    let table: Vec<f32> = (0..values.len() * 17).map(|i| values[(i / 17 + i % 17) % values.len()]).collect();
    let (q, batch) = (case.panels(), case.batch(&table, 17));
    for isa in Isa::available() {
        let mut tiles = vec![0.0; q * split::panel_len(Parts::One, 17)];
        split::rows(isa, Parts::One, Panels::new(batch.as_slice(), 17, q * 16), &mut tiles);
        for (i, value) in table.iter().enumerate() {
            let (row, feature) = (i / 17, i % 17);
            let got = half(&tiles, Parts::One, row / 16, row % 16 * 16 + feature % 16, feature >= 16);
            let bits = value.to_bits();
            let even = f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000);
            let right = match () {
                () if value.is_nan() => got.is_nan(),
                () if value.is_subnormal() => got == 0.0 || got == even,
                () => got == even,
            };
            assert!(right, "{value:e} ({bits:08x}) became {got:e} on {isa}");
        }
    }
}

/// The update is that of the plain product, with the gradient computed here.
#[test]
fn updates_are_applied() {
    let case = Case::new([20, 33, 18]);
    for isa in Isa::available() {
        let gradient = weight_gradient(&case, isa, Parts::Three, 100_000);
        let q = case.panels();
        let (x, delta) = (case.batch(&case.x, 33), case.batch(&case.delta, 18));
        let (of_x, of_delta) = (split::pair_len(Parts::Three, 33), split::pair_len(Parts::Three, 18));
        let (mut xs, mut ds) = (vec![0.0; of_x], vec![0.0; of_delta]);
        split::inputs(isa, Parts::Three, Panels::new(x.as_slice(), 33, q * 16), &mut xs, of_x);
        split::transposed(isa, Parts::Three, Panels::new(delta.as_slice(), 18, q * 16), &mut ds, of_delta);
        let mut layer = case.layer();
        tile::weight_gradient(
            isa,
            Parts::Three,
            33,
            &WeightRange { panels: 0..2, rows: 0..34 },
            PairedTiles { data: &xs, offset: 0, stride: of_x, pairs: 1 },
            PairedTiles { data: &ds, offset: 0, stride: of_delta, pairs: 1 },
            Rule::Sgd { step: 0.5 },
            layer.as_mut_slice(),
            &mut [],
        );
        let mut updated = vec![0.0; 34 * 18];
        panel::unpack(Panels::new(layer.as_slice(), 34, 18), &mut updated);
        let before: Vec<f32> = case.weights.iter().chain(&case.bias).copied().collect();
        let expected: Vec<f64> =
            before.iter().zip(&gradient).map(|(w, g)| f64::from(*w) - 0.5 * f64::from(*g)).collect();
        assert_close("sgd", &updated, &expected, Tolerance::Absolute(1e-6));
    }
}

/// The activation and slopes in the epilogue equal those computed separately from the sums, bit for bit.
#[test]
fn epilogues_write_slopes() {
    for isa in Isa::available() {
        for (rows, inputs, outputs) in [(1, 3, 5), (17, 33, 16), (40, 20, 47)] {
            let case = Case::new([rows, inputs, outputs]);
            let q = case.panels();
            for activation in Activation::ALL {
                let mut z = forward(&case, isa, Parts::Three);
                let mut expected = vec![0.0; z.len()];
                activation.apply_with_slopes(isa, &mut z, &mut expected);
                let mut slopes = AlignedBuf::zeroed(panel_len::<f32>(outputs, q * 16));
                let slots = PanelsMut::new(slopes.as_mut_slice(), outputs, q * 16);
                let y = forward_with(&case, isa, Parts::Three, Epilogue { activation, slopes: Some(slots) });
                assert_eq!(bits(&y), bits(&z), "{activation:?} {}", case.name("output", isa));
                let slopes = table(&slopes, rows, outputs, q);
                assert_eq!(bits(&slopes), bits(&expected), "{activation:?} {}", case.name("slopes", isa));
            }
        }
    }
}
