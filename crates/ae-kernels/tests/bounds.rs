//! Sizes whose products overflow: every function that is safe to call rejects them before it reads
//! anything.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use ae_kernels::activation::Activation;
use ae_kernels::conv::{Conv, Conv2d, sum_gradients};
use ae_kernels::finite::rows_finite;
use ae_kernels::gemm::{self, BatchPanels, Blocking, Round, WeightRange};
use ae_kernels::panel::{Panels, PanelsMut, gather_rows};
use ae_kernels::par::Crew;
use ae_kernels::simd::{Kernel, Simd};
use ae_kernels::sparse::Active;
use ae_kernels::tile::{self, Forms, PairedTiles, Parts, split};
use ae_kernels::update::Rule;
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};

/// Returns the message that `work` panics with.
fn refused(work: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
    let said = panic.downcast_ref::<&str>().map(ToString::to_string);
    said.or(panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn gradient(x: BatchPanels<'_, f32>, delta: BatchPanels<'_, f32>, inputs: usize) {
    let (mut weights, range) = ([0.0; 16], WeightRange { panels: 0..1, rows: 0..1 });
    let rule = Rule::Gradient { scale: 1.0 };
    gemm::weight_gradient(
        Isa::best(),
        Blocking::default(),
        (inputs, 16),
        &range,
        x,
        delta,
        (Round::whole(), rule),
        &mut weights,
        &mut [],
    );
}

#[test]
fn batch_panels_end_inside_their_data() {
    let (data, deltas) = ([0.0f32; 32], [0.0f32; 512]);
    let x = BatchPanels { data: &data, block_len: 16, offset: 0, panel_len: 16, block_panels: 1, rows: 32 };
    let delta =
        BatchPanels { data: &deltas, block_len: 256, offset: 0, panel_len: 256, block_panels: 1, rows: 32 };
    gradient(x, delta, 1);
    let before = 0usize.wrapping_sub(16);
    for wrong in [
        BatchPanels { offset: before, ..x },
        BatchPanels { block_len: before, ..x },
        BatchPanels { block_len: usize::MAX / 2 + 1, ..x },
        BatchPanels { panel_len: before, ..x },
        BatchPanels { offset: before, block_panels: 2, ..x },
        BatchPanels { offset: 1, ..x },
    ] {
        let delta = BatchPanels { block_panels: wrong.block_panels, block_len: 512, ..delta };
        let delta = if wrong.block_panels == 1 { BatchPanels { block_len: 256, ..delta } } else { delta };
        let said = refused(|| gradient(wrong, delta, 1));
        assert!(said.contains("batch panels outside"), "{wrong:?}: {said}");
    }
    let said = refused(|| gradient(x, delta, usize::MAX / 16 + 2));
    assert!(said.contains("weight_gradient"), "{said}");
    let none = (BatchPanels { block_panels: 0, ..x }, BatchPanels { block_panels: 0, ..delta });
    assert_eq!(refused(|| gradient(none.0, none.1, 1)), "blocks without panels");
}

#[test]
fn panels_hold_what_their_size_says() {
    for (rows, cols) in
        [(usize::MAX / 16 + 2, 16), (usize::MAX / 16 + 1, 1), (1, usize::MAX), (usize::MAX, usize::MAX)]
    {
        let said = refused(|| _ = Panels::new(&[0.0f32; 16], rows, cols));
        assert!(said.contains("not 16 elements"), "{said}");
        let said = refused(|| _ = PanelsMut::new(&mut [0.0f64; 16], rows, cols));
        assert!(said.contains("not 16 elements"), "{said}");
    }
}

#[test]
fn tiles_end_inside_their_data() {
    let data = [0.0f32; 256];
    let (mut weights, range) = ([0.0; 256], WeightRange { panels: 0..1, rows: 0..16 });
    let mut product = |pairs: PairedTiles<'_>| {
        let rule = Rule::Gradient { scale: 1.0 };
        tile::weight_gradient(Isa::best(), Parts::One, 16, &range, pairs, pairs, rule, &mut weights, &mut []);
    };
    let pairs = PairedTiles { data: &data, offset: 0, stride: 256, pairs: 1 };
    product(pairs);
    for wrong in [
        PairedTiles { stride: usize::MAX / 8 + 1, pairs: 9, ..pairs },
        PairedTiles { offset: usize::MAX, ..pairs },
        PairedTiles { stride: usize::MAX, pairs: 2, ..pairs },
        PairedTiles { pairs: 2, ..pairs },
    ] {
        let said = refused(|| product(wrong));
        assert!(said.contains("weight_gradient"), "{wrong:?}: {said}");
    }
}

#[test]
fn pairs_of_forms_are_disjoint() {
    let (isa, parts, layer, x) = (Isa::best(), Parts::One, [0.0f32; 2 * 16], [0.0; 4 * 256]);
    let layer = Panels::new(&layer, 2, 16);
    let len = split::pair_len(parts, 16);
    let product = |stride: usize| {
        let (mut kept, mut y) = (vec![0.0; 2 * len], [0.0; 16 * 64]);
        let mut scratch = vec![0.0; tile::scratch_len(parts, 4)];
        let forms = Forms { next: None, kept: Some(&mut kept), stride };
        let (x, y) = (&x[..4 * split::panel_len(parts, 1)], PanelsMut::new(&mut y, 16, 64));
        tile::forward((isa, Crew::SOLO), parts, layer, x, y, Activation::Linear, Some(forms), &mut scratch);
    };
    product(len);
    // The end of the last pair wraps around to inside `kept`.
    for wrong in [0usize.wrapping_sub(len), len - 1, len + 1, usize::MAX] {
        let said = refused(|| product(wrong));
        assert!(said.contains("forward"), "{wrong}: {said}");
    }
}

struct Transpose(usize, usize);

impl Kernel<f32> for Transpose {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<f32>>(self, s: S) {
        s.transpose(&[0.0; 256], self.0, &mut [0.0; 256], self.1);
    }
}

#[test]
fn transposed_lines_end_inside_their_data() {
    for isa in Isa::available() {
        f32::run(isa, Transpose(16, 16));
        for stride in [15, 17, usize::MAX / 15, usize::MAX] {
            for wrong in [(stride, 16), (16, stride)] {
                let said = refused(|| f32::run(isa, Transpose(wrong.0, wrong.1)));
                assert!(said.contains("apart in 256"), "{wrong:?} on {isa}: {said}");
            }
        }
    }
}

#[test]
fn blocks_larger_than_the_sum_are_the_whole_sum() {
    let (weights, delta) = ([1.0f32; 2 * 16], [1.0f32; 16]);
    for isa in Isa::available() {
        let mut dx = [0.0; 16];
        let blocking = Blocking { kc: usize::MAX, nc: usize::MAX };
        let (weights, delta) = (Panels::new(&weights, 2, 1), Panels::new(&delta, 1, 16));
        let below = (Panels::new(&[0.0; 16], 1, 16), Activation::Linear);
        gemm::backward_input(isa, blocking, weights, 0, delta, below, PanelsMut::new(&mut dx, 1, 16));
        assert_eq!(dx, [1.0; 16], "on {isa}");
    }
}

#[test]
fn images_have_no_more_values_than_numbers_go() {
    let shape = Conv2d {
        height: 4,
        width: 4,
        channels_in: usize::MAX / 16 + 1,
        channels_out: 1,
        kernel: 1,
        stride: 1,
        padding: 0,
        groups: 1,
    };
    assert!(Conv::down(shape).is_none() && Conv::up(shape).is_none());
    let shape =
        Conv2d { channels_in: 1 << (usize::BITS / 2 + 1), channels_out: 1 << (usize::BITS / 2 + 1), ..shape };
    assert!(Conv::down(shape).is_none());
    assert!(Conv::down(Conv2d { channels_in: 3, channels_out: 2, ..shape }).is_some());
}

/// A range whose number of parameters wraps around to the length of the weights.
#[test]
#[cfg(target_pointer_width = "64")]
fn parameters_are_no_more_than_numbers_go() {
    let (inputs, panels) = ((1_usize << 60) - 33, (1_usize << 55) - 6);
    let range = WeightRange { panels: 0..panels, rows: 0..inputs + 1 };
    assert_eq!(range.panels.len().wrapping_mul(range.rows.len()).wrapping_mul(16), 3072);
    let of =
        BatchPanels { data: &[], block_len: 0, offset: 0, panel_len: usize::MAX, block_panels: 1, rows: 0 };
    for isa in Isa::available() {
        let mut weights = [1.0_f32; 3072];
        let rule = Rule::Sgd { step: f32::NAN };
        let said = refused(|| {
            let sizes = (inputs, 16 * panels);
            let update = (Round::whole(), rule);
            gemm::weight_gradient(
                isa,
                Blocking::default(),
                sizes,
                &range,
                of,
                of,
                update,
                &mut weights,
                &mut [],
            );
        });
        assert!(said.contains("weight_gradient: "), "on {isa}: {said}");
    }
}

/// Rows, panels and elements whose offsets wrap around into the data.
#[test]
fn rows_and_panels_beyond_the_data_are_refused() {
    let huge = 1usize << (usize::BITS - 1);
    let table = [1.0f32, 2.0];
    let mut panel = [0.0f32; 32];
    let said = refused(|| gather_rows(Isa::best(), &table, &[huge], None, PanelsMut::new(&mut panel, 2, 1)));
    assert!(said.contains("of 1 rows"), "{said}");
    let said = refused(|| {
        rows_finite((Isa::best(), Crew::SOLO), &table, 2, &[0, huge]);
    });
    assert!(said.contains("of 1 rows"), "{said}");
    let panels = Panels::new(&panel, 2, 1);
    assert!(refused(|| drop(panels.panel(huge >> 4).to_vec())).contains("out of range"));
    for (row, col) in [(huge >> 3, 0), (2, 0), (0, 1)] {
        let said = refused(|| {
            panels.get(row, col);
        });
        assert!(said.contains("of [2, 1]"), "{said}");
    }
    assert!(!refused(|| drop(AlignedBuf::<f32>::zeroed((1 << (usize::BITS - 2)) + 1))).is_empty());
}

/// Sums of gradients that start before the first.
#[test]
fn gradients_of_convolutions_start_inside_theirs() {
    let data = [1.0f32; 32];
    let gradients =
        BatchPanels { data: &data, block_len: 32, offset: 16, panel_len: 16, block_panels: 1, rows: 1 };
    let said = refused(|| {
        let first = 0usize.wrapping_sub(16);
        sum_gradients(Isa::best(), gradients, first, Rule::Sgd { step: 1.0 }, &mut [0.0; 16], &mut []);
    });
    assert!(said.contains("gradients of 16 parameters"), "{said}");
}

/// Operands of tiles whose lengths wrap around to those that are there.
#[test]
#[cfg(target_pointer_width = "64")]
fn tiles_are_no_more_than_numbers_go() {
    let (isa, inputs) = (Isa::best(), 1usize << 61);
    for parts in [Parts::One, Parts::Three] {
        assert_eq!(split::panel_len(parts, usize::MAX), usize::MAX);
        assert_eq!(tile::scratch_len(parts, usize::MAX), usize::MAX);
        let none = PairedTiles { data: &[], offset: 0, stride: 0, pairs: 1 };
        let range = WeightRange { panels: 0..0, rows: 0..0 };
        let rule = Rule::Sgd { step: 1.0 };
        let said = refused(|| {
            tile::weight_gradient(isa, parts, inputs, &range, none, none, rule, &mut [], &mut []);
        });
        assert!(said.contains("weight_gradient: "), "{said}");
    }
    let said = refused(|| {
        Active::<f32>::new(&[], 1 << 63, 0);
    });
    assert!(!said.is_empty());
}
