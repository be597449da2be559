//! The three products on awkward shapes and tiny blocks, on every instruction set, against naive f64
//! loops and the `matrixmultiply` crate.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_kernels::activation::{Activation, Epilogue};
use ae_kernels::gemm::{self, BatchPanels, Blocking, Round, WeightRange};
use ae_kernels::panel::{self, Panels, PanelsMut, panel_count, panel_len, transposed_len};
use ae_kernels::update::Rule;
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};
use ae_testing::naive;
use ae_testing::random::SplitMix64;
use ae_testing::shapes;
use ae_testing::tolerance::{Float, Tolerance, assert_close, dot_bound, matmul_bound};

/// Block sizes from a single step to more than the whole product.
const BLOCKINGS: [usize; 5] = [1, 3, 16, 17, 10_000];

fn blocking(kc: usize) -> Blocking {
    Blocking { kc, nc: 2 * kc }
}

/// The data of one layer: row-major `f64` values that both types represent exactly.
struct Case {
    inputs: usize,
    outputs: usize,
    rows: usize,
    /// `[inputs, outputs]`
    weights: Vec<f64>,
    bias: Vec<f64>,
    /// `[rows, inputs]`
    x: Vec<f64>,
    /// `[rows, outputs]`
    delta: Vec<f64>,
}

impl Case {
    fn new([rows, inputs, outputs]: [usize; 3]) -> Case {
        let mut random = SplitMix64::new((rows * 1_000_003 + inputs * 1_009 + outputs) as u64);
        let mut draw = |len| naive::widen(&random.uniform_f32s(len, -1.0, 1.0));
        Case {
            inputs,
            outputs,
            rows,
            weights: draw(inputs * outputs),
            bias: draw(outputs),
            x: draw(rows * inputs),
            delta: draw(rows * outputs),
        }
    }

    fn name(&self, what: &str, isa: Isa) -> String {
        format!("{what} {}x{}x{} on {isa}", self.rows, self.inputs, self.outputs)
    }
}

/// Packs the transpose of a row-major `[rows, cols]` matrix: feature-major, the layout of a batch.
fn batch<T: Element>(values: &[f64], rows: usize, cols: usize) -> AlignedBuf<T> {
    let transposed: Vec<T> = naive::transpose([rows, cols], values).into_iter().map(T::from_f64).collect();
    packed(&transposed, cols, rows)
}

fn packed<T: Element>(values: &[T], rows: usize, cols: usize) -> AlignedBuf<T> {
    let mut buffer = AlignedBuf::zeroed(panel_len::<T>(rows, cols));
    panel::pack(values, PanelsMut::new(buffer.as_mut_slice(), rows, cols));
    buffer
}

/// Returns the row-major `[cols, rows]` table that a feature-major matrix represents.
fn table<T: Element>(panels: Panels<'_, T>) -> Vec<T> {
    let mut values = Vec::with_capacity(panels.rows() * panels.cols());
    for col in 0..panels.cols() {
        values.extend((0..panels.rows()).map(|row| panels.get(row, col)));
    }
    values
}

fn layer<T: Element>(case: &Case) -> AlignedBuf<T> {
    let rows: Vec<T> = case.weights.iter().chain(&case.bias).map(|x| T::from_f64(*x)).collect();
    packed(&rows, case.inputs + 1, case.outputs)
}

fn nan<T: Element>(len: usize) -> AlignedBuf<T> {
    let mut buffer = AlignedBuf::zeroed(len);
    buffer.as_mut_slice().fill(T::from_f64(f64::NAN));
    buffer
}

/// Returns the outputs of a layer for the rows of `x`, row by row. The previous contents of the output
/// must not matter.
fn forward<'a, T: Element>(
    isa: Isa,
    blocking: Blocking,
    [rows, inputs, outputs]: [usize; 3],
    weights: &AlignedBuf<T>,
    x: &AlignedBuf<T>,
    epilogue: impl Into<Epilogue<'a, T>>,
) -> Vec<T> {
    let mut y = nan::<T>(panel_len::<T>(outputs, rows));
    gemm::forward(
        isa,
        blocking,
        Panels::new(weights.as_slice(), inputs + 1, outputs),
        Panels::new(x.as_slice(), inputs, rows),
        PanelsMut::new(y.as_mut_slice(), outputs, rows),
        epilogue,
    );
    table(Panels::new(y.as_slice(), outputs, rows))
}

