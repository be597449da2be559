//! Convolutions and transposed convolutions of awkward shapes on every instruction set, against naive
//! f64 loops.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod batches;

use ae_kernels::activation::{Activation, Epilogue, Slope};
use ae_kernels::conv::{self, Conv, Conv2d};
use ae_kernels::gemm::BatchPanels;
use ae_kernels::panel::{self, Panels, PanelsMut, panel_len};
use ae_kernels::update::Rule;
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};
use ae_testing::naive;
use ae_testing::random::SplitMix64;
use ae_testing::tolerance::{Float, Tolerance, assert_close, dot_bound};
use batches::{batch, nan};

/// `[height, width, channels in, channels out, kernel, stride, padding, groups]`
const SHAPES: [[usize; 8]; 20] = [
    [1, 1, 1, 1, 1, 1, 0, 1],
    [4, 5, 3, 2, 1, 1, 0, 1],
    [5, 7, 1, 16, 3, 2, 1, 1],
    [6, 6, 16, 1, 3, 2, 1, 1],
    [7, 5, 2, 17, 3, 1, 1, 1],
    [5, 4, 17, 3, 3, 2, 1, 1],
    // A stride larger than the kernel skips pixels.
    [9, 11, 2, 5, 2, 3, 0, 1],
    [7, 7, 5, 7, 1, 4, 0, 1],
    // A kernel larger than the image, which fits because of the padding.
    [3, 2, 4, 6, 5, 2, 2, 1],
    [11, 3, 13, 19, 3, 2, 0, 1],
    [4, 4, 33, 18, 2, 2, 0, 1],
    [8, 8, 32, 32, 3, 2, 1, 1],
    [3, 3, 6, 40, 3, 1, 3, 1],
    [13, 1, 7, 4, 4, 3, 2, 1],
    // Groups of few channels, of more than a panel holds, across a panel edge, and of one channel each.
    [5, 4, 6, 9, 3, 2, 1, 3],
    [6, 5, 17, 17, 3, 1, 1, 17],
    [4, 4, 34, 40, 2, 1, 0, 2],
    [3, 5, 48, 3, 3, 1, 1, 3],
    [5, 5, 4, 64, 3, 2, 1, 4],
    [7, 3, 24, 36, 3, 1, 1, 12],
];

/// One layer and its data: row-major `f64` values that both types represent exactly.
struct Case {
    shape: Conv2d,
    up: bool,
    conv: Conv,
    rows: usize,
    /// `[weight_rows, channels]`
    weights: Vec<f64>,
    bias: Vec<f64>,
    /// `[rows, inputs]`
    x: Vec<f64>,
    /// `[rows, outputs]`
    delta: Vec<f64>,
}

/// A naive result: the sums, the sums of the magnitudes of their terms, and the largest number of terms.
struct Sums {
    values: Vec<f64>,
    magnitudes: Vec<f64>,
    terms: usize,
}

impl Sums {
    fn zeros(len: usize) -> Sums {
        Sums { values: vec![0.0; len], magnitudes: vec![0.0; len], terms: 0 }
    }
    fn add(&mut self, at: usize, value: f64) {
        self.values[at] += value;
        self.magnitudes[at] += value.abs();
    }
    fn bounds<T: Float>(&self) -> Vec<f64> {
        self.magnitudes.iter().map(|m| dot_bound::<T>(self.terms, *m)).collect()
    }
}

impl Case {
    fn new(shape: [usize; 8], up: bool, rows: usize) -> Case {
        let [height, width, channels_in, channels_out, kernel, stride, padding, groups] = shape;
        let shape = Conv2d { height, width, channels_in, channels_out, kernel, stride, padding, groups };
        let conv = if up { Conv::up(shape) } else { Conv::down(shape) }.unwrap();
        let mut random = SplitMix64::new((rows * 1_000_003 + height * 1_009 + channels_out) as u64);
        let mut draw = |len| naive::widen(&random.uniform_f32s(len, -1.0, 1.0));
        Case {
            shape,
            up,
            rows,
            weights: draw(conv.weight_rows() * conv.channels()),
            bias: draw(conv.channels()),
            x: draw(rows * conv.inputs()),
            delta: draw(rows * conv.outputs()),
            conv,
        }
    }

    fn name(&self, what: &str, isa: Isa) -> String {
        format!("{what} {:?} up {} of {} rows on {isa}", self.shape, self.up, self.rows)
    }

