//! Runs rows through a network outside training: encoding, decoding, reconstruction, errors. Blocks of
//! rows run in parallel.

use std::ops::Range;

use ae_kernels::Element;
use ae_kernels::activation::Activation;
use ae_kernels::latent;
use ae_kernels::loss::{self, RowLosses};
use ae_kernels::norm;
use ae_kernels::panel::{self, Affine, Panels, PanelsMut, panel_len};
use ae_kernels::par::Crew;
use ae_kernels::sparse::{self, Active};
use ae_kernels::workspace::AlignedBuf;

use crate::config::Loss;
use crate::network::Network;
use crate::scale::Maps;
use crate::stage::{BatchTopKLatent, Pooling, Stage, TopKLatent};
use crate::table::Table;

/// Rows per block, which go through the network together.
const BLOCK_ROWS: usize = 64;
/// Blocks per task, which share one allocation of scratch memory.
const BLOCKS_A_TASK: usize = 8;
/// Rows per task.
pub(crate) const TASK_ROWS: usize = BLOCK_ROWS * BLOCKS_A_TASK;

/// Rows of a row-major table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// As wide as the network where the rows enter.
    pub(crate) table: Table<'a>,
    /// The rows to process; `None` for all of them in order.
    pub(crate) indices: Option<&'a [usize]>,
}

/// The part of the network that rows go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Rows to encodings.
    Encoder,
    /// Encodings to rows.
    Decoder,
    /// Rows to rows.
    Whole,
}

/// A network and its scaling, ready to process rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bulk<'a, T> {
    pub(crate) network: &'a Network<T>,
    pub(crate) maps: &'a Maps<T>,
    pub(crate) crew: Crew<'a>,
}