fn check_forward<T: Element + Float>(isa: Isa, case: &Case, kc: usize) {
    let Case { inputs, outputs, rows, .. } = *case;
    let (weights, x) = (layer::<T>(case), batch::<T>(&case.x, rows, inputs));
    let got = forward(isa, blocking(kc), [rows, inputs, outputs], &weights, &x, Activation::Relu);
    let mut expected = naive::matmul([rows, inputs, outputs], &case.x, &case.weights);
    let mut bounds = matmul_bound::<T>([rows, inputs, outputs], &case.x, &case.weights);
    for (i, value) in expected.iter_mut().enumerate() {
        *value = (*value + case.bias[i % outputs]).max(0.0);
        bounds[i] += dot_bound::<T>(inputs, case.bias[i % outputs].abs());
    }
    assert_close(&case.name("forward", isa), &got, &expected, Tolerance::Each(&bounds));
}

fn check_backward<T: Element + Float>(isa: Isa, case: &Case, kc: usize) {
    let Case { inputs, outputs, rows, .. } = *case;
    let (weights, delta) = (layer::<T>(case), batch::<T>(&case.delta, rows, outputs));
    let below = batch::<T>(&case.x, rows, inputs);
    let mut dx = nan::<T>(panel_len::<T>(inputs, rows));
    gemm::backward_input(
        isa,
        blocking(kc),
        Panels::new(weights.as_slice(), inputs + 1, outputs),
        0,
        Panels::new(delta.as_slice(), outputs, rows),
        (Panels::new(below.as_slice(), inputs, rows), Activation::Relu),
        PanelsMut::new(dx.as_mut_slice(), inputs, rows),
    );
    let mut expected = naive::matmul_nt([rows, outputs, inputs], &case.delta, &case.weights);
    for (value, y) in expected.iter_mut().zip(&case.x) {
        *value = if *y > 0.0 { *value } else { 0.0 };
    }
    let transposed = naive::transpose([inputs, outputs], &case.weights);
    let bounds = matmul_bound::<T>([rows, outputs, inputs], &case.delta, &transposed);
    let got = table(Panels::new(dx.as_slice(), inputs, rows));
    assert_close(&case.name("backward_input", isa), &got, &expected, Tolerance::Each(&bounds));
}

/// Deltas and inputs as in a training step: in blocks of `block_panels` panels, with a gap before each
/// matrix.
struct Blocks<T> {
    data: AlignedBuf<T>,
    block_len: usize,
    block_panels: usize,
    delta_at: usize,
}

const GAP: usize = 64;

impl<T: Element> Blocks<T> {
    fn new(isa: Isa, case: &Case, block_panels: usize) -> Blocks<T> {
        let block_rows = block_panels * T::PANEL;
        let delta_at = GAP + case.inputs * block_rows;
        let block_len = delta_at + transposed_len::<T>(case.outputs, block_rows);
        let mut data = nan::<T>(case.rows.div_ceil(block_rows) * block_len);
        for (block, first) in data.as_mut_slice().chunks_mut(block_len).zip((0..).step_by(block_rows)) {
            let rows = block_rows.min(case.rows - first);
            let x = batch::<T>(&case.x[first * case.inputs..][..rows * case.inputs], rows, case.inputs);
            block[GAP..][..x.as_slice().len()].copy_from_slice(x.as_slice());
            let delta =
                batch::<T>(&case.delta[first * case.outputs..][..rows * case.outputs], rows, case.outputs);
            let transposed = &mut block[delta_at..][..transposed_len::<T>(case.outputs, rows)];
            panel::transpose_deltas(isa, Panels::new(delta.as_slice(), case.outputs, rows), transposed);
        }
        Blocks { data, block_len, block_panels, delta_at }
    }

    fn matrix(&self, offset: usize, panel_len: usize, rows: usize) -> BatchPanels<'_, T> {
        BatchPanels {
            data: self.data.as_slice(),
            block_len: self.block_len,
            offset,
            panel_len,
            block_panels: self.block_panels,
            rows,
        }
    }
}