    /// Visits every product of the convolution, by its definition:
    /// `(row, input, weight, output, channel of the output)`.
    fn each(&self, mut visit: impl FnMut(usize, usize, usize, usize, usize)) {
        let Conv2d { height, width, channels_in, channels_out, kernel, stride, padding, groups } = self.shape;
        let (of_large, of_small) = (channels_in / groups, channels_out / groups);
        let [out_height, out_width] = self.shape.output_size().unwrap();
        for row in 0..self.rows {
            for (oy, ox) in (0..out_height).flat_map(|y| (0..out_width).map(move |x| (y, x))) {
                for (ky, kx) in (0..kernel).flat_map(|y| (0..kernel).map(move |x| (y, x))) {
                    let y = (oy * stride + ky) as isize - padding as isize;
                    let x = (ox * stride + kx) as isize - padding as isize;
                    if y < 0 || x < 0 || y >= height as isize || x >= width as isize {
                        continue;
                    }
                    let (large, small) = (y as usize * width + x as usize, oy * out_width + ox);
                    for (i, o) in (0..channels_in).flat_map(|i| (0..channels_out).map(move |o| (i, o))) {
                        if i / of_large != o / of_small {
                            continue;
                        }
                        let (large, small) = (large * channels_in + i, small * channels_out + o);
                        let at = ky * kernel + kx;
                        if self.up {
                            visit(row, small, (at * of_small + o % of_small) * channels_in + i, large, i);
                        } else {
                            visit(row, large, (at * of_large + i % of_large) * channels_out + o, small, o);
                        }
                    }
                }
            }
        }
    }

    fn forward(&self) -> Sums {
        let (inputs, outputs, channels) = (self.conv.inputs(), self.conv.outputs(), self.conv.channels());
        let mut sums = Sums::zeros(self.rows * outputs);
        for at in 0..self.rows * outputs {
            sums.add(at, self.bias[at % channels]);
        }
        self.each(|row, i, w, o, _| sums.add(row * outputs + o, self.x[row * inputs + i] * self.weights[w]));
        sums.terms = self.conv.weight_rows() + 1;
        sums
    }

    fn backward(&self) -> Sums {
        let (inputs, outputs) = (self.conv.inputs(), self.conv.outputs());
        let mut sums = Sums::zeros(self.rows * inputs);
        self.each(|row, i, w, o, _| {
            sums.add(row * inputs + i, self.delta[row * outputs + o] * self.weights[w]);
        });
        sums.terms = self.shape.kernel * self.shape.kernel * self.conv.channels();
        sums
    }

    /// `[weight_rows + 1, channels]`
    fn gradient(&self) -> Sums {
        let (inputs, outputs, channels) = (self.conv.inputs(), self.conv.outputs(), self.conv.channels());
        let mut sums = Sums::zeros((self.conv.weight_rows() + 1) * channels);
        self.each(|row, i, w, o, _| {
            sums.add(w, self.x[row * inputs + i] * self.delta[row * outputs + o]);
        });
        for (at, delta) in self.delta.iter().enumerate() {
            sums.add(self.conv.weight_rows() * channels + at % channels, *delta);
        }
        sums.terms = self.rows * outputs.max(inputs);
        sums
    }
}

fn table<T: Element>(panels: Panels<'_, T>) -> Vec<T> {
    let columns = 0..panels.cols();
    columns.flat_map(|col| (0..panels.rows()).map(move |row| panels.get(row, col))).collect()
}

fn parameters<T: Element>(case: &Case) -> AlignedBuf<T> {
    let rows: Vec<T> = case.weights.iter().chain(&case.bias).map(|x| T::from_f64(*x)).collect();
    let mut buffer = AlignedBuf::zeroed(case.conv.parameters_len::<T>());
    let matrix = PanelsMut::new(buffer.as_mut_slice(), case.conv.weight_rows() + 1, case.conv.channels());
    panel::pack(&rows, matrix);
    buffer
}

fn matrix<'a, T: Element>(case: &Case, data: &'a [T]) -> Panels<'a, T> {
    Panels::new(data, case.conv.weight_rows() + 1, case.conv.channels())
}

fn forward<T: Element>(isa: Isa, case: &Case, epilogue: Epilogue<'_, T>) -> Vec<T> {
    let (conv, rows) = (&case.conv, case.rows);
    let (weights, x) = (parameters::<T>(case), batch::<T>(&case.x, rows, conv.inputs()));
    let mut y = nan::<T>(panel_len::<T>(conv.outputs(), rows));
    let x = Panels::new(x.as_slice(), conv.inputs(), rows);
    let to = PanelsMut::new(y.as_mut_slice(), conv.outputs(), rows);
    conv.forward(isa, matrix(case, weights.as_slice()), x, 0, to, epilogue);
    table(Panels::new(y.as_slice(), conv.outputs(), rows))
}

