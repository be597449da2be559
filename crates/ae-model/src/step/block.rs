//! A block of rows in its memory: loading the rows, the stages between the layers with parameters, and
//! the loss. How products are computed is decided elsewhere.

use ae_kernels::Element;
use ae_kernels::activation::{Activation, Slope};
use ae_kernels::contraction;
use ae_kernels::latent;
use ae_kernels::loss::{self, RowLosses};
use ae_kernels::noise::{self, Donors, Stream};
use ae_kernels::norm;
use ae_kernels::panel::{self, Panels, PanelsMut, panel_count};
use ae_kernels::sparse::{self, Active};

use super::Batch;
use super::memory::Divider;
use crate::config::{CodePenalty, Noise};
use crate::network::Network;
use crate::stage::{Contraction, Dropout, GaussianLatent, Penalty, Pooling, Stage};

/// The locations of the values, and of what stages keep of them, in the memory of a block.
#[derive(Clone, Debug)]
pub(crate) struct Areas {
    /// The values before each stage, and after the last.
    values: Vec<Area>,
    /// Where the data starts that each stage keeps for its backward pass.
    saved: Vec<usize>,
    /// The targets, if they are not the first values.
    target: Option<usize>,
    /// The first stage with parameters: no delta is computed below it.
    lowest: usize,
}

#[derive(Clone, Copy, Debug)]
struct Area {
    at: usize,
    features: usize,
    /// Samples per row.
    samples_per_row: usize,
}

impl Areas {
    /// Where the targets are.
    pub(super) fn target_offset(&self) -> usize {
        self.target.unwrap_or(self.values[0].at)
    }

    /// Creates areas for `rows` rows, which must be whole panels. `chosen` is the number of elements for a
    /// latent that selects among the values of a whole batch.
    pub(super) fn new<T: Element>(
        network: &Network<T>,
        rows: usize,
        chosen: usize,
        memory: &mut Divider,
    ) -> Self {
        let mut take = |len: usize| memory.take(len).start;
        let target = network.objective.changes_input().then(|| take(network.input * rows));
        let mut values =
            vec![Area { at: take(network.input * rows), features: network.input, samples_per_row: 1 }];
        let mut saved = Vec::new();
        for (index, stage) in network.stages.iter().enumerate() {
            let below = values[index];
            let (_, features) = network.stage_shape(index);
            let samples_per_row = below.samples_per_row * stage.samples_per_row();
            let at = if stage.in_place() { below.at } else { take(features * rows * samples_per_row) };
            values.push(Area { at, features, samples_per_row });
            saved.push(take(match stage {
                // The noise, and the importance weight of each sample.
                Stage::Gaussian(_) => (features + 1) * rows * samples_per_row,
                Stage::TopK(latent) => latent.memory_len::<T>(rows),
                Stage::BatchTopK(_) => chosen,
                // The scale of each row.
                Stage::Normalize(_) => rows * samples_per_row,
                // Slopes.
                _ if keeps_slopes(network, index) => features * rows * samples_per_row,
                _ => 0,
            }));
        }
        let lowest = network.stages.iter().position(|stage| stage.layer().is_some()).unwrap_or(0);
        Areas { values, saved, target, lowest }
    }

    /// Samples per row before stage `index`.
    pub(super) fn samples_per_row(&self, index: usize) -> usize {
        self.values[index].samples_per_row
    }

    /// Where the values before stage `index` are.
    pub(super) fn offset(&self, index: usize) -> usize {
        self.values[index].at
    }

    /// The delta after stage `index`: the output's is in place of the output, others are in `scratch`.
    pub(super) fn delta_after<'m, T>(&self, index: usize, values: &'m [T], scratch: &'m [T]) -> &'m [T] {
        let after = index + 1;
        if self.is_output(after) { &values[self.offset(after)..] } else { scratch }
    }

    /// Whether the values before stage `index` are the output; `index` may be one past the last stage.
    pub(super) fn is_output(&self, index: usize) -> bool {
        index + 1 == self.values.len()
    }

    /// Where stage `index` keeps data for its backward pass.
    pub(super) fn saved(&self, index: usize) -> usize {
        self.saved[index]
    }

    /// Elements of the largest delta of `rows` rows that has no place of its own. Excludes the input's,
    /// which is not needed, and the output's.
    pub(super) fn largest_delta(&self, rows: usize) -> usize {
        let between = self.values.get(1..self.values.len() - 1).unwrap_or_default();
        between.iter().map(|area| area.features * area.samples_per_row * rows).max().unwrap_or(0)
    }