fn check_weight_gradient<T: Element + Float>(
    isa: Isa,
    case: &Case,
    kc: usize,
    block_panels: usize,
    split: usize,
) {
    let Case { inputs, outputs, rows, .. } = *case;
    let blocks = Blocks::<T>::new(isa, case, block_panels);
    let x = blocks.matrix(GAP, inputs * T::PANEL, rows);
    let delta = blocks.matrix(blocks.delta_at, transposed_len::<T>(outputs, T::PANEL), rows);
    let mut gradient = layer::<T>(case);
    let mut updated = layer::<T>(case);
    let panel_elements = (inputs + 1) * T::PANEL;
    for panel in 0..panel_count::<T>(outputs) {
        // Each panel in two ranges, so that ranges with and without the bias occur.
        let cut = split.min(inputs + 1);
        for range in [0..cut, cut..inputs + 1] {
            let place = panel * panel_elements + range.start * T::PANEL
                ..panel * panel_elements + range.end * T::PANEL;
            let range = WeightRange { panels: panel..panel + 1, rows: range };
            let apply = |rule: Rule<T>, target: &mut AlignedBuf<T>| {
                let (target, rule) = (&mut target.as_mut_slice()[place.clone()], (Round::whole(), rule));
                let sizes = (inputs, outputs);
                gemm::weight_gradient(isa, blocking(kc), sizes, &range, x, delta, rule, target, &mut []);
            };
            apply(Rule::Gradient { scale: T::ONE }, &mut gradient);
            apply(Rule::Sgd { step: T::from_f64(0.5) }, &mut updated);
        }
    }
    let ones = vec![1.0; rows];
    let mut expected = naive::matmul_tn([inputs, rows, outputs], &case.x, &case.delta);
    expected.extend(naive::matmul([1, rows, outputs], &ones, &case.delta));
    let transposed = naive::transpose([rows, inputs], &case.x);
    let mut bounds = matmul_bound::<T>([inputs, rows, outputs], &transposed, &case.delta);
    bounds.extend(matmul_bound::<T>([1, rows, outputs], &ones, &case.delta));

    let unpacked = |buffer: &AlignedBuf<T>| {
        let mut values = vec![T::ZERO; (inputs + 1) * outputs];
        panel::unpack(Panels::new(buffer.as_slice(), inputs + 1, outputs), &mut values);
        values
    };
    let name = case.name(&format!("weight_gradient in blocks of {block_panels}"), isa);
    assert_close(&name, &unpacked(&gradient), &expected, Tolerance::Each(&bounds));

    let old = case.weights.iter().chain(&case.bias);
    let expected: Vec<f64> = expected.iter().zip(old.clone()).map(|(g, w)| w - 0.5 * g).collect();
    let bounds: Vec<f64> = bounds.iter().zip(old).map(|(b, w)| b + 4.0 * T::EPSILON * w.abs()).collect();
    assert_close(&name, &unpacked(&updated), &expected, Tolerance::Each(&bounds));

    // The padding of the weights stays zero.
    for panel in 0..panel_count::<T>(outputs) {
        let width = T::PANEL.min(outputs - panel * T::PANEL);
        let lines = &updated.as_slice()[panel * panel_elements..][..panel_elements];
        assert!(lines.chunks(T::PANEL).all(|line| line[width..].iter().all(|x| *x == T::ZERO)), "{name}");
    }
}

fn check_all<T: Element + Float>() {
    for isa in Isa::available() {
        for (index, shape) in shapes::gemm_shapes().into_iter().enumerate() {
            let case = Case::new(shape);
            let kc = BLOCKINGS[index % BLOCKINGS.len()];
            check_forward::<T>(isa, &case, kc);
            check_backward::<T>(isa, &case, kc);
            check_weight_gradient::<T>(isa, &case, kc, 1 + index % 3, index % 20);
        }
    }
}

#[test]
fn products_in_single_precision() {
    check_all::<f32>();
}

#[test]
fn products_in_double_precision() {
    check_all::<f64>();
}

/// Long sums, for which the default block sizes matter.
#[test]
fn products_past_the_edges_of_the_default_blocks() {
    let kc = Blocking::default().kc;
    for isa in Isa::available() {
        for inner in [kc - 1, kc, kc + 1, 2 * kc + 1] {
            check_forward::<f32>(isa, &Case::new([33, inner, 19]), kc);
            check_backward::<f32>(isa, &Case::new([33, 19, inner]), kc);
            check_weight_gradient::<f32>(isa, &Case::new([inner, 19, 21]), kc, 4, 7);
        }
    }
}

