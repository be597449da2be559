//! Phase 2 of a step: for ranges of the parameters, sums the gradients over the batch and updates.

use std::ops::Range;

use ae_kernels::gemm::{Round, WeightRange};
use ae_kernels::par::{Crew, DisjointRanges};
use ae_kernels::sparse::Index;
use ae_kernels::update::{self, Rule};
use ae_kernels::{Element, Isa};

use super::{Arena, Arithmetic, LastRound, Phases, StepPlan, Strategy};
use crate::layer::Dense;
use crate::network::Network;

/// Approximate number of parameters per task of phase 2: enough to pay for scheduling the task, and more
/// if there are more parameters, because panels processed together share the inputs a core has loaded.
const RANGE: std::ops::RangeInclusive<usize> = 4 * 1024..=256 * 1024;
/// Tasks of phase 2 per thread, to even out late threads.
const TASKS_PER_THREAD: usize = 8;

/// The inputs of phase 2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands<'a, T> {
    pub(super) isa: Isa,
    pub(super) layers: &'a [Dense],
    pub(super) rows: usize,
    pub(super) arena: &'a [T],
    pub(super) kept: &'a [T],
    pub(super) index: &'a Index<T>,
}

/// What a task of phase 2 owns: some parameters and their state.
#[derive(Debug)]
pub(crate) struct ParameterSlice<'a, T> {
    pub(super) parameters: &'a mut [T],
    pub(super) state: &'a mut [T],
    pub(super) round: Round<'a, T>,
}

/// A range of one layer's parameters, part of a task of phase 2.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(super) layer: usize,
    pub(super) range: WeightRange,
    /// Where it starts among all parameters.
    pub(super) start: usize,
    /// Its position within the range of the task.
    within: Range<usize>,
}

impl<T: Element> Arena<T> {
    /// What phase 2 reads of the last round.
    fn operands<'a>(&'a self, (isa, layers): (Isa, &'a [Dense])) -> Operands<'a, T> {
        let (arena, kept) = (self.blocks.as_slice(), self.kept.as_slice());
        Operands { isa, layers, rows: self.last_round.rows, arena, kept, index: &self.index }
    }
}

impl<T: Arithmetic> StepPlan<T> {
    /// Runs phase 2: sums the gradients over the batch that phase 1 left in the arena, and applies
    /// `rule` to `parameters`.
    pub(crate) fn parameters_phase(
        &self,
        at: (Isa, &[Dense]),
        crew: Crew<'_>,
        arena: &mut Arena<T>,
        rule: Rule<f64>,
        (parameters, state): (&mut [T], &mut [T]),
    ) {
        let rule = rule.cast();
        let mut sums = std::mem::take(&mut arena.sums);
        let LastRound { rows, is_first: first } = arena.last_round;
        let carried = if first { &mut [] } else { sums.as_mut_slice() };
        let operands = arena.operands(at);
        let times = if parameters.is_empty() { 0 } else { state.len() / parameters.len() };
        self.crew(crew, rows).for_each_part(
            parameters,
            [state, carried],
            &self.ranges,
            |index, parameters, more| {
                let [state, sums] = more;
                for piece in &self.pieces[index] {
                    let Range { start, end } = piece.within;
                    let sums = if sums.is_empty() { &mut [] } else { &mut sums[start..end] };
                    let round = Round { sums, first, last: true };
                    let (parameters, state) =
                        (&mut parameters[start..end], &mut state[start * times..end * times]);
                    self.update(operands, piece, rule, ParameterSlice { parameters, state, round });
                }
            },
        );
        arena.sums = sums;
    }

    /// Runs phase 2 of a round that is not the last: only sums the gradients.
    pub(super) fn accumulate_gradients(&self, network: &Network<T>, crew: Crew<'_>, arena: &mut Arena<T>) {
        let rule = Rule::Gradient { scale: T::ONE };
        let mut sums = std::mem::take(&mut arena.sums);
        let LastRound { rows, is_first: first } = arena.last_round;
        let operands = arena.operands((network.isa, &network.layers));
        let crew = self.crew(crew, rows);
        crew.for_each_part(sums.as_mut_slice(), [&mut [], &mut []], &self.ranges, |index, sums, _| {
            for piece in &self.pieces[index] {
                let round = Round { sums: &mut sums[piece.within.clone()], first, last: false };
                self.update(
                    operands,
                    piece,
                    rule,
                    ParameterSlice { parameters: &mut [], state: &mut [], round },
                );
            }
        });
        arena.sums = sums;
    }

    fn update(&self, operands: Operands<'_, T>, piece: &Piece, rule: Rule<T>, part: ParameterSlice<'_, T>) {
        match &self.strategy {
            Strategy::Plain(plan) => plan.update(operands, piece, rule, part),
            Strategy::Tiles(plan) => plan.update(operands, piece, rule, part),
            Strategy::Sparse(plan) => plan.update(operands, piece, rule, part),
        }
    }

    /// Applies `rule` to all parameters, given their complete `gradients`.
    pub(crate) fn apply_phase(
        &self,
        isa: Isa,
        crew: Crew<'_>,
        gradients: &[T],
        rule: Rule<f64>,
        (parameters, state): (&mut [T], &mut [T]),
    ) {
        let rule = rule.cast();
        crew.for_each_part(parameters, [state, &mut []], &self.ranges, |index, parameters, [state, _]| {
            let from = self.pieces[index].first().map_or(0, |piece| piece.start);
            let gradients = &gradients[from..][..parameters.len()];
            update::apply(isa, rule, gradients, parameters, state);
        });
    }
}

/// Divides the parameters into tasks of about as many elements as [`RANGE`] allows: splits long panels
/// and joins small layers.
pub(super) fn tasks<T: Element>(network: &Network<T>, threads: usize) -> (DisjointRanges, Vec<Vec<Piece>>) {
    let most = (network.parameters.as_slice().len() / (TASKS_PER_THREAD * threads.max(1)))
        .clamp(*RANGE.start(), *RANGE.end());
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut pieces: Vec<Vec<Piece>> = Vec::new();
    for (index, layer) in network.layers.iter().enumerate() {
        for (place, range) in layer.ranges::<T>(most) {
            match (ranges.last_mut(), pieces.last_mut()) {
                (Some(last), Some(of_last)) if last.len() + place.len() <= most => {
                    let within = last.len()..last.len() + place.len();
                    of_last.push(Piece { layer: index, range, start: place.start, within });
                    last.end = place.end;
                }
                _ => {
                    let within = 0..place.len();
                    pieces.push(vec![Piece { layer: index, range, start: place.start, within }]);
                    ranges.push(place);
                }
            }
        }
    }
    // A thread starts with its portion of every layer, which is what it has read if the threads share
    // products, instead of with its portion of the layers.
    let mut tasks: Vec<_> = ranges.into_iter().zip(pieces).collect();
    tasks.sort_by_key(|(range, pieces)| {
        let layer = pieces.first().map_or(&(0..0), |piece| &network.layers[piece.layer].range);
        let middle = range.start.midpoint(range.end).saturating_sub(layer.start);
        (middle as u128 * threads as u128 / layer.len().max(1) as u128, range.start)
    });
    let (ranges, pieces) = tasks.into_iter().unzip();
    let Some(ranges) = DisjointRanges::new(ranges) else {
        unreachable!("neither do layers overlap, nor the ranges of a layer")
    };
    (ranges, pieces)
}