impl<T: Element> Bulk<'_, T> {
    /// Runs the rows through `part` into `out`, row-major, as wide as the output of the part.
    pub(crate) fn run(&self, part: Part, source: Source<'_>, out: &mut [f32]) {
        let width = self.widths(part).1;
        let map = (part != Part::Encoder).then(|| self.maps.outwards());
        self.crew.for_each_chunk(out, (TASK_ROWS * width).max(1), |task, out| {
            let mut scratch = self.scratch(part, source, out.len() / width.max(1));
            for (block, out) in out.chunks_mut((BLOCK_ROWS * width).max(1)).enumerate() {
                let first = task * TASK_ROWS + block * BLOCK_ROWS;
                let y = self.forward(part, source, first, out.len() / width.max(1), &mut scratch);
                panel::scatter_rows(self.network.isa, y, map, out);
            }
        });
    }

    /// Runs one row through `part` into `out`.
    pub(crate) fn one(&self, part: Part, row: &[f32], scratch: &mut Scratch<T>, out: &mut [f32]) {
        let map = (part != Part::Encoder).then(|| self.maps.outwards());
        let y = self.forward(part, Source { table: row.into(), indices: None }, 0, 1, scratch);
        panel::scatter_rows(self.network.isa, y, map, out);
    }

    /// Returns the squared error of one row, summed over its scaled features.
    pub(crate) fn row_error(&self, row: &[f32], scratch: &mut Scratch<T>) -> f64 {
        self.errors(Source { table: row.into(), indices: None }, 0, 1, scratch);
        unbounded(scratch.squares[0].to_f64())
    }

    /// Computes the squared error of each row, summed over its scaled features, into `out`.
    pub(crate) fn row_errors(&self, source: Source<'_>, out: &mut [f64]) {
        self.crew.for_each_chunk(out, TASK_ROWS, |task, out| {
            let mut scratch = self.scratch(Part::Whole, source, out.len());
            for (block, out) in out.chunks_mut(BLOCK_ROWS).enumerate() {
                self.errors(source, task * TASK_ROWS + block * BLOCK_ROWS, out.len(), &mut scratch);
                for (y, x) in out.iter_mut().zip(&scratch.squares) {
                    *y = unbounded(x.to_f64());
                }
            }
        });
    }

    /// Computes the squared error of each scaled feature of each row into `out`, `[rows, features]`; 0
    /// where the feature is missing.
    pub(crate) fn cell_errors(&self, source: Source<'_>, out: &mut [f32]) {
        self.cells(source, |x| if x.is_nan() { f32::INFINITY } else { x * x }, out);
    }

    /// Computes the difference `x̂ - x` of each scaled feature of each row into `out`,
    /// `[rows, features]`; 0 where `x` is missing.
    pub(crate) fn residuals(&self, source: Source<'_>, out: &mut [f32]) {
        self.cells(source, |x| x, out);
    }

    fn cells(&self, source: Source<'_>, of: impl Fn(f32) -> f32 + Sync, out: &mut [f32]) {
        let width = self.network.input;
        self.crew.for_each_chunk(out, (TASK_ROWS * width).max(1), |task, out| {
            let mut scratch = self.scratch(Part::Whole, source, out.len() / width.max(1));
            for (block, out) in out.chunks_mut((BLOCK_ROWS * width).max(1)).enumerate() {
                let first = task * TASK_ROWS + block * BLOCK_ROWS;
                let delta = self.errors(source, first, out.len() / width.max(1), &mut scratch);
                panel::scatter_rows(self.network.isa, delta, None, out);
                out.iter_mut().for_each(|x| *x = of(*x));
            }
        });
    }

    /// Computes `[loss, squared error]` of each row, as in training but without noise or dropout.
    pub(crate) fn row_losses(&self, source: Source<'_>, out: &mut [[f64; 2]]) {
        self.crew.for_each_chunk(out, TASK_ROWS, |task, out| {
            let mut scratch = self.scratch(Part::Whole, source, out.len());
            for (block, out) in out.chunks_mut(BLOCK_ROWS).enumerate() {
                let (first, rows) = (task * TASK_ROWS + block * BLOCK_ROWS, out.len());
                self.judge(source, first, rows, &mut scratch);
                let each = scratch.losses.iter().zip(&scratch.squares).zip(&scratch.divergences);
                for (out, ((loss, square), divergence)) in out.iter_mut().zip(each) {
                    *out = [loss.to_f64() + divergence.to_f64(), square.to_f64()];
                }
            }
        });
    }

    /// Memory to run blocks of the source's rows through `part`, for `rows` rows or as many as are
    /// processed together.
    fn scratch(&self, part: Part, source: Source<'_>, rows: usize) -> Scratch<T> {
        let between = self.stages(part).map(|index| self.network.stage_shape(index).1).max();
        let widths = [self.widths(part).0, between.unwrap_or(0)];
        Scratch::new(self.network, widths, rows, source.table.targets.is_some())
    }

    fn stages(&self, part: Part) -> Range<usize> {
        let Network { stages, encoder_stages, .. } = self.network;
        match part {
            Part::Encoder => 0..*encoder_stages,
            Part::Decoder => *encoder_stages..stages.len(),
            Part::Whole => 0..stages.len(),
        }
    }

    /// The numbers of features that a part takes and returns.
    fn widths(&self, part: Part) -> (usize, usize) {
        let Network { input, code, .. } = *self.network;
        match part {
            Part::Encoder => (input, code),
            Part::Decoder => (code, input),
            Part::Whole => (input, input),
        }
    }

    /// Runs rows `first..first + rows` of the source through the part.
    fn forward<'s>(
        &self,
        part: Part,
        source: Source<'_>,
        first: usize,
        rows: usize,
        scratch: &'s mut Scratch<T>,
    ) -> Panels<'s, T> {
        let outputs = self.widths(part).1;
        let Through { output, .. } = self.through(part, End::Rows, source, first, rows, scratch);
        Panels::new(&output[..panel_len::<T>(outputs, rows)], outputs, rows)
    }

    /// Like [`Bulk::forward`], but also returns the input, and the output mutably.
    fn through<'s>(
        &self,
        part: Part,
        end: End,
        source: Source<'_>,
        first: usize,
        rows: usize,
        scratch: &'s mut Scratch<T>,
    ) -> Through<'s, T> {
        let map = (part != Part::Decoder).then(|| self.maps.inwards());
        let width = self.widths(part).0;
        scratch.gather(self.network, source, first, rows, width, map);
        let Scratch { input, target, sides: [from, to], chosen, losses, squares, divergences } = scratch;
        divergences.fill(T::ZERO);
        let input = &mut input.as_mut_slice()[..panel_len::<T>(width, rows)];
        let target = &mut target.as_mut_slice()[..];
        let apart = source.table.targets.is_some();
        if self.network.objective.mask_missing && part != Part::Decoder {
            // Errors count known values only; missing ones enter the network as zero.
            if !apart {
                target[..input.len()].copy_from_slice(input);
            }
            input.iter_mut().filter(|x| x.to_f64().is_nan()).for_each(|x| *x = T::ZERO);
        }
        let mut way = Way {
            from: from.as_mut_slice(),
            to: to.as_mut_slice(),
            chosen: chosen.as_mut_slice(),
            divergences: &mut divergences[..rows],
            entered: false,
            sparse: None,
        };
        for index in self.stages(part) {
            self.pass(index, part, end, &*input, &mut way);
        }
        if part != Part::Encoder && end == End::Rows {
            self.head(rows, &mut way);
        }
        let output = way.from;
        let input = if self.network.objective.mask_missing || apart { &*target } else { &*input };
        Through { input, output, losses, squares }
    }

    /// Runs values through one stage: from `input` for the first stage, otherwise from where the
    /// previous one left them.
    fn pass<'n>(&'n self, index: usize, part: Part, end: End, input: &[T], way: &mut Way<'_, 'n, T>) {
        let Network { isa, stages, layers, .. } = self.network;
        let isa = *isa;
        let parameters = self.network.parameters.as_slice();
        let (inputs, outputs) = self.network.stage_shape(index);
        let rows = way.divergences.len();
        let Way { from, to, chosen, divergences, .. } = way;
        let x = if way.entered { &**from } else { input };
        let x = Panels::new(&x[..panel_len::<T>(inputs, rows)], inputs, rows);
        let y = PanelsMut::new(&mut to[..panel_len::<T>(outputs, rows)], outputs, rows);
        match &stages[index] {
            Stage::Dense(layer) => match way.sparse.take() {
                Some(latent) => {
                    let most = latent.k * rows;
                    let active = Active::new(&chosen[..sparse::active_len(most, rows)], most, rows);
                    sparse::decode(isa, layers[*layer].parameters(parameters), true, active, y);
                }
                None => layers[*layer].forward(isa, parameters, x, y, None),
            },
            Stage::Conv(conv) => conv.forward(isa, (&layers[conv.layer], parameters), x, 0, y, None),
            Stage::Normalize(_) => norm::forward(isa, x, y, None),
            Stage::Pool(Pooling { pool, kind }) => pool.down(isa, kind.kernel(), x, y),
            Stage::UpSample(pool) => pool.up_sample(isa, x, y),
            // The mean of the posterior.
            Stage::Gaussian(latent) => {
                first_features(x, y);
                if end == End::Outputs {
                    latent::add_divergence(isa, latent.divergence(1.0), x, divergences);
                }
            }
            Stage::TopK(latent) => {
                let codes = &mut from[..panel_len::<T>(inputs, rows)];
                let memory = &mut chosen[..latent.memory::<T>(rows)];
                let active = latent.select(isa, Panels::new(codes, inputs, rows), memory);
                if self.stages(part).contains(&(index + 1)) && self.network.decodes_sparsely(index) {
                    way.sparse = Some(latent);
                } else {
                    active.spread(PanelsMut::new(codes, inputs, rows));
                }
                return;
            }
            Stage::BatchTopK(BatchTopKLatent { threshold, .. }) => {
                sparse::drop_below(isa, T::from_f64(*threshold), &mut from[..panel_len::<T>(inputs, rows)]);
                return;
            }
            Stage::Dropout(_) | Stage::Penalty(_) | Stage::Contraction(_) => return,
        }
        way.moved();
    }

    /// Maps the outputs of the last layer to the reconstructions that they stand for.
    fn head(&self, rows: usize, way: &mut Way<'_, '_, T>) {
        let (loss, features) = (self.network.objective.loss, self.network.input);
        match loss {
            Loss::Bce | Loss::SigmoidMse => {
                Activation::Sigmoid.apply(self.network.isa, &mut way.from[..panel_len::<T>(features, rows)]);
            }
            Loss::GaussianNll => {
                let outputs = loss.kernel().outputs(features);
                let x = Panels::new(&way.from[..panel_len::<T>(outputs, rows)], outputs, rows);
                let y = PanelsMut::new(&mut way.to[..panel_len::<T>(features, rows)], features, rows);
                first_features(x, y);
                way.moved();
            }
            Loss::Mse | Loss::Mae | Loss::Huber { .. } => {}
        }
    }

    /// Computes the losses of the rows, with the network's own loss.
    fn judge(&self, source: Source<'_>, first: usize, rows: usize, scratch: &mut Scratch<T>) {
        let (features, objective) = (self.network.input, &self.network.objective);
        let loss = objective.loss.kernel();
        let outputs = loss.outputs(features);
        let Through { input, output, losses, squares } =
            self.through(Part::Whole, End::Outputs, source, first, rows, scratch);
        loss::evaluate(
            self.network.isa,
            loss,
            PanelsMut::new(&mut output[..panel_len::<T>(outputs, rows)], outputs, rows),
            Panels::new(&input[..panel_len::<T>(features, rows)], features, rows),
            objective.weights.as_deref(),
            RowLosses { losses: &mut losses[..rows], squares: &mut squares[..rows] },
        );
    }

    /// Computes the differences `x̂ - x` of the rows; their sums of squares go to `scratch.squares`.
    fn errors<'s>(
        &self,
        source: Source<'_>,
        first: usize,
        rows: usize,
        scratch: &'s mut Scratch<T>,
    ) -> Panels<'s, T> {
        let features = self.network.input;
        let len = panel_len::<T>(features, rows);
        let Through { input, output, losses, squares } =
            self.through(Part::Whole, End::Rows, source, first, rows, scratch);
        let output = &mut output[..len];
        loss::evaluate(
            self.network.isa,
            loss::Loss::SquaredError,
            PanelsMut::new(output, features, rows),
            Panels::new(&input[..len], features, rows),
            None,
            RowLosses { losses: &mut losses[..rows], squares: &mut squares[..rows] },
        );
        Panels::new(output, features, rows)
    }
}