/// Returns the deltas below a layer, row by row, for as many inputs from `first` on as there are values
/// in `below`.
fn backward<T: Element>(
    isa: Isa,
    [rows, inputs, outputs]: [usize; 3],
    weights: &AlignedBuf<T>,
    first: usize,
    delta: &AlignedBuf<T>,
    below: &AlignedBuf<T>,
) -> Vec<T> {
    let some = below.as_slice().len() / panel_len::<T>(1, rows);
    let mut dx = nan::<T>(below.as_slice().len());
    gemm::backward_input(
        isa,
        blocking(64),
        Panels::new(weights.as_slice(), inputs + 1, outputs),
        first,
        Panels::new(delta.as_slice(), outputs, rows),
        (Panels::new(below.as_slice(), some, rows), Activation::Tanh),
        PanelsMut::new(dx.as_mut_slice(), some, rows),
    );
    table(Panels::new(dx.as_slice(), some, rows))
}

/// Block sizes and neighbouring rows change no bit of the results.
fn check_company<T: Element + Float>(isa: Isa, dims: [usize; 3]) {
    let [rows, inputs, outputs] = dims;
    let case = Case::new(dims);
    let weights = layer::<T>(&case);
    let of_rows = |first: usize, rows: usize, kc: usize| {
        let x = batch::<T>(&case.x[first * inputs..][..rows * inputs], rows, inputs);
        forward(isa, blocking(kc), [rows, inputs, outputs], &weights, &x, Activation::Tanh)
    };
    let all = of_rows(0, rows, 192);
    for kc in BLOCKINGS {
        assert_eq!(of_rows(0, rows, kc), all, "{dims:?}, kc {kc} on {isa}");
    }
    let deltas_of = |first: usize, rows: usize| {
        let delta = batch::<T>(&case.delta[first * outputs..][..rows * outputs], rows, outputs);
        let below = batch::<T>(&case.x[first * inputs..][..rows * inputs], rows, inputs);
        backward(isa, [rows, inputs, outputs], &weights, 0, &delta, &below)
    };
    let all_deltas = deltas_of(0, rows);
    for some in (1..rows.min(10)).chain([rows - rows / 4]) {
        for row in (0..=rows - some).step_by(rows.div_ceil(7)) {
            let name = format!("{dims:?}, {some} rows from {row} on {isa}");
            assert_eq!(of_rows(row, some, 192), all[row * outputs..][..some * outputs], "{name}");
            assert_eq!(deltas_of(row, some), all_deltas[row * inputs..][..some * inputs], "deltas of {name}");
        }
    }
}

#[test]
fn neither_blocks_nor_neighbours_change_a_bit() {
    for isa in Isa::available() {
        // The second has more inputs than the path for few rows processes at a time.
        for dims in [[50, 37, 29], [9, 2053, 83], [5, 1024, 16], [21, 1, 129]] {
            check_company::<f32>(isa, dims);
            check_company::<f64>(isa, dims);
        }
    }
}

/// The deltas of a subset of the inputs, and the outputs of a subset of the weight panels, have the same
/// bits as in the whole product.
fn check_parts<T: Element + Float>(isa: Isa, [rows, inputs, outputs]: [usize; 3]) {
    let case = Case::new([rows, inputs, outputs]);
    let (weights, delta) = (layer::<T>(&case), batch::<T>(&case.delta, rows, outputs));
    let down = |first: usize, some: usize| {
        let x: Vec<f64> =
            (0..rows).flat_map(|row| &case.x[row * inputs + first..][..some]).copied().collect();
        backward(isa, [rows, inputs, outputs], &weights, first, &delta, &batch::<T>(&x, rows, some))
    };
    let all = down(0, inputs);
    for (first, some) in [(0, 1), (1, inputs - 1), (inputs / 2, inputs - inputs / 2), (inputs, 0)] {
        let expected: Vec<T> =
            (0..rows).flat_map(|row| &all[row * inputs + first..][..some]).copied().collect();
        assert!(down(first, some) == expected, "{some} inputs from {first} of {inputs} on {isa}");
    }
    let x = batch::<T>(&case.x, rows, inputs);
    let all = forward(isa, blocking(64), [rows, inputs, outputs], &weights, &x, Activation::Tanh);
    let panel = (inputs + 1) * T::PANEL;
    for (first, end) in [(0, 1), (1, 2), (1, panel_count::<T>(outputs))] {
        let some = outputs.min(end * T::PANEL) - first * T::PANEL;
        let mut of_some = AlignedBuf::zeroed((end - first) * panel);
        of_some.as_mut_slice().copy_from_slice(&weights.as_slice()[first * panel..end * panel]);
        let got = forward(isa, blocking(64), [rows, inputs, some], &of_some, &x, Activation::Tanh);
        let expected: Vec<T> =
            (0..rows).flat_map(|row| &all[row * outputs + first * T::PANEL..][..some]).copied().collect();
        assert!(got == expected, "panels {first} to {end} of {outputs} outputs on {isa}");
    }
}

