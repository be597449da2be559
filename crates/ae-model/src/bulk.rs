//! Rows through a network outside training: encoding, decoding, reconstruction, errors. Blocks of rows in parallel.

use ae_kernels::Element;
use ae_kernels::loss;
use ae_kernels::panel::{self, Affine, Panels, PanelsMut, panel_len};
use ae_kernels::par::Crew;
use ae_kernels::workspace::AlignedBuf;

use crate::network::Network;
use crate::scale::Maps;

/// Rows that go through the network together.
const BLOCK_ROWS: usize = 64;
/// Blocks of a task, so that its scratch memory is made once for all of them.
const BLOCKS_A_TASK: usize = 8;
/// Rows of a task.
const TASK_ROWS: usize = BLOCK_ROWS * BLOCKS_A_TASK;

/// Rows of a row-major table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// As wide as the network at the place where the rows enter.
    pub(crate) table: &'a [f32],
    /// Which rows; all of them in order where there are none.
    pub(crate) indices: Option<&'a [usize]>,
}

/// Which part of the network rows go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Rows to encodings.
    Encoder,
    /// Encodings to rows.
    Decoder,
    /// Rows to rows.
    Whole,
}

/// A network and its scaling, ready for rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bulk<'a, T> {
    pub(crate) network: &'a Network<T>,
    pub(crate) maps: &'a Maps<T>,
    pub(crate) crew: Crew,
}