fn backward<T: Element>(isa: Isa, case: &Case, slope: impl Into<Slope>) -> Vec<T> {
    let (conv, rows) = (&case.conv, case.rows);
    let (weights, delta) = (parameters::<T>(case), batch::<T>(&case.delta, rows, conv.outputs()));
    let below = batch::<T>(&case.x, rows, conv.inputs());
    let mut dx = nan::<T>(panel_len::<T>(conv.inputs(), rows));
    conv.backward_input(
        isa,
        matrix(case, weights.as_slice()),
        Panels::new(delta.as_slice(), conv.outputs(), rows),
        0,
        (Panels::new(below.as_slice(), conv.inputs(), rows), slope),
        PanelsMut::new(dx.as_mut_slice(), conv.inputs(), rows),
    );
    table(Panels::new(dx.as_slice(), conv.inputs(), rows))
}

/// Returns the gradients of each batch panel.
fn gradients<T: Element>(isa: Isa, case: &Case) -> AlignedBuf<T> {
    let (conv, rows) = (&case.conv, case.rows);
    let (x, delta) =
        (batch::<T>(&case.x, rows, conv.inputs()), batch::<T>(&case.delta, rows, conv.outputs()));
    let mut gradients = nan::<T>(panel::panel_count::<T>(rows) * conv.parameters_len::<T>());
    conv.weight_gradient(
        isa,
        Panels::new(x.as_slice(), conv.inputs(), rows),
        Panels::new(delta.as_slice(), conv.outputs(), rows),
        gradients.as_mut_slice(),
    );
    gradients
}

fn in_memory<'a, T: Element>(case: &Case, gradients: &'a [T]) -> BatchPanels<'a, T> {
    let panel_len = case.conv.parameters_len::<T>();
    let block_panels = panel::panel_count::<T>(case.rows);
    let block_len = panel_len * block_panels;
    BatchPanels { data: gradients, block_len, offset: 0, panel_len, block_panels, rows: case.rows }
}

fn check<T: Element + Float>() {
    for isa in Isa::available() {
        for (index, shape) in SHAPES.into_iter().enumerate() {
            for up in [false, true] {
                let case = Case::new(shape, up, [1, 17, 33, 40, 5][(index + usize::from(up)) % 5]);
                let linear = |epilogue: Activation| Epilogue::from(epilogue);
                let sums = case.forward();
                let got = forward::<T>(isa, &case, linear(Activation::Linear));
                let bounds = sums.bounds::<T>();
                assert_close(&case.name("forward", isa), &got, &sums.values, Tolerance::Each(&bounds));
                let got = forward::<T>(isa, &case, linear(Activation::Relu));
                let expected: Vec<f64> = sums.values.iter().map(|y| y.max(0.0)).collect();
                assert_close(&case.name("ReLU", isa), &got, &expected, Tolerance::Each(&bounds));

                let mut sums = case.backward();
                let got = backward::<T>(isa, &case, Activation::Linear);
                let bounds = sums.bounds::<T>();
                assert_close(&case.name("backward", isa), &got, &sums.values, Tolerance::Each(&bounds));
                let got = backward::<T>(isa, &case, Activation::Relu);
                let kept = sums.values.iter_mut().zip(&case.x).filter(|(_, y)| **y <= 0.0);
                kept.for_each(|(value, _)| *value = 0.0);
                assert_close(&case.name("slopes", isa), &got, &sums.values, Tolerance::Each(&bounds));
                check_gradient::<T>(isa, &case);
            }
        }
    }
}