#[test]
fn parts_of_a_product_have_its_bits() {
    for isa in Isa::available() {
        for dims in [[1, 37, 45], [16, 130, 45], [35, 50, 70]] {
            check_parts::<f32>(isa, dims);
            check_parts::<f64>(isa, dims);
        }
    }
}

/// However the batch, the loops, the parameters and the rounds are divided, the bits are the same.
#[test]
fn no_division_changes_a_bit_of_the_weight_gradient() {
    // More panels than are processed together, more inputs than wait together, and several blocks of the
    // batch.
    let case = Case::new([100, 403, 5 * 16 + 3]);
    let panels = panel_count::<f32>(case.outputs);
    let updated =
        |isa: Isa, kc: usize, block_panels: usize, ranges: &[WeightRange], blocks_a_round: usize| {
            let blocks = Blocks::<f32>::new(isa, &case, block_panels);
            let x = blocks.matrix(GAP, case.inputs * 16, case.rows);
            let delta = blocks.matrix(blocks.delta_at, transposed_len::<f32>(case.outputs, 16), case.rows);
            let mut weights = layer::<f32>(&case);
            for range in ranges {
                let from = (range.panels.start * (case.inputs + 1) + range.rows.start) * 16;
                let target = &mut weights.as_mut_slice()[from..][..range.elements::<f32>()];
                let rule = Rule::Sgd { step: 0.1 };
                let mut sums = vec![f32::NAN; target.len()];
                let rows = blocks_a_round * block_panels * 16;
                for first in (0..case.rows).step_by(rows) {
                    let last = first + rows >= case.rows;
                    let (block, rows) = (first / 16 / block_panels, rows.min(case.rows - first));
                    let x = BatchPanels { data: &x.data[block * x.block_len..], rows, ..x };
                    let delta = BatchPanels { data: &delta.data[block * delta.block_len..], rows, ..delta };
                    gemm::weight_gradient(
                        isa,
                        blocking(kc),
                        (case.inputs, case.outputs),
                        range,
                        x,
                        delta,
                        (Round { sums: &mut sums, first: first == 0, last }, rule),
                        target,
                        &mut [],
                    );
                }
            }
            weights.as_slice().to_vec()
        };
    for isa in Isa::available() {
        let all = [WeightRange { panels: 0..panels, rows: 0..404 }];
        let halves =
            [WeightRange { panels: 0..2, rows: 0..404 }, WeightRange { panels: 2..panels, rows: 0..404 }];
        let strips: Vec<WeightRange> = (0..panels)
            .flat_map(|p| [0..208, 208..404].map(|rows| WeightRange { panels: p..p + 1, rows }))
            .collect();
        let expected = updated(isa, 10_000, 7, &strips, 1);
        for kc in BLOCKINGS {
            for ranges in [&all[..], &halves, &strips] {
                for (block_panels, blocks_a_round) in [(1, 7), (2, 4), (3, 3), (1, 1), (1, 5), (2, 2), (3, 1)]
                {
                    let got = updated(isa, kc, block_panels, ranges, blocks_a_round);
                    let tasks = ranges.len();
                    assert!(
                        got == expected,
                        "kc {kc}, {tasks} tasks, blocks of {block_panels}, {blocks_a_round} a round, on {isa}"
                    );
                }
            }
        }
    }
}