    /// The most samples per row at any stage.
    pub(super) fn max_samples_per_row(&self) -> usize {
        self.values.iter().map(|area| area.samples_per_row).max().unwrap_or(1)
    }

    /// Whether the delta before stage `index` is needed.
    pub(super) fn needs_input_delta(&self, index: usize) -> bool {
        index > self.lowest
    }
}

/// A block being processed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a, T> {
    pub(super) network: &'a Network<T>,
    pub(super) areas: &'a Areas,
    pub(super) batch: Batch<'a, T>,
    /// Columns of matrices with one sample per row: the number of rows, or more where padding is needed.
    pub(super) cols: usize,
}

impl<'a, T: Element> Block<'a, T> {
    fn rows(&self) -> usize {
        self.batch.indices.len()
    }

    /// Columns of the values before stage `index`: whole panels if there are several samples per row.
    fn cols(&self, index: usize) -> usize {
        let samples_per_row = self.areas.values[index].samples_per_row;
        if samples_per_row == 1 {
            self.cols
        } else {
            panel_count::<T>(self.cols) * T::PANEL * samples_per_row
        }
    }

    fn len(&self, index: usize) -> usize {
        let Area { features, samples_per_row, .. } = self.areas.values[index];
        panel_count::<T>(self.cols) * T::PANEL * features * samples_per_row
    }

