//! Products on panels that are apart in memory, whose outputs threads share: the same bits as on
//! contiguous panels.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_kernels::activation::Activation;
use ae_kernels::gemm::{self, Blocking};
use ae_kernels::panel::{Panels, PanelsMut, Spread, panel_count, panel_len};
use ae_kernels::par::{Crew, Places, Pool, Split};
use ae_kernels::{Element, Isa};
use ae_testing::random::SplitMix64;

fn values<T: Element>(len: usize, seed: u64) -> Vec<T> {
    let drawn = SplitMix64::new(seed).uniform_f32s(len, -1.0, 1.0);
    drawn.into_iter().map(|x| T::from_f64(f64::from(x))).collect()
}

/// Blocks of one panel each, which hold a matrix of `above` rows, other things, and one of `below` rows.
struct Blocks<T> {
    data: Vec<T>,
    block_len: usize,
    above: std::ops::Range<usize>,
    below: std::ops::Range<usize>,
}

const GAP: usize = 48;

impl<T: Element> Blocks<T> {
    fn new(above: &[T], below: &[T], cols: usize) -> Blocks<T> {
        let panels = panel_count::<T>(cols);
        let [above_len, below_len] = [above, below].map(|matrix| matrix.len() / panels.max(1));
        let block_len = above_len + below_len + 2 * GAP;
        let (above_at, below_at) = (GAP, GAP + above_len + GAP);
        let mut data = vec![T::from_f64(777.0); panels * block_len];
        for (panel, block) in data.chunks_exact_mut(block_len).enumerate() {
            block[above_at..][..above_len].copy_from_slice(&above[panel * above_len..][..above_len]);
            block[below_at..][..below_len].copy_from_slice(&below[panel * below_len..][..below_len]);
        }
        Blocks { data, block_len, above: above_at..GAP + above_len, below: below_at..below_at + below_len }
    }

    fn matrix(&self, place: &std::ops::Range<usize>) -> Vec<T> {
        self.data.chunks_exact(self.block_len).flat_map(|block| &block[place.clone()]).copied().collect()
    }

    /// What is in none of the matrices.
    fn rest(&self) -> impl Iterator<Item = &T> {
        let (above, below) = (self.above.clone(), self.below.clone());
        let inside = move |i: usize| above.contains(&i) || below.contains(&i);
        let block_len = self.block_len;
        self.data.iter().enumerate().filter(move |(i, _)| !inside(i % block_len)).map(|(_, x)| x)
    }
}

fn check<T: Element + PartialEq>(isa: Isa, [cols, inputs, outputs]: [usize; 3], threads: usize) {
    let panels = panel_count::<T>(cols);
    let weights: Vec<T> = values(panel_len::<T>(inputs + 1, outputs), 1);
    let w = Panels::new(&weights, inputs + 1, outputs);
    let (x, delta): (Vec<T>, Vec<T>) =
        (values(panel_len::<T>(inputs, cols), 2), values(panel_len::<T>(outputs, cols), 3));
    let blocking = Blocking { kc: 17, nc: 24 };
    let mut y = vec![T::ZERO; delta.len()];
    let mut dx = vec![T::ZERO; x.len()];
    let (in_x, in_delta) = (Panels::new(&x, inputs, cols), Panels::new(&delta, outputs, cols));
    gemm::forward(isa, blocking, w, in_x, PanelsMut::new(&mut y, outputs, cols), Activation::Relu);
    let below = (in_x, Activation::Relu);
    gemm::backward_input(isa, blocking, w, 0, in_delta, below, PanelsMut::new(&mut dx, inputs, cols));

    let pool = Pool::new(Some(threads)).unwrap();
    let split =
        Split { cols, pieces: 2 * threads, unit: T::PANEL, together: gemm::panels_per_tile::<T>(isa) };
    let name = format!("{cols}x{inputs}x{outputs}, {threads} threads, {isa}");
    // Only the columns that exist: what is in the padding is left open.
    let same = |got: &[T], wanted: &[T]| {
        let features = wanted.len() / T::PANEL / panels.max(1);
        got.len() == wanted.len()
            && (0..cols).all(|col| {
                (0..features).all(|f| {
                    let at = (col / T::PANEL * features + f) * T::PANEL + col % T::PANEL;
                    got[at] == wanted[at]
                })
            })
    };

    let mut blocks = Blocks::new(&x, &vec![T::ZERO; y.len()], cols);
    let places =
        Places { reads: [blocks.above.clone(), 0..0], writes: blocks.below.clone(), secondary: 0..0 };
    pool.crew().for_each_part_of_panels(
        &mut blocks.data,
        blocks.block_len,
        &places,
        split,
        |first, [x, none], y, slopes| {
            assert!(slopes.is_none() && none.rows() == 0 && x.rows() == inputs);
            let panel_len = (inputs + 1) * T::PANEL;
            let from = &weights[first / T::PANEL * panel_len..][..panel_count::<T>(y.rows()) * panel_len];
            let w = Panels::new(from, inputs + 1, y.rows());
            gemm::forward(isa, blocking, w, x, y, Activation::Relu);
        },
    );
    assert!(same(&blocks.matrix(&blocks.below), &y), "forward {name}");
    assert!(blocks.matrix(&blocks.above) == x && blocks.rest().all(|x| *x == T::from_f64(777.0)), "{name}");

    let mut blocks = Blocks::new(&delta, &vec![T::ZERO; dx.len()], cols);
    let places =
        Places { reads: [blocks.above.clone(), 0..0], writes: blocks.below.clone(), secondary: 0..0 };
    pool.crew().for_each_part_of_panels(
        &mut blocks.data,
        blocks.block_len,
        &places,
        // Any number of inputs.
        Split { unit: 3, ..split },
        |first, [delta, _], mut dx, _| {
            // Which columns these are shows in the delta; the values below are looked up by them.
            let panel = (0..panels).find(|panel| in_delta.panel(*panel) == delta.panel(0)).unwrap_or(0);
            let x = &x[panel * inputs * T::PANEL..][..delta.count() * inputs * T::PANEL];
            let below = Spread::from(Panels::new(x, inputs, delta.cols())).rows_from(first, dx.rows());
            gemm::backward_input(isa, blocking, w, first, delta, (below, Activation::Relu), dx.reborrow());
        },
    );
    assert!(same(&blocks.matrix(&blocks.below), &dx), "backward {name}");
    assert!(blocks.matrix(&blocks.above) == delta && blocks.rest().all(|x| *x == T::from_f64(777.0)));
}