/// Instruction sets that fuse multiply-adds compute the same chains.
#[test]
fn fused_instruction_sets_agree_to_the_bit() {
    let case = Case::new([21, 45, 33]);
    let mut results = Vec::new();
    for isa in Isa::available().filter(|isa| isa.fuses()) {
        let blocks = Blocks::<f32>::new(isa, &case, 2);
        let mut weights = layer::<f32>(&case);
        for (panel, target) in weights.as_mut_slice().chunks_mut(46 * 16).enumerate() {
            gemm::weight_gradient(
                isa,
                Blocking::default(),
                (45, 33),
                &WeightRange { panels: panel..panel + 1, rows: 0..46 },
                blocks.matrix(GAP, 45 * 16, 21),
                blocks.matrix(blocks.delta_at, transposed_len::<f32>(33, 16), 21),
                (Round::whole(), Rule::Sgd { step: 0.1 }),
                target,
                &mut [],
            );
        }
        results.push(weights.as_slice().to_vec());
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

/// A reference that shares no code with either side: the `matrixmultiply` crate.
#[test]
fn forward_agrees_with_matrixmultiply() {
    for isa in Isa::available() {
        let case = Case::new([97, 131, 53]);
        let (rows, inputs, outputs) = (case.rows, case.inputs, case.outputs);
        let (x, w) = (naive::narrow(&case.x), naive::narrow(&case.weights));
        let mut expected = vec![0f32; rows * outputs];
        // SAFETY: the pointers are those of slices of exactly [rows, inputs], [inputs, outputs] and
        // [rows, outputs] elements, and the row strides match.
        unsafe {
            matrixmultiply::sgemm(
                rows,
                inputs,
                outputs,
                1.0,
                x.as_ptr(),
                inputs as isize,
                1,
                w.as_ptr(),
                outputs as isize,
                1,
                0.0,
                expected.as_mut_ptr(),
                outputs as isize,
                1,
            );
        }
        let case = Case { bias: vec![0.0; outputs], ..case };
        let (weights, x) = (layer::<f32>(&case), batch::<f32>(&case.x, rows, inputs));
        let mut y = nan::<f32>(panel_len::<f32>(outputs, rows));
        gemm::forward(
            isa,
            Blocking::default(),
            Panels::new(weights.as_slice(), inputs + 1, outputs),
            Panels::new(x.as_slice(), inputs, rows),
            PanelsMut::new(y.as_mut_slice(), outputs, rows),
            Activation::Linear,
        );
        let mut bounds = matmul_bound::<f32>([rows, inputs, outputs], &case.x, &case.weights);
        bounds.iter_mut().for_each(|bound| *bound *= 2.0); // both sides round
        let got = table(Panels::new(y.as_slice(), outputs, rows));
        assert_close("matrixmultiply", &got, &naive::widen(&expected), Tolerance::Each(&bounds));
    }
}

#[test]
#[should_panic(expected = "forward: weights [3, 4]")]
fn shapes_that_do_not_fit_are_named() {
    let (w, x) = (AlignedBuf::<f32>::zeroed(3 * 16), AlignedBuf::<f32>::zeroed(3 * 16));
    let mut y = AlignedBuf::<f32>::zeroed(4 * 16);
    gemm::forward(
        Isa::best(),
        Blocking::default(),
        Panels::new(w.as_slice(), 3, 4),
        Panels::new(x.as_slice(), 3, 5),
        PanelsMut::new(y.as_mut_slice(), 4, 5),
        Activation::Relu,
    );
}

/// The activation and slopes in the epilogue equal those computed separately from the sums, bit for bit.
#[test]
fn epilogues_write_slopes() {
    for isa in Isa::available() {
        // Up to two rows take a different path.
        for (rows, inputs, outputs) in [(1, 3, 5), (2, 40, 33), (17, 33, 16), (40, 20, 47)] {
            let case = Case::new([rows, inputs, outputs]);
            let (weights, x) = (layer::<f32>(&case), batch::<f32>(&case.x, rows, inputs));
            let len = panel_len::<f32>(outputs, rows);
            let run = |epilogue: Epilogue<'_, f32>| {
                forward(isa, blocking(16), [rows, inputs, outputs], &weights, &x, epilogue)
            };
            for activation in Activation::ALL {
                let mut z = run(Activation::Linear.into());
                let mut expected = vec![0.0; z.len()];
                activation.apply_with_slopes(isa, &mut z, &mut expected);
                let mut slopes = nan::<f32>(len);
                let slots = PanelsMut::new(slopes.as_mut_slice(), outputs, rows);
                assert_eq!(run(Epilogue { activation, slopes: Some(slots) }), z, "{activation:?} on {isa}");
                let slopes = table(Panels::new(slopes.as_slice(), outputs, rows));
                assert_eq!(slopes, expected, "{activation:?} on {isa}");
            }
        }
    }
}