    /// The values before stage `index`.
    pub(super) fn values<'m>(&self, memory: &'m [T], index: usize) -> Panels<'m, T> {
        let Area { at, features, .. } = self.areas.values[index];
        Panels::new(&memory[at..][..self.len(index)], features, self.cols(index))
    }

    /// The delta before stage `index`, at the start of a larger slice.
    pub(super) fn delta<'m>(&self, memory: &'m [T], index: usize) -> Panels<'m, T> {
        Panels::new(&memory[..self.len(index)], self.areas.values[index].features, self.cols(index))
    }

    /// Like [`Block::delta`], mutably.
    pub(super) fn delta_mut<'m>(&self, memory: &'m mut [T], index: usize) -> PanelsMut<'m, T> {
        PanelsMut::new(&mut memory[..self.len(index)], self.areas.values[index].features, self.cols(index))
    }

    /// The values before and after stage `index`, and the slopes it keeps, if any.
    pub(super) fn around<'m>(
        &self,
        memory: &'m mut [T],
        index: usize,
    ) -> (Panels<'m, T>, PanelsMut<'m, T>, Option<PanelsMut<'m, T>>) {
        let Area { at, features, .. } = self.areas.values[index + 1];
        let (before, after) = memory.split_at_mut(at);
        let (y, rest) = after.split_at_mut(self.areas.saved[index] - at);
        let (len, cols) = (self.len(index + 1), self.cols(index + 1));
        let slopes =
            keeps_slopes(self.network, index).then(|| PanelsMut::new(&mut rest[..len], features, cols));
        (self.values(before, index), PanelsMut::new(&mut y[..len], features, cols), slopes)
    }

    /// The operand, and the way, to compute the slope of the activation that made the values before
    /// stage `index`.
    pub(super) fn slope_below<'m>(&self, memory: &'m [T], index: usize) -> (Panels<'m, T>, Slope) {
        let Area { features, .. } = self.areas.values[index];
        let (at, slope) = self.slope_at(index);
        (Panels::new(&memory[at..][..self.len(index)], features, self.cols(index)), slope)
    }

    /// Like [`Block::slope_below`], but returns the location, which is as long as the values.
    pub(super) fn slope_at(&self, index: usize) -> (usize, Slope) {
        let of = |activation| (self.areas.offset(index), Slope::Of(activation));
        let Some(below) = index.checked_sub(1) else { return of(Activation::Linear) };
        match self.network.stages[below].layer() {
            Some(_) if keeps_slopes(self.network, below) => (self.areas.saved[below], Slope::Given),
            Some(layer) => of(self.network.layers[layer].activation),
            None => of(Activation::Linear),
        }
    }

    /// Where stage `index` keeps the slopes of its activation, if it does.
    pub(super) fn slopes_at(&self, index: usize) -> Option<usize> {
        keeps_slopes(self.network, index).then(|| self.areas.saved[index])
    }

    fn stream(&self, salt: u64) -> Stream {
        Stream { key: self.batch.draws.key(salt), first_row: self.batch.first, draw_index: 0 }
    }

    /// Applies dropout to `src`, panels of the values before stage `index` or of their deltas.
    fn drop_out(
        &self,
        Dropout { fraction, salt, features }: &Dropout,
        index: usize,
        src: &[T],
        dst: &mut [T],
    ) {
        let (isa, stream) = (self.network.isa, self.stream(*salt));
        let (len, samples_per_row) = (self.len(index), self.areas.samples_per_row(index));
        let (src, dst) = (&src[..len], &mut dst[..len]);
        let one = features * T::PANEL;
        for (panel, (src, dst)) in src.chunks_exact(one).zip(dst.chunks_exact_mut(one)).enumerate() {
            let first_row = stream.first_row + panel / samples_per_row * T::PANEL;
            let stream = Stream { first_row, draw_index: panel % samples_per_row, ..stream };
            let (src, dst) =
                (Panels::new(src, *features, T::PANEL), PanelsMut::new(dst, *features, T::PANEL));
            noise::drop_out(isa, *fraction, stream, src, dst);
        }
    }

    /// Loads the rows, scaled and corrupted as configured, and their targets, on the same scale.
    pub(super) fn load(&self, memory: &mut [T]) {
        let (isa, rows, features) = (self.network.isa, self.rows(), self.network.input);
        let at = self.areas.target_offset();
        let len = self.len(0);
        let (given, missing) = memory[at..][..len].split_at_mut(panel_count::<T>(rows) * T::PANEL * features);
        let Batch { table, indices, map, .. } = self.batch;
        panel::gather_rows(isa, table.rows, indices, map, PanelsMut::new(given, features, rows));
        missing.fill(T::ZERO);
        if self.areas.target.is_none() {
            return;
        }
        let (before, after) = memory.split_at_mut(self.areas.values[0].at);
        let clean = Panels::new(&before[at..][..len], features, self.cols);
        let input = PanelsMut::new(&mut after[..len], features, self.cols);
        let stream = self.stream(INPUT_SALT);
        match self.network.objective.noise {
            None => noise::corrupt(isa, noise::Noise::Masking { fraction: 0.0 }, stream, clean, input),
            Some(Noise::Gaussian { sigma }) => {
                noise::corrupt(isa, noise::Noise::Gaussian { sigma }, stream, clean, input);
            }
            Some(Noise::Masking { fraction }) => {
                noise::corrupt(isa, noise::Noise::Masking { fraction }, stream, clean, input);
            }
            Some(Noise::SaltAndPepper { fraction }) => {
                noise::corrupt(isa, noise::Noise::SaltAndPepper { fraction }, stream, clean, input);
            }
            Some(Noise::Swap { fraction }) => {
                let donors = Donors { table: table.rows, indices: self.batch.all, map };
                noise::swap(fraction, stream, donors, clean, input);
            }
        }
        if let Some(targets) = table.targets {
            let given = &mut before[at..][..panel_count::<T>(rows) * T::PANEL * features];
            panel::gather_rows(isa, targets, indices, map, PanelsMut::new(given, features, rows));
        }
    }

    /// Runs the forward pass of a stage without parameters.
    pub(super) fn forward(&self, memory: &mut [T], index: usize) {
        let isa = self.network.isa;
        match &self.network.stages[index] {
            Stage::Dense(_) | Stage::Conv(_) | Stage::Penalty(_) | Stage::Contraction(_) => {}
            Stage::Pool(Pooling { pool, kind }) => {
                let (x, y, _) = self.around(memory, index);
                pool.down(isa, kind.kernel(), x, y);
            }
            Stage::UpSample(pool) => {
                let (x, y, _) = self.around(memory, index);
                pool.up_sample(isa, x, y);
            }
            Stage::BatchTopK(_) => {
                if let Some(threshold) = self.batch.threshold {
                    let at = self.areas.offset(index);
                    sparse::zero_below(isa, threshold, &mut memory[at..][..self.len(index)]);
                }
            }
            Stage::TopK(latent) => {
                let area = self.areas.values[index];
                let (before, after) = memory.split_at_mut(self.areas.saved[index]);
                let codes = &mut before[area.at..][..self.len(index)];
                let cols = self.cols(index);
                let active = latent.select(isa, Panels::new(codes, area.features, cols), after);
                active.scatter(PanelsMut::new(codes, area.features, cols));
            }
            Stage::Normalize(_) => {
                let Area { at, features, .. } = self.areas.values[index + 1];
                let (before, after) = memory.split_at_mut(at);
                let (y, scales) = after.split_at_mut(self.areas.saved[index] - at);
                let x = self.values(before, index);
                let scales = &mut scales[..x.count() * T::PANEL];
                let y = PanelsMut::new(&mut y[..self.len(index + 1)], features, x.cols());
                norm::forward(isa, x, y, Some(scales));
            }
            Stage::Dropout(dropout) => {
                let (before, after) = memory.split_at_mut(self.areas.offset(index + 1));
                self.drop_out(dropout, index, &before[self.areas.offset(index)..], after);
            }
            Stage::Gaussian(GaussianLatent { settings, salt, .. }) => {
                let area = self.areas.values[index + 1];
                let (before, after) = memory.split_at_mut(area.at);
                let (codes, rest) = after.split_at_mut(self.areas.saved[index] - area.at);
                let len = self.len(index + 1);
                let h = self.values(before, index);
                let stream = self.stream(*salt);
                latent::sample(isa, stream, settings.samples, h, &mut rest[..len], &mut codes[..len]);
            }
        }
    }

    /// Computes the loss of each row, and the delta of the output in place of the output. `losses` and
    /// `squares` have room for every sample of a row; the first elements end up with those of the rows.
    pub(super) fn compute_loss(&self, memory: &mut [T], losses: &mut [T], squares: &mut [T]) {
        let last = self.network.stages.len();
        let Area { at, features, samples_per_row } = self.areas.values[last];
        let (before, after) = memory.split_at_mut(at);
        let output = &mut after[..self.len(last)];
        let target = self.areas.target_offset();
        let isa = self.network.isa;
        let (loss, weights) =
            (self.network.objective.loss.kernel(), self.network.objective.weights.as_deref());
        let (rows, input) = (self.rows(), self.network.input);
        let target = &before[target..][..self.len(0)];
        if samples_per_row == 1 {
            let panels = panel_count::<T>(rows) * T::PANEL;
            let rows_of = RowLosses { losses: &mut losses[..rows], squares: &mut squares[..rows] };
            let given = PanelsMut::new(&mut output[..panels * features], features, rows);
            let target = Panels::new(&target[..panels * input], input, rows);
            loss::evaluate(isa, loss, given, target, weights, rows_of);
            self.zero_padding(output, last);
            return;
        }
        let one = features * T::PANEL;
        for (index, output) in output.chunks_exact_mut(one).enumerate() {
            let target = &target[index / samples_per_row * input * T::PANEL..][..input * T::PANEL];
            let rows = RowLosses {
                losses: &mut losses[index * T::PANEL..][..T::PANEL],
                squares: &mut squares[index * T::PANEL..][..T::PANEL],
            };
            let given = PanelsMut::new(output, features, T::PANEL);
            loss::evaluate(isa, loss, given, Panels::new(target, input, T::PANEL), weights, rows);
        }
        if let Some(index) = self.sampling_stage() {
            self.weight_samples(before, index, losses, squares);
            let weights = &before[self.areas.saved[index] + self.len(index + 1)..];
            latent::scale_columns(isa, features, &weights[..output.len() / features], output);
        }
    }

    /// The stage that draws several samples per row, if any.
    fn sampling_stage(&self) -> Option<usize> {
        self.network.stages.iter().position(|stage| stage.samples_per_row() > 1)
    }

    /// Turns the losses of the samples into those of the rows, and stores the weight of each sample: the
    /// bound of Burda et al. 2015, eq. 8, and the normalised weights of eq. 14. Padding has weight 0.
    fn weight_samples(&self, memory: &mut [T], index: usize, losses: &mut [T], squares: &mut [T]) {
        let Area { at, samples_per_row, .. } = self.areas.values[index + 1];
        let len = self.len(index + 1);
        let panels = panel_count::<T>(self.cols);
        let (before, after) = memory.split_at_mut(self.areas.saved[index]);
        let (noise, rest) = after.split_at_mut(len);
        let weights = &mut rest[..panels * samples_per_row * T::PANEL];
        let h = self.values(before, index);
        latent::log_ratio(self.network.isa, samples_per_row, h, noise, &before[at..][..len], weights);
        for row in 0..panels * T::PANEL {
            let (panel, lane) = (row / T::PANEL, row % T::PANEL);
            let place = |sample: usize| (panel * samples_per_row + sample) * T::PANEL + lane;
            if row >= self.rows() {
                (0..samples_per_row).for_each(|sample| weights[place(sample)] = T::ZERO);
                continue;
            }
            // log w = log p(x, z) - log q(z | x)
            let log = |weights: &[T], s: usize| (weights[place(s)] - losses[place(s)]).to_f64();
            let most = (0..samples_per_row).map(|s| log(weights, s)).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = (0..samples_per_row).map(|s| (log(weights, s) - most).exp()).sum();
            let mut square = 0.0;
            for sample in 0..samples_per_row {
                let weight = (log(weights, sample) - most).exp() / total;
                let weight = if weight < MIN_SAMPLE_WEIGHT { 0.0 } else { weight };
                square += weight * squares[place(sample)].to_f64();
                weights[place(sample)] = T::from_f64(weight);
            }
            losses[row] = T::from_f64(-(most + (total / samples_per_row as f64).ln()));
            squares[row] = T::from_f64(square);
        }
    }

    /// Runs the backward pass of a stage without parameters: computes `dx` from `delta`. Both are
    /// gradients with respect to the argument of the activation that made the values. Adds the penalty
    /// of the stage to the losses of the rows.
    pub(super) fn backward(&self, memory: &[T], index: usize, delta: &[T], dx: &mut [T], losses: &mut [T]) {
        let isa = self.network.isa;
        let rows = self.rows();
        let delta = &delta[..self.len(index + 1)];
        match &self.network.stages[index] {
            Stage::Dense(_) | Stage::Conv(_) => {}
            Stage::Normalize(_) => {
                let y = self.values(memory, index + 1);
                let scales = &memory[self.areas.saved[index]..][..y.count() * T::PANEL];
                let dx = self.delta_mut(dx, index);
                norm::backward(isa, y, scales, self.delta(delta, index + 1), dx);
            }
            Stage::Pool(Pooling { pool, kind }) => {
                let around = (self.values(memory, index), self.values(memory, index + 1));
                let delta = self.delta(delta, index + 1);
                pool.down_backward(isa, kind.kernel(), around, delta, self.delta_mut(dx, index));
            }
            Stage::UpSample(pool) => {
                pool.up_sample_backward(isa, self.delta(delta, index + 1), self.delta_mut(dx, index));
            }
            Stage::Dropout(dropout) => self.drop_out(dropout, index, delta, dx),
            Stage::TopK(latent) => {
                let cols = self.cols(index);
                let most = latent.k * cols;
                let active = &memory[self.areas.saved[index]..][..sparse::active_len(most, cols)];
                Active::new(active, most, cols).mask(delta, self.delta_mut(dx, index));
            }
            Stage::Contraction(_) => dx[..delta.len()].copy_from_slice(delta),
            Stage::BatchTopK(_) => {
                let codes = self.values(memory, index).data();
                sparse::mask_inactive(isa, codes, delta, &mut dx[..codes.len()]);
            }
            Stage::Penalty(penalty) => {
                self.penalise(penalty, self.values(memory, index), delta, dx, losses);
            }
            Stage::Gaussian(latent @ GaussianLatent { settings, .. }) => {
                let h = self.values(memory, index);
                let noise = &memory[self.areas.saved[index]..];
                let (noise, rest) = noise.split_at(self.len(index + 1));
                if settings.samples > 1 {
                    let codes = &memory[self.areas.offset(index + 1)..][..noise.len()];
                    let weights = &rest[..panel_count::<T>(self.cols) * settings.samples * T::PANEL];
                    let dx = self.delta_mut(dx, index);
                    let kept = [noise, codes];
                    latent::backward_importance(isa, settings.samples, h, kept, weights, delta, dx);
                } else {
                    let divergence = latent.divergence(self.batch.draws.warm_up(settings.warm_up));
                    let real = &h.data()[..panel_count::<T>(rows) * T::PANEL * h.rows()];
                    let real = Panels::new(real, h.rows(), rows);
                    latent::add_divergence(isa, divergence, real, &mut losses[..rows]);
                    latent::backward(isa, divergence, h, noise, delta, self.delta_mut(dx, index));
                }
            }
        }
        let (y, slope) = self.slope_below(memory, index);
        let dx = &mut dx[..self.len(index)];
        slope.apply(isa, y.data(), dx);
        if let Stage::Contraction(Contraction { weight, .. }) = &self.network.stages[index] {
            let (values, weight) = (self.values(memory, index), T::from_f64(*weight));
            let squares = self.batch.column_squares;
            let activation = self.network.layers[0].activation;
            contraction::penalise(isa, activation, weight, squares, values, dx, &mut losses[..rows]);
        }
        self.zero_padding(dx, index);
    }

    fn penalise(
        &self,
        Penalty { penalty, .. }: &Penalty,
        codes: Panels<'_, T>,
        delta: &[T],
        dx: &mut [T],
        losses: &mut [T],
    ) {
        let rows = self.rows();
        let dx = &mut dx[..delta.len()];
        match *penalty {
            CodePenalty::L1 { weight } => {
                loss::add_l1_penalty(
                    self.network.isa,
                    T::from_f64(weight),
                    codes,
                    delta,
                    dx,
                    &mut losses[..rows],
                );
            }
            CodePenalty::Kl { weight, target } => {
                let Some(means) = self.batch.code_means else {
                    unreachable!("the means are computed before the stages that need them")
                };
                dx.copy_from_slice(delta);
                let mut cost = 0.0;
                for (feature, mean) in means.iter().enumerate() {
                    let mean = mean.clamp(MEAN_RANGE.0, MEAN_RANGE.1);
                    let (ratio, rest) = (target / mean, (1.0 - target) / (1.0 - mean));
                    cost += weight * (target * ratio.ln() + (1.0 - target) * rest.ln());
                    let slope = T::from_f64(weight * (rest - ratio));
                    for panel in dx.chunks_exact_mut(means.len() * T::PANEL) {
                        let line = &mut panel[feature * T::PANEL..][..T::PANEL];
                        line.iter_mut().for_each(|d| *d = *d + slope);
                    }
                }
                let cost = T::from_f64(cost);
                losses[..rows].iter_mut().for_each(|loss| *loss = *loss + cost);
            }
        }
    }

    /// Adds the values before stage `index` of each row to `sums` (`[features]`), in row order.
    pub(super) fn add_values(&self, memory: &[T], index: usize, sums: &mut [f64]) {
        let values = self.values(memory, index);
        for row in 0..self.rows() {
            for (feature, sum) in sums.iter_mut().enumerate() {
                *sum += values.get(feature, row).to_f64();
            }
        }
    }

    /// Adds the squared slopes of the encoder's only layer, which made the values before stage `index`,
    /// to `sums`.
    pub(super) fn add_slopes(&self, memory: &[T], index: usize, sums: &mut [T]) {
        let activation = self.network.layers[0].activation;
        contraction::add_slopes(self.network.isa, activation, self.values(memory, index), self.rows(), sums);
    }

    /// Appends the nonzero values before stage `index` of each row to `found`.
    pub(super) fn collect_values(&self, memory: &[T], index: usize, found: &mut Vec<T>) {
        let values = self.values(memory, index);
        for (panel, values) in values.data().chunks_exact((values.rows() * T::PANEL).max(1)).enumerate() {
            let lanes = T::PANEL.min(self.rows().saturating_sub(panel * T::PANEL));
            for line in values.chunks_exact(T::PANEL) {
                found.extend(line[..lanes].iter().filter(|value| **value != T::ZERO));
            }
        }
    }

    /// Zeroes the columns beyond the rows, in values before stage `index` or their deltas, because sums
    /// over the batch include them.
    fn zero_padding(&self, values: &mut [T], index: usize) {
        let rows = self.rows();
        if self.cols == rows {
            return;
        }
        let Area { features, samples_per_row, .. } = self.areas.values[index];
        let panel = features * samples_per_row * T::PANEL;
        let (given, missing) = values.split_at_mut(panel_count::<T>(rows) * panel);
        missing.fill(T::ZERO);
        if !rows.is_multiple_of(T::PANEL) {
            let of_last = given.len() - panel;
            for line in given[of_last..].chunks_exact_mut(T::PANEL) {
                line[rows % T::PANEL..].fill(T::ZERO);
            }
        }
    }
}

/// Whether stage `index` stores the slopes of its activation.
fn keeps_slopes<T>(network: &Network<T>, index: usize) -> bool {
    network.stages[index].layer().is_some_and(|layer| network.layers[layer].activation.keeps_slope())
}

/// Sample weights below this count as zero. Early in training most samples weigh that little, down to
/// e^-100 and less; their deltas would be denormal, which makes a product ten times as slow.
const MIN_SAMPLE_WEIGHT: f64 = 1e-20;
/// The salt of the input's noise; the salts of stages are their indices.
const INPUT_SALT: u64 = u64::MAX;
/// The range to which the mean of a feature is clamped, to keep its divergence finite.
const MEAN_RANGE: (f64, f64) = (1e-6, 1.0 - 1e-6);