fn check_gradient<T: Element + Float>(isa: Isa, case: &Case) {
    let len = case.conv.parameters_len::<T>();
    let sums = case.gradient();
    let found = gradients::<T>(isa, case);
    let of_panels = in_memory(case, found.as_slice());
    let unpacked = |buffer: &AlignedBuf<T>| {
        let mut values = vec![T::ZERO; (case.conv.weight_rows() + 1) * case.conv.channels()];
        panel::unpack(matrix(case, buffer.as_slice()), &mut values);
        values
    };
    let mut got = parameters::<T>(case);
    let one = Rule::Gradient { scale: T::ONE };
    conv::sum_gradients(isa, of_panels, 0, one, got.as_mut_slice(), &mut []);
    let bounds = sums.bounds::<T>();
    let name = case.name("gradient", isa);
    assert_close(&name, &unpacked(&got), &sums.values, Tolerance::Each(&bounds));

    // In two parts, and with an update rule.
    let mut updated = parameters::<T>(case);
    let cut = len / T::PANEL / 2 * T::PANEL;
    let half = Rule::Sgd { step: T::from_f64(0.5) };
    let (low, high) = updated.as_mut_slice().split_at_mut(cut);
    conv::sum_gradients(isa, of_panels, 0, half, low, &mut []);
    conv::sum_gradients(isa, of_panels, cut, half, high, &mut []);
    let old = case.weights.iter().chain(&case.bias);
    let expected: Vec<f64> = sums.values.iter().zip(old.clone()).map(|(g, w)| w - 0.5 * g).collect();
    let bounds: Vec<f64> = bounds.iter().zip(old).map(|(b, w)| b + 4.0 * T::EPSILON * w.abs()).collect();
    assert_close(&name, &unpacked(&updated), &expected, Tolerance::Each(&bounds));
    for panel in updated.as_slice().chunks((case.conv.weight_rows() + 1) * T::PANEL).enumerate() {
        let width = T::PANEL.min(case.conv.channels() - panel.0 * T::PANEL);
        let padding = panel.1.chunks(T::PANEL).flat_map(|line| &line[width..]);
        assert!(padding.into_iter().all(|x| *x == T::ZERO), "{name}: padding");
    }
}

#[test]
fn convolutions_in_single_precision() {
    check::<f32>();
}

#[test]
fn convolutions_in_double_precision() {
    check::<f64>();
}

/// Neighbouring rows and the choice among instruction sets that fuse change no bit of the results.
#[test]
fn neither_neighbours_nor_vectors_change_a_bit() {
    let mut of_fused: Vec<Vec<f32>> = Vec::new();
    for isa in Isa::available() {
        let mut results = Vec::new();
        for (shape, up) in [
            (SHAPES[2], true),
            (SHAPES[3], false),
            (SHAPES[5], true),
            (SHAPES[11], false),
            (SHAPES[16], true),
        ] {
            let case = Case::new(shape, up, 37);
            let y = forward::<f32>(isa, &case, Activation::Tanh.into());
            let dx = backward::<f32>(isa, &case, Activation::Tanh);
            let (inputs, outputs) = (case.conv.inputs(), case.conv.outputs());
            for (row, rows) in [(0, 1), (20, 1), (36, 1), (5, 4), (9, 8), (17, 9)] {
                let x = case.x[row * inputs..][..rows * inputs].to_vec();
                let delta = case.delta[row * outputs..][..rows * outputs].to_vec();
                let alone = Case { rows, x, delta, ..Case::new(shape, up, 37) };
                let name = alone.name(&format!("by itself from {row}"), isa);
                let of_rows = forward::<f32>(isa, &alone, Activation::Tanh.into());
                assert_eq!(of_rows, y[row * outputs..][..rows * outputs], "{name}");
                let of_rows = backward::<f32>(isa, &alone, Activation::Tanh);
                assert_eq!(of_rows, dx[row * inputs..][..rows * inputs], "deltas {name}");
            }
            results.extend(y.into_iter().chain(dx));
            results.extend_from_slice(gradients::<f32>(isa, &case).as_slice());
        }
        if isa.fuses() {
            of_fused.push(results);
        }
    }
    assert!(of_fused.windows(2).all(|pair| pair[0] == pair[1]));
}