impl<T: Element> Bulk<'_, T> {
    /// Sends the rows through `part` into `out`, row-major, as wide as the end of the part.
    pub(crate) fn run(&self, part: Part, source: Source<'_>, out: &mut [f32]) {
        let width = self.layers(part).last().map_or(0, |layer| layer.outputs);
        let map = (part != Part::Encoder).then(|| self.maps.outwards());
        self.crew.for_each_chunk(out, (TASK_ROWS * width).max(1), |task, out| {
            let mut scratch = Scratch::new(self.network, out.len() / width.max(1));
            for (block, out) in out.chunks_mut((BLOCK_ROWS * width).max(1)).enumerate() {
                let first = task * TASK_ROWS + block * BLOCK_ROWS;
                let y = self.forward(part, source, first, out.len() / width.max(1), &mut scratch);
                panel::scatter_rows(self.network.isa, y, map, out);
            }
        });
    }

    /// Sends one row through `part` into `out`.
    pub(crate) fn one(&self, part: Part, row: &[f32], scratch: &mut Scratch<T>, out: &mut [f32]) {
        let map = (part != Part::Encoder).then(|| self.maps.outwards());
        let y = self.forward(part, Source { table: row, indices: None }, 0, 1, scratch);
        panel::scatter_rows(self.network.isa, y, map, out);
    }

    /// The squared error of one row, summed over its scaled features.
    pub(crate) fn row_error(&self, row: &[f32], scratch: &mut Scratch<T>) -> f64 {
        self.errors(Source { table: row, indices: None }, 0, 1, scratch);
        scratch.errors[0].to_f64()
    }

    /// The squared error of each row, summed over its scaled features, into `out`.
    pub(crate) fn row_errors(&self, source: Source<'_>, out: &mut [f64]) {
        self.crew.for_each_chunk(out, TASK_ROWS, |task, out| {
            let mut scratch = Scratch::new(self.network, out.len());
            for (block, out) in out.chunks_mut(BLOCK_ROWS).enumerate() {
                self.errors(source, task * TASK_ROWS + block * BLOCK_ROWS, out.len(), &mut scratch);
                for (y, x) in out.iter_mut().zip(&scratch.errors) {
                    *y = x.to_f64();
                }
            }
        });
    }

    /// The squared error of each scaled feature of each row into `out`, `[rows, features]`.
    pub(crate) fn cell_errors(&self, source: Source<'_>, out: &mut [f32]) {
        let width = self.layers(Part::Whole).last().map_or(0, |layer| layer.outputs);
        self.crew.for_each_chunk(out, (TASK_ROWS * width).max(1), |task, out| {
            let mut scratch = Scratch::new(self.network, out.len() / width.max(1));
            for (block, out) in out.chunks_mut((BLOCK_ROWS * width).max(1)).enumerate() {
                let first = task * TASK_ROWS + block * BLOCK_ROWS;
                let delta = self.errors(source, first, out.len() / width.max(1), &mut scratch);
                panel::scatter_rows(self.network.isa, delta, None, out);
                out.iter_mut().for_each(|x| *x *= *x);
            }
        });
    }

    fn layers(&self, part: Part) -> &[crate::layer::Dense] {
        let Network { layers, encoder_layers, .. } = self.network;
        match part {
            Part::Encoder => &layers[..*encoder_layers],
            Part::Decoder => &layers[*encoder_layers..],
            Part::Whole => layers,
        }
    }

    /// Rows `first..first + rows` of the source through the part.
    fn forward<'s>(
        &self,
        part: Part,
        source: Source<'_>,
        first: usize,
        rows: usize,
        scratch: &'s mut Scratch<T>,
    ) -> Panels<'s, T> {
        let map = (part != Part::Decoder).then(|| self.maps.inwards());
        let layers = self.layers(part);
        let width = layers.first().map_or(0, |layer| layer.inputs);
        scratch.gather(self.network, source, first, rows, width, map);
        let parameters = self.network.parameters.as_slice();
        let Scratch { input, sides: [from, to], .. } = scratch;
        let (mut from, mut to) = (from.as_mut_slice(), to.as_mut_slice());
        for (index, layer) in layers.iter().enumerate() {
            let x = if index == 0 { input.as_slice() } else { &*from };
            let x = Panels::new(&x[..panel_len::<T>(layer.inputs, rows)], layer.inputs, rows);
            let y = &mut to[..panel_len::<T>(layer.outputs, rows)];
            layer.forward(self.network.isa, parameters, x, PanelsMut::new(y, layer.outputs, rows));
            std::mem::swap(&mut from, &mut to);
        }
        let outputs = layers.last().map_or(0, |layer| layer.outputs);
        Panels::new(&from[..panel_len::<T>(outputs, rows)], outputs, rows)
    }

    /// Differences `x̂ - x` of the rows; their squared sums go to `scratch.errors`.
    fn errors<'s>(
        &self,
        source: Source<'_>,
        first: usize,
        rows: usize,
        scratch: &'s mut Scratch<T>,
    ) -> Panels<'s, T> {
        self.forward(Part::Whole, source, first, rows, scratch);
        let features = self.layers(Part::Whole).last().map_or(0, |layer| layer.outputs);
        let len = panel_len::<T>(features, rows);
        let last = self.network.layers.len() % 2;
        let Scratch { input, sides, errors, .. } = scratch;
        // `forward` writes the sides in turn, the second one first.
        let output = &mut sides[last].as_mut_slice()[..len];
        loss::squared_error(
            self.network.isa,
            PanelsMut::new(output, features, rows),
            Panels::new(&input.as_slice()[..len], features, rows),
            &mut errors[..rows],
        );
        Panels::new(&sides[last].as_slice()[..len], features, rows)
    }
}

/// Memory for one block of rows.
#[derive(Debug)]
pub(crate) struct Scratch<T> {
    input: AlignedBuf<T>,
    sides: [AlignedBuf<T>; 2],
    errors: [T; BLOCK_ROWS],
}

impl<T: Element> Scratch<T> {
    pub(crate) fn new(network: &Network<T>, rows: usize) -> Self {
        let rows = rows.clamp(1, BLOCK_ROWS);
        let buffer = || AlignedBuf::zeroed(panel_len::<T>(network.widest(), rows));
        Scratch { input: buffer(), sides: [buffer(), buffer()], errors: [T::ZERO; BLOCK_ROWS] }
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
        panel::gather_rows(network.isa, source.table, indices, map, PanelsMut::new(input, width, rows));
    }
}
