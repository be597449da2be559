//! The working memory of a plan's steps.

use ae_data::{DataError, memory};
use ae_kernels::panel::panel_count;
use ae_kernels::sparse::Index;
use ae_kernels::workspace::AlignedBuf;

use super::{Arithmetic, Layout, OnTiles, StepPlan, Strategy};

/// The number of rows in the last round of a batch, and whether that round was also the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastRound {
    pub(super) rows: usize,
    pub(super) is_first: bool,
}

/// The working memory of one plan's steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arena<T> {
    pub(super) blocks: AlignedBuf<T>,
    pub(super) kept: AlignedBuf<T>,
    /// For products that threads share.
    pub(super) shared_scratch: AlignedBuf<T>,
    /// Gradients summed over all rounds of a batch but the last, and the round left for phase 2.
    pub(super) sums: AlignedBuf<T>,
    pub(super) last_round: LastRound,
    /// For a stage that awaits the whole batch: means, or values to choose from and the smallest kept.
    pub(super) means: Vec<f64>,
    pub(super) values: Vec<T>,
    pub(super) threshold: Option<T>,
    /// For sparse codes.
    pub(super) index: Index<T>,
    /// For the contractive penalty: squared column norms of the encoder's weights, and sums of squared
    /// slopes, one panel row per feature of the encoding.
    pub(super) column_squares: Vec<T>,
    pub(super) slopes: Vec<T>,
}

impl<T: Arithmetic> StepPlan<T> {
    /// The number of blocks, and of those that have memory at a time.
    fn blocks(&self) -> [usize; 2] {
        let blocks = panel_count::<T>(self.max_rows()).div_ceil(self.layout.block_panels);
        [blocks, if self.layout.reuses_blocks { blocks.min(self.threads.max(1)) } else { blocks }]
    }

    /// Checks that there is memory for its steps.
    ///
    /// # Errors
    /// [`DataError::OutOfMemory`] otherwise.
    pub(crate) fn expect_memory(&self) -> Result<(), DataError> {
        let [blocks, in_memory] = self.blocks();
        let Layout { block_len, kept_len, .. } = self.layout;
        let width = in_memory.saturating_mul(block_len).saturating_add(blocks.saturating_mul(kept_len));
        let rows = self.max_rows().max(1);
        memory::room::<T>("the values of a batch", rows, width.div_ceil(rows)).map(drop)
    }

    /// Allocates the memory for its steps.
    pub(crate) fn arena(&self) -> Arena<T> {
        let [blocks, in_memory] = self.blocks();
        Arena {
            blocks: AlignedBuf::unwritten(in_memory * self.layout.block_len),
            kept: AlignedBuf::unwritten(blocks * self.layout.kept_len),
            shared_scratch: AlignedBuf::unwritten(match &self.strategy {
                Strategy::Tiles(plan) => plan.scratch_len(self.threads),
                Strategy::Plain(_) | Strategy::Sparse(_) => 0,
            }),
            sums: AlignedBuf::unwritten(if self.round_rows < self.batch { self.ranges.end() } else { 0 }),
            last_round: LastRound::default(),
            means: Vec::new(),
            values: Vec::with_capacity(self.batch * self.candidates_per_row),
            threshold: None,
            index: match &self.strategy {
                Strategy::Sparse(plan) => plan.index(self.batch),
                Strategy::Plain(_) | Strategy::Tiles(_) => Index::default(),
            },
            column_squares: Vec::new(),
            slopes: Vec::new(),
        }
    }
}