/// A subset of the pixels, or of the panel rows of the gradient, has the same bits as in the whole.
#[test]
fn parts_are_those_of_the_whole() {
    const ROWS: usize = 13;
    let panels = |values: &[f64], features: usize| batch::<f32>(values, ROWS, features);
    for (isa, shape) in Isa::available().flat_map(|isa| SHAPES.map(|shape| (isa, shape))) {
        for up in [false, true] {
            let case = Case::new(shape, up, ROWS);
            let (conv, weights) = (&case.conv, parameters::<f32>(&case));
            let (inputs, outputs, weights) =
                (conv.inputs(), conv.outputs(), matrix(&case, weights.as_slice()));
            let (x, delta) = (panels(&case.x, inputs), panels(&case.delta, outputs));
            let (x, delta) =
                (Panels::new(x.as_slice(), inputs, ROWS), Panels::new(delta.as_slice(), outputs, ROWS));

            let mut y = nan::<f32>(outputs * f32::PANEL);
            let line = conv.channels() * f32::PANEL;
            for (part, y) in y.as_mut_slice().chunks_mut(3 * line).enumerate() {
                let y = PanelsMut::new(y, y.len() / f32::PANEL, ROWS);
                conv.forward(isa, weights, x, 3 * part, y, Activation::Relu);
            }
            let whole = forward::<f32>(isa, &case, Activation::Relu.into());
            assert_eq!(
                table(Panels::new(y.as_slice(), outputs, ROWS)),
                whole,
                "{}",
                case.name("forward", isa)
            );

            let mut dx = nan::<f32>(inputs * f32::PANEL);
            let line = conv.channels_in() * f32::PANEL;
            for (part, dx) in dx.as_mut_slice().chunks_mut(2 * line).enumerate() {
                let lines = dx.len() / f32::PANEL;
                let below = Panels::new(&x.data()[part * 2 * line..][..dx.len()], lines, ROWS);
                let dx = PanelsMut::new(dx, lines, ROWS);
                conv.backward_input(isa, weights, delta, 2 * part, (below, Activation::Relu), dx);
            }
            let whole = backward::<f32>(isa, &case, Activation::Relu);
            assert_eq!(
                table(Panels::new(dx.as_slice(), inputs, ROWS)),
                whole,
                "{}",
                case.name("backward", isa)
            );

            let whole = gradients::<f32>(isa, &case);
            for lines in [1, 5, 16, 23] {
                let mut parts = nan::<f32>(whole.as_slice().len());
                for (part, some) in parts.as_mut_slice().chunks_mut(lines * f32::PANEL).enumerate() {
                    conv.weight_gradient_from(isa, x, delta, part * lines, some);
                }
                assert_eq!(parts.as_slice(), whole.as_slice(), "{} by {lines}", case.name("gradient", isa));
            }
        }
    }
}

/// The activation and slopes in the epilogue equal those computed separately from the sums, bit for bit.
#[test]
fn epilogues_write_slopes() {
    for isa in Isa::available() {
        let case = Case::new(SHAPES[4], false, 33);
        for activation in Activation::ALL {
            let mut z = forward::<f32>(isa, &case, Activation::Linear.into());
            let mut expected = vec![0.0; z.len()];
            activation.apply_with_slopes(isa, &mut z, &mut expected);
            let outputs = case.conv.outputs();
            let mut slopes = nan::<f32>(panel_len::<f32>(outputs, 33));
            let slots = PanelsMut::new(slopes.as_mut_slice(), outputs, 33);
            let y = forward(isa, &case, Epilogue { activation, slopes: Some(slots) });
            assert_eq!(y, z, "{activation:?} on {isa}");
            assert_eq!(
                table(Panels::new(slopes.as_slice(), outputs, 33)),
                expected,
                "{activation:?} on {isa}"
            );
        }
    }
}

#[test]
fn sizes() {
    let shape = |height, kernel, stride, padding| Conv2d {
        height,
        width: 9,
        channels_in: 1,
        channels_out: 1,
        kernel,
        stride,
        padding,
        groups: 1,
    };
    assert_eq!(shape(28, 3, 2, 1).output_size(), Some([14, 5]));
    assert_eq!(shape(1, 3, 1, 1).output_size(), Some([1, 9]));
    for wrong in [shape(2, 3, 1, 0), shape(0, 1, 1, 1), shape(3, 0, 1, 0), shape(3, 1, 0, 0)] {
        assert_eq!(wrong.output_size(), None, "{wrong:?}");
        assert_eq!((Conv::down(wrong), Conv::up(wrong)), (None, None));
    }
    let huge = shape(3, 1, 1, usize::MAX);
    assert_eq!(huge.output_size(), None);
    let groups = |channels_in, channels_out, groups| {
        Conv2d { channels_in, channels_out, groups, ..shape(9, 3, 1, 1) }.output_size()
    };
    assert_eq!(groups(6, 9, 3), Some([9, 9]));
    for [channels_in, channels_out, count] in [[6, 9, 2], [9, 6, 2], [2, 2, 4], [2, 2, 0]] {
        assert_eq!(groups(channels_in, channels_out, count), None, "{count} of {channels_in}");
    }
}

#[test]
#[should_panic(expected = "forward of a convolution [4, 4]")]
fn shapes_that_do_not_fit_are_named() {
    let case = Case::new([2, 2, 1, 1, 3, 1, 1, 1], false, 1);
    let weights = parameters::<f32>(&case);
    let x = nan::<f32>(5 * 16);
    let mut y = nan::<f32>(4 * 16);
    let y = PanelsMut::new(y.as_mut_slice(), 4, 1);
    let x = Panels::new(x.as_slice(), 5, 1);
    case.conv.forward(Isa::best(), matrix(&case, weights.as_slice()), x, 0, y, Activation::Linear);
}