#[test]
fn products_of_panels_apart_have_the_same_bits() {
    for isa in Isa::available() {
        for cols in [1, 4, 5, 16, 17, 33, 70] {
            for [inputs, outputs] in [[1, 1], [7, 20], [40, 33], [20, 16], [13, 50]] {
                for threads in [1, 2, 5] {
                    check::<f32>(isa, [cols, inputs, outputs], threads);
                    check::<f64>(isa, [cols, inputs, outputs], threads);
                }
            }
        }
    }
}

/// Three matrices in blocks of one panel: what is read, and two that are written.
#[test]
fn every_row_of_every_panel_is_handed_out_once() {
    const PANEL: usize = f32::PANEL;
    for (cols, rows, threads) in [(0, 3, 2), (1, 1, 3), (40, 7, 2), (70, 1, 7), (33, 40, 5), (170, 2, 4)] {
        for (pieces, unit, together) in [(1, 1, 1), (4, 2, 2), (13, 1, 1), (usize::MAX, 16, 3), (0, 5, 1)] {
            let panels = panel_count::<f32>(cols);
            let len = rows * PANEL;
            let block_len = 3 * len + 5;
            let places = Places {
                reads: [2..2 + len, 0..0],
                writes: 3 + len..3 + 2 * len,
                secondary: 4 + 2 * len..4 + 3 * len,
            };
            let mut data: Vec<f32> = (0..panels * block_len).map(|i| (i / block_len) as f32).collect();
            let pool = Pool::new(Some(threads)).unwrap();
            let split = Split { cols, pieces, unit, together };
            pool.crew().for_each_part_of_panels(
                &mut data,
                block_len,
                &places,
                split,
                |first, [read, none], mut writes, secondary| {
                    let mut secondary = secondary.unwrap();
                    let shape = [writes.rows(), writes.cols(), writes.count()];
                    assert_eq!([secondary.rows(), secondary.cols(), secondary.count()], shape);
                    assert_eq!([read.rows(), read.cols()], [rows, writes.cols()]);
                    assert!(none.rows() == 0 && first % unit == 0 && first + writes.rows() <= rows);
                    for panel in 0..writes.count() {
                        let of_block = read.panel(panel)[0];
                        assert!(read.panel(panel).iter().all(|x| *x == of_block));
                        for values in [writes.panel(panel), secondary.panel(panel)] {
                            assert!(values.iter().all(|x| *x == of_block));
                            values.iter_mut().for_each(|x| *x += 1000.0);
                        }
                    }
                },
            );
            for (i, x) in data.iter().enumerate() {
                let (block, at) = (i / block_len, i % block_len);
                let written = places.writes.contains(&at) || places.secondary.contains(&at);
                let wanted = block as f32 + if written { 1000.0 } else { 0.0 };
                assert_eq!(*x, wanted, "{i} of {rows} rows, {split:?}, {threads} threads");
            }
        }
    }
}

#[test]
fn panels_that_do_not_fit_are_refused() {
    let places = Places { reads: [0..16, 0..0], writes: 16..48, secondary: 0..0 };
    let good = Split { cols: 20, pieces: 2, unit: 1, together: 1 };
    let run = |places: &Places, split: Split, len: usize| {
        let mut data = vec![0f32; len];
        std::panic::catch_unwind(move || {
            Crew::SOLO.for_each_part_of_panels(&mut data, 50, places, split, |_, _, _, _| ());
        })
        .is_ok()
    };
    assert!(run(&places, good, 100));
    // Too few blocks, too many, and lines that are not whole.
    assert!(!run(&places, good, 50) && !run(&places, good, 150));
    assert!(!run(&Places { writes: 16..47, ..places.clone() }, good, 100));
    assert!(!run(&Places { reads: [0..15, 0..0], ..places.clone() }, good, 100));
    assert!(!run(&Places { writes: 15..47, ..places.clone() }, good, 100));
    assert!(
        !run(&places, Split { unit: 0, ..good }, 100) && !run(&places, Split { together: 0, ..good }, 100)
    );
    assert!(!run(&places, Split { cols: usize::MAX, ..good }, 100));
    let x = [0f32; 32];
    let spread = Spread::from(Panels::new(&x, 2, 3));
    assert_eq!(spread.rows_from(1, 1).rows(), 1);
    for (first, rows) in [(1, 2), (3, 0), (usize::MAX, 2)] {
        assert!(std::panic::catch_unwind(|| spread.rows_from(first, rows)).is_err());
    }
    assert!(std::panic::catch_unwind(|| spread.panel(1)).is_err());
}