/// Maps NaN, the error of a computation that overflowed, to infinity.
fn unbounded(error: f64) -> f64 {
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Where a run through the network ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// At the reconstructions that the last layer's outputs stand for.
    Rows,
    /// At the last layer's outputs.
    Outputs,
}

/// The result of a run through the network, in its memory.
struct Through<'s, T> {
    /// The rows that the outputs are compared with.
    input: &'s [T],
    output: &'s mut [T],
    losses: &'s mut [T; BLOCK_ROWS],
    squares: &'s mut [T; BLOCK_ROWS],
}

/// The values of a block as they pass through the stages, and what accumulates on the way.
struct Way<'s, 'n, T> {
    /// The output of the last stage, and room for that of the next.
    from: &'s mut [T],
    to: &'s mut [T],
    chosen: &'s mut [T],
    /// One per row.
    divergences: &'s mut [T],
    /// Whether any stage has written an output.
    entered: bool,
    /// The latent whose active features, in `chosen`, are the only form of the codes.
    sparse: Option<&'n TopKLatent>,
}

impl<T> Way<'_, '_, T> {
    /// Makes the output of this stage the input of the next.
    fn moved(&mut self) {
        self.entered = true;
        std::mem::swap(&mut self.from, &mut self.to);
    }
}

/// Copies the first features of `x`, as many as `y` has.
fn first_features<T: Element>(x: Panels<'_, T>, mut y: PanelsMut<'_, T>) {
    let panels = x.data().chunks_exact((x.rows() * T::PANEL).max(1));
    let features = y.rows();
    for (x, y) in panels.zip(y.data().chunks_exact_mut((features * T::PANEL).max(1))) {
        y.copy_from_slice(&x[..y.len()]);
    }
}

