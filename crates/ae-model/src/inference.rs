//! Runs rows through a network outside training: encoding, decoding, reconstruction, errors. Blocks of
//! rows run in parallel.

mod row;

use std::ops::Range;

use ae_data::{DataError, memory};
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

/// Most rows per block, which go through the network together.
pub(crate) const BLOCK_ROWS: usize = 64;
/// Blocks per task, which share one allocation of scratch memory.
const BLOCKS_PER_TASK: usize = 8;
/// Rows per task.
pub(crate) const TASK_ROWS: usize = BLOCK_ROWS * BLOCKS_PER_TASK;

/// Values of a row within the network from which blocks have fewer rows ([`Inference::block_rows`]).
const WIDE: usize = 1 << 20;
/// Rows of such a block: one panel.
const WIDE_BLOCK_ROWS: usize = 16;

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
    /// Rows to the means and log-variances of a Gaussian latent, before it.
    Posterior,
    /// Encodings to rows.
    Decoder,
    /// Rows to rows.
    Whole,
}

impl Part {
    /// The numbers of features that the part takes and returns, for rows of `input` features and
    /// encodings of `code`.
    pub(crate) fn widths(self, input: usize, code: usize) -> (usize, usize) {
        match self {
            Part::Encoder => (input, code),
            Part::Posterior => (input, 2 * code),
            Part::Decoder => (code, input),
            Part::Whole => (input, input),
        }
    }

    /// Whether its results are rows, which are unscaled.
    fn ends_in_rows(self) -> bool {
        matches!(self, Part::Decoder | Part::Whole)
    }
}

/// A network and its scaling, ready to process rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inference<'a, T> {
    pub(crate) network: &'a Network<T>,
    pub(crate) maps: &'a Maps<T>,
    pub(crate) crew: Crew<'a>,
}

