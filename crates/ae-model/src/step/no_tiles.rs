//! Steps on tiles for arithmetics without tiles: an uninhabited implementation.

use std::convert::Infallible;
use std::ops::Range;

use ae_kernels::panel::{Panels, PanelsMut};
use ae_kernels::par::Crew;
use ae_kernels::tile::Parts;
use ae_kernels::update::Rule;
use ae_kernels::{Element, Isa};

use super::acts::{Act, ByActs, Product, StepMemory};
use super::block::{Areas, Block};
use super::{Batch, Layout, OnTiles, Operands, ParameterSlice, Phases, Piece};
use crate::layer::Dense;
use crate::network::Network;

impl<T: Element> OnTiles<T> for Infallible {
    fn plan(_: &Network<T>, _: usize, _: usize, _: Parts) -> Option<Self> {
        None
    }
    const AVAILABLE: bool = false;
    fn scratch_len(&self, _: usize) -> usize {
        match *self {}
    }
    fn encode_len(_: Parts, _: usize, _: usize) -> [usize; 2] {
        [0; 2]
    }
    fn encode(
        isa: Isa,
        _: Parts,
        layer: &Dense,
        all: &[T],
        x: Panels<'_, T>,
        y: PanelsMut<'_, T>,
        _: [&mut [T]; 2],
    ) {
        layer.forward(isa, all, x, y, None);
    }
}

impl<T: Element> Phases<T> for Infallible {
    fn layout(&self) -> &Layout {
        match *self {}
    }
    fn one_block(&self, _: &Network<T>, _: Batch<'_, T>, _: Range<usize>, _: &mut [T], _: &mut [T]) {
        match *self {}
    }
    fn block<'a>(&'a self, _: &'a Network<T>, _: Batch<'a, T>) -> Block<'a, T> {
        match *self {}
    }
    fn update(&self, _: Operands<'_, T>, _: &Piece, _: Rule<T>, _: ParameterSlice<'_, T>) {
        match *self {}
    }
}

impl<T: Element> ByActs<T> for Infallible {
    fn areas(&self) -> &Areas {
        match *self {}
    }
    fn act(&self, _: &Block<'_, T>, _: Act, _: &mut [T], _: &mut [T]) {
        match *self {}
    }
    fn worth_sharing(&self, _: &Network<T>, _: usize, _: usize) -> Option<usize> {
        match *self {}
    }
    fn share(&self, _: &Network<T>, _: Crew<'_>, _: Batch<'_, T>, _: Product, _: StepMemory<'_, T>) {
        match *self {}
    }
}