/// Memory for one block of rows.
#[derive(Debug)]
pub(crate) struct Scratch<T> {
    input: AlignedBuf<T>,
    /// What the output is compared with, if that is not the network's input: the input before missing
    /// values were filled, or the targets.
    target: AlignedBuf<T>,
    sides: [AlignedBuf<T>; 2],
    /// For a top-k latent.
    chosen: AlignedBuf<T>,
    losses: [T; BLOCK_ROWS],
    squares: [T; BLOCK_ROWS],
    divergences: [T; BLOCK_ROWS],
}

impl<T: Element> Scratch<T> {
    /// Memory to run single rows through any part.
    pub(crate) fn of_a_row(network: &Network<T>) -> Self {
        Scratch::new(network, [network.widest(); 2], 1, false)
    }

    /// Memory for `rows` rows at a time, or as many as are processed together. `widths` are those of the
    /// input and of the widest output of a stage; `apart` makes room for targets.
    fn new(network: &Network<T>, widths: [usize; 2], rows: usize, apart: bool) -> Self {
        let rows = rows.clamp(1, BLOCK_ROWS);
        let [input, between] = widths.map(|width| panel_len::<T>(width, rows));
        let target = if network.objective.mask_missing || apart { input } else { 0 };
        let zeros = [T::ZERO; BLOCK_ROWS];
        Scratch {
            input: AlignedBuf::unwritten(input),
            target: AlignedBuf::unwritten(target),
            sides: [AlignedBuf::unwritten(between), AlignedBuf::unwritten(between)],
            chosen: AlignedBuf::unwritten(network.top_k().map_or(0, |latent| latent.memory::<T>(rows))),
            losses: zeros,
            squares: zeros,
            divergences: zeros,
        }
    }

    fn gather(
        &mut self,
        network: &Network<T>,
        source: Source<'_>,
        first: usize,
        rows: usize,
        width: usize,
        map: Option<Affine<'_, T>>,
    ) {
        let consecutive: [usize; BLOCK_ROWS] = std::array::from_fn(|i| first + i);
        let indices = source.indices.map_or(&consecutive[..rows], |indices| &indices[first..first + rows]);
        let input = &mut self.input.as_mut_slice()[..panel_len::<T>(width, rows)];
        panel::gather_rows(network.isa, source.table.rows, indices, map, PanelsMut::new(input, width, rows));
        if let Some(targets) = source.table.targets {
            let target = &mut self.target.as_mut_slice()[..panel_len::<T>(width, rows)];
            panel::gather_rows(network.isa, targets, indices, map, PanelsMut::new(target, width, rows));
        }
    }
}