impl<T: Element> Inference<'_, T> {
    /// Runs the rows through `part` into `out`, row-major, as wide as the output of the part.
    pub(crate) fn run(&self, part: Part, source: Source<'_>, out: &mut [f32]) {
        let (width, block_rows) = (self.widths(part).1, self.block_rows(part));
        let map = part.ends_in_rows().then(|| self.maps.unscaling());
        self.crew.for_each_chunk(out, (TASK_ROWS * width).max(1), |task, out| {
            let mut scratch = self.scratch(part, source, out.len() / width.max(1));
            for (block, out) in out.chunks_mut((block_rows * width).max(1)).enumerate() {
                let first = task * TASK_ROWS + block * block_rows;
                let y = self.forward(part, source, first, out.len() / width.max(1), &mut scratch);
                panel::scatter_rows(self.network.isa, y, map, out);
            }
        });
    }

    /// Runs one row through `part` into `out`.
    pub(crate) fn run_one(&self, part: Part, row: &[f32], scratch: &mut Scratch<T>, out: &mut [f32]) {
        if self.takes_vectors(part) {
            self.run_vector(part, row, scratch, out);
            return;
        }
        let map = part.ends_in_rows().then(|| self.maps.unscaling());
        let y = self.forward(part, Source { table: row.into(), indices: None }, 0, 1, scratch);
        panel::scatter_rows(self.network.isa, y, map, out);
    }

    /// Returns the squared error of one row, summed over its scaled features.
    pub(crate) fn row_error(&self, row: &[f32], scratch: &mut Scratch<T>) -> f64 {
        if self.takes_vectors(Part::Whole) {
            return self.vector_error(row, scratch);
        }
        self.errors(Source { table: row.into(), indices: None }, 0, 1, scratch);
        nan_to_infinity(scratch.squares[0].to_f64())
    }

    /// Computes the squared error of each row, summed over its scaled features, into `out`.
    pub(crate) fn row_errors(&self, source: Source<'_>, out: &mut [f64]) {
        self.crew.for_each_chunk(out, TASK_ROWS, |task, out| {
            let mut scratch = self.scratch(Part::Whole, source, out.len());
            self.row_errors_in(source, task * TASK_ROWS, &mut scratch, out);
        });
    }

    /// [`Inference::row_errors`] of the rows from `first` on, as many as `out` has, on this thread.
    pub(crate) fn row_errors_in(
        &self,
        source: Source<'_>,
        first: usize,
        scratch: &mut Scratch<T>,
        out: &mut [f64],
    ) {
        let block_rows = self.block_rows(Part::Whole);
        for (block, out) in out.chunks_mut(block_rows).enumerate() {
            self.errors(source, first + block * block_rows, out.len(), scratch);
            for (y, x) in out.iter_mut().zip(&scratch.squares) {
                *y = nan_to_infinity(x.to_f64());
            }
        }
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
        let (width, block_rows) = (self.network.input, self.block_rows(Part::Whole));
        self.crew.for_each_chunk(out, (TASK_ROWS * width).max(1), |task, out| {
            let mut scratch = self.scratch(Part::Whole, source, out.len() / width.max(1));
            for (block, out) in out.chunks_mut((block_rows * width).max(1)).enumerate() {
                let first = task * TASK_ROWS + block * block_rows;
                let delta = self.errors(source, first, out.len() / width.max(1), &mut scratch);
                panel::scatter_rows(self.network.isa, delta, None, out);
                out.iter_mut().for_each(|x| *x = of(*x));
            }
        });
    }

    /// Computes `[loss, squared error]` of each row, as in training but without noise or dropout.
    pub(crate) fn row_losses(&self, source: Source<'_>, out: &mut [[f64; 2]]) {
        let block_rows = self.block_rows(Part::Whole);
        self.crew.for_each_chunk(out, TASK_ROWS, |task, out| {
            let mut scratch = self.scratch(Part::Whole, source, out.len());
            for (block, out) in out.chunks_mut(block_rows).enumerate() {
                let (first, rows) = (task * TASK_ROWS + block * block_rows, out.len());
                self.losses(source, first, rows, &mut scratch);
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
        let rows = rows.min(self.block_rows(part));
        Scratch::new(self.network, self.scratch_widths(part), rows, source.table.targets.is_some())
    }

    /// The numbers of values per row of the input of a part, and of the widest output of its stages.
    fn scratch_widths(&self, part: Part) -> [usize; 2] {
        let between = self.stages(part).map(|index| self.network.stage_shape(index).1).max();
        [self.widths(part).0, between.unwrap_or(0)]
    }

    /// Rows per block: fewer where a row has so many values that memory would be the limit.
    fn block_rows(&self, part: Part) -> usize {
        if self.scratch_widths(part).into_iter().max() > Some(WIDE) { WIDE_BLOCK_ROWS } else { BLOCK_ROWS }
    }

    /// Checks that there is memory to run `rows` rows through `part`, where that is much: a small file
    /// may hold a convolutional network with very many values per row.
    pub(crate) fn expect_memory(&self, part: Part, rows: usize, has_targets: bool) -> Result<(), DataError> {
        let [input, between] = self.scratch_widths(part);
        if input.max(between) <= WIDE {
            return Ok(());
        }
        let tables = if self.network.objective.mask_missing || has_targets { 2 } else { 1 };
        let width = input.saturating_mul(tables).saturating_add(between.saturating_mul(2));
        let scratches = self.crew.threads().min(rows.div_ceil(TASK_ROWS));
        let rows = scratches * panel_len::<T>(1, rows.min(WIDE_BLOCK_ROWS));
        memory::room::<T>("the values between the layers", rows, width).map(drop)
    }

    fn stages(&self, part: Part) -> Range<usize> {
        let Network { stages, encoder_stages, .. } = self.network;
        match part {
            Part::Encoder => 0..*encoder_stages,
            Part::Posterior => {
                let latent = stages.iter().position(|stage| matches!(stage, Stage::Gaussian(_)));
                0..latent.unwrap_or(*encoder_stages)
            }
            Part::Decoder => *encoder_stages..stages.len(),
            Part::Whole => 0..stages.len(),
        }
    }

    fn widths(&self, part: Part) -> (usize, usize) {
        part.widths(self.network.input, self.network.code)
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
        let ForwardResult { output, .. } =
            self.forward_with_input(part, End::Reconstructions, source, first, rows, scratch);
        Panels::new(&output[..panel_len::<T>(outputs, rows)], outputs, rows)
    }

    /// Like [`Inference::forward`], but also returns the input, and the output mutably.
    fn forward_with_input<'s>(
        &self,
        part: Part,
        end: End,
        source: Source<'_>,
        first: usize,
        rows: usize,
        scratch: &'s mut Scratch<T>,
    ) -> ForwardResult<'s, T> {
        let map = (part != Part::Decoder).then(|| self.maps.scaling());
        let width = self.widths(part).0;
        scratch.gather(self.network, source, first, rows, width, map);
        let Scratch { input, target, buffers: [from, to], active, losses, squares, divergences } = scratch;
        divergences.fill(T::ZERO);
        let input = &mut input.as_mut_slice()[..panel_len::<T>(width, rows)];
        let target = &mut target.as_mut_slice()[..];
        let has_targets = source.table.targets.is_some();
        if self.network.objective.mask_missing && part != Part::Decoder {
            // Errors count known values only; missing ones enter the network as zero.
            if !has_targets {
                target[..input.len()].copy_from_slice(input);
            }
            input.iter_mut().filter(|x| x.to_f64().is_nan()).for_each(|x| *x = T::ZERO);
        }
        let mut state = ForwardState {
            from: from.as_mut_slice(),
            to: to.as_mut_slice(),
            active: active.as_mut_slice(),
            divergences: &mut divergences[..rows],
            has_output: false,
            sparse: None,
        };
        for index in self.stages(part) {
            self.forward_stage(index, part, end, &*input, &mut state);
        }
        if part.ends_in_rows() && end == End::Reconstructions {
            self.head(rows, &mut state);
        }
        let output = state.from;
        let input = if self.network.objective.mask_missing || has_targets { &*target } else { &*input };
        ForwardResult { input, output, losses, squares }
    }

    /// Runs values through one stage: from `input` for the first stage, otherwise from where the
    /// previous one left them.
    fn forward_stage<'n>(
        &'n self,
        index: usize,
        part: Part,
        end: End,
        input: &[T],
        state: &mut ForwardState<'_, 'n, T>,
    ) {
        let Network { isa, stages, layers, .. } = self.network;
        let isa = *isa;
        let parameters = self.network.parameters.as_slice();
        let (inputs, outputs) = self.network.stage_shape(index);
        let rows = state.divergences.len();
        let ForwardState { from, to, active, divergences, .. } = state;
        let x = if state.has_output { &**from } else { input };
        let x = Panels::new(&x[..panel_len::<T>(inputs, rows)], inputs, rows);
        let y = PanelsMut::new(&mut to[..panel_len::<T>(outputs, rows)], outputs, rows);
        match &stages[index] {
            Stage::Dense(layer) => match state.sparse.take() {
                Some(latent) => {
                    let most = latent.k * rows;
                    let active = Active::new(&active[..sparse::active_len(most, rows)], most, rows);
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
                copy_first_features(x, y);
                if end == End::Outputs {
                    latent::add_divergence(isa, latent.divergence(1.0), x, divergences);
                }
            }
            Stage::TopK(latent) => {
                let codes = &mut from[..panel_len::<T>(inputs, rows)];
                let memory = &mut active[..latent.memory_len::<T>(rows)];
                let active = latent.select(isa, Panels::new(codes, inputs, rows), memory);
                if self.stages(part).contains(&(index + 1)) && self.network.decodes_sparsely(index) {
                    state.sparse = Some(latent);
                } else {
                    active.scatter(PanelsMut::new(codes, inputs, rows));
                }
                return;
            }
            Stage::BatchTopK(BatchTopKLatent { threshold, .. }) => {
                sparse::zero_below(isa, T::from_f64(*threshold), &mut from[..panel_len::<T>(inputs, rows)]);
                return;
            }
            Stage::Dropout(_) | Stage::Penalty(_) | Stage::Contraction(_) => return,
        }
        state.swap_buffers();
    }

    /// Maps the outputs of the last layer to the reconstructions that they stand for.
    fn head(&self, rows: usize, state: &mut ForwardState<'_, '_, T>) {
        let (loss, features) = (self.network.objective.loss, self.network.input);
        match loss {
            Loss::Bce | Loss::SigmoidMse => {
                Activation::Sigmoid
                    .apply(self.network.isa, &mut state.from[..panel_len::<T>(features, rows)]);
            }
            Loss::GaussianNll => {
                let outputs = loss.kernel().outputs(features);
                let x = Panels::new(&state.from[..panel_len::<T>(outputs, rows)], outputs, rows);
                let y = PanelsMut::new(&mut state.to[..panel_len::<T>(features, rows)], features, rows);
                copy_first_features(x, y);
                state.swap_buffers();
            }
            Loss::Mse | Loss::Mae | Loss::Huber { .. } => {}
        }
    }

    /// Computes the losses of the rows, with the network's own loss.
    fn losses(&self, source: Source<'_>, first: usize, rows: usize, scratch: &mut Scratch<T>) {
        let (features, objective) = (self.network.input, &self.network.objective);
        let loss = objective.loss.kernel();
        let outputs = loss.outputs(features);
        let ForwardResult { input, output, losses, squares } =
            self.forward_with_input(Part::Whole, End::Outputs, source, first, rows, scratch);
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
        let ForwardResult { input, output, losses, squares } =
            self.forward_with_input(Part::Whole, End::Reconstructions, source, first, rows, scratch);
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
fn nan_to_infinity(error: f64) -> f64 {
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Where a run through the network ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// At the reconstructions that the last layer's outputs stand for.
    Reconstructions,
    /// At the last layer's outputs.
    Outputs,
}

/// The result of a run through the network, in its memory.
struct ForwardResult<'s, T> {
    /// The rows that the outputs are compared with.
    input: &'s [T],
    output: &'s mut [T],
    losses: &'s mut [T; BLOCK_ROWS],
    squares: &'s mut [T; BLOCK_ROWS],
}

/// The values of a block as they pass through the stages, and what accumulates on the way.
struct ForwardState<'s, 'n, T> {
    /// The output of the last stage, and room for that of the next.
    from: &'s mut [T],
    to: &'s mut [T],
    active: &'s mut [T],
    /// One per row.
    divergences: &'s mut [T],
    /// Whether any stage has written an output.
    has_output: bool,
    /// The latent whose active features, in `active`, are the only form of the codes.
    sparse: Option<&'n TopKLatent>,
}

impl<T> ForwardState<'_, '_, T> {
    /// Makes the output of this stage the input of the next.
    fn swap_buffers(&mut self) {
        self.has_output = true;
        std::mem::swap(&mut self.from, &mut self.to);
    }
}

/// Copies the first features of `x`, as many as `y` has.
fn copy_first_features<T: Element>(x: Panels<'_, T>, mut y: PanelsMut<'_, T>) {
    let panels = x.data().chunks_exact((x.rows() * T::PANEL).max(1));
    let features = y.rows();
    for (x, y) in panels.zip(y.data().chunks_exact_mut((features * T::PANEL).max(1))) {
        y.copy_from_slice(&x[..y.len()]);
    }
}

/// Memory for one block of rows.
#[derive(Clone, Debug)]
pub(crate) struct Scratch<T> {
    input: AlignedBuf<T>,
    /// What the output is compared with, if that is not the network's input: the input before missing
    /// values were filled, or the targets.
    target: AlignedBuf<T>,
    buffers: [AlignedBuf<T>; 2],
    /// For a top-k latent.
    active: AlignedBuf<T>,
    losses: [T; BLOCK_ROWS],
    squares: [T; BLOCK_ROWS],
    divergences: [T; BLOCK_ROWS],
}

impl<T: Element> Scratch<T> {
    /// No memory.
    pub(crate) fn empty() -> Self {
        let buffer = || AlignedBuf::unwritten(0);
        let zeros = [T::ZERO; BLOCK_ROWS];
        Scratch {
            input: buffer(),
            target: buffer(),
            buffers: [buffer(), buffer()],
            active: buffer(),
            losses: zeros,
            squares: zeros,
            divergences: zeros,
        }
    }

    /// Memory to run single rows through any part.
    ///
    /// # Errors
    /// [`DataError::OutOfMemory`] if a very wide network needs more than there is.
    pub(crate) fn for_one_row(network: &Network<T>) -> Result<Self, DataError> {
        let buffers = if network.objective.mask_missing { 4 } else { 3 };
        memory::room::<T>("the values of a row", buffers * panel_len::<T>(1, 1), network.widest())?;
        Ok(Scratch::new(network, [network.widest(); 2], 1, false))
    }

    /// Memory to run any rows through any part, with or without targets.
    pub(crate) fn for_all_rows(network: &Network<T>) -> Self {
        Scratch::new(network, [network.widest(); 2], BLOCK_ROWS, true)
    }

    /// Memory for `rows` rows at a time, or as many as are processed together. `widths` are those of the
    /// input and of the widest output of a stage; `has_targets` makes room for targets.
    fn new(network: &Network<T>, widths: [usize; 2], rows: usize, has_targets: bool) -> Self {
        let rows = rows.clamp(1, BLOCK_ROWS);
        let [input, between] = widths.map(|width| panel_len::<T>(width, rows));
        let target = if network.objective.mask_missing || has_targets { input } else { 0 };
        let zeros = [T::ZERO; BLOCK_ROWS];
        Scratch {
            input: AlignedBuf::unwritten(input),
            target: AlignedBuf::unwritten(target),
            buffers: [AlignedBuf::unwritten(between), AlignedBuf::unwritten(between)],
            active: AlignedBuf::unwritten(network.top_k().map_or(0, |latent| latent.memory_len::<T>(rows))),
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
