//! Work shared among threads: everything is done exactly once, whatever the number of threads.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ae_kernels::par::{Crew, DisjointRanges, Places, Pool};

#[test]
fn every_chunk_is_done_once() {
    for threads in [Some(1), Some(2), Some(3), Some(7), None] {
        let pool = Pool::new(threads).unwrap();
        for len in [0usize, 1, 9, 10, 11, 100, 101] {
            let mut data = vec![0usize; len];
            let calls = AtomicUsize::new(0);
            pool.crew().for_each_chunk(&mut data, 10, |index, chunk| {
                calls.fetch_add(1, Ordering::Relaxed);
                chunk.iter_mut().for_each(|x| *x += index + 1);
            });
            assert_eq!(calls.into_inner(), len.div_ceil(10), "{threads:?} threads, {len}");
            assert!(data.iter().enumerate().all(|(i, x)| *x == i / 10 + 1), "{threads:?} threads, {len}");
        }
    }
}

#[test]
fn scratch_is_one_call_at_a_time() {
    for threads in [Some(1), Some(2), Some(5), None] {
        let pool = Pool::new(threads).unwrap();
        // Memory for one thread, for fewer threads than there are, and for more; and none required.
        for (memory, each) in [(4, 3), (9, 3), (50, 3), (0, 0)] {
            let (mut data, mut memory) = (vec![0usize; 101], vec![0usize; memory]);
            for _ in 0..200 {
                pool.crew().for_each_chunk_in(&mut data, 10, &mut memory, each, |index, chunk, scratch| {
                    assert_eq!(scratch.len(), each);
                    scratch.iter_mut().for_each(|x| *x = index);
                    chunk.iter_mut().for_each(|x| *x += index + 1);
                    assert!(scratch.iter().all(|x| *x == index));
                });
            }
            assert!(data.iter().enumerate().all(|(i, x)| *x == 200 * (i / 10 + 1)), "{threads:?}, {each}");
        }
    }
}

#[test]
fn every_part_is_done_once_with_its_extra() {
    let parts = DisjointRanges::new(vec![5..9, 0..3, 9..10, 3..3]).unwrap();
    for threads in [1, 2, 5] {
        let (mut data, mut extra, mut secondary) = (vec![0; 12], vec![0; 24], vec![0; 12]);
        let pool = Pool::new(Some(threads)).unwrap();
        pool.crew().for_each_part(
            &mut data,
            [&mut extra, &mut secondary],
            &parts,
            |index, data, [extra, secondary]| {
                secondary.iter_mut().for_each(|x| *x += index + 1);
                data.iter_mut().for_each(|x| *x += index + 1);
                extra.iter_mut().for_each(|x| *x += index + 1);
            },
        );
        assert_eq!(data, [2, 2, 2, 0, 0, 1, 1, 1, 1, 3, 0, 0]);
        assert_eq!(secondary, data);
        assert_eq!(extra, data.iter().flat_map(|x| [*x, *x]).collect::<Vec<_>>());
    }
}

/// Blocks of 20: the ranges that are read, and those that are written, in pieces that do not divide them
/// evenly.
#[test]
fn every_piece_is_done_once_in_every_block() {
    let places = Places { reads: [0..5, 17..20], writes: 5..12, secondary: 12..17 };
    let shorter = Places { writes: 5..10, ..places.clone() };
    for threads in [1, 2, 5] {
        let pool = Pool::new(Some(threads)).unwrap();
        for (blocks, len) in [(0, 3), (1, 1), (1, 9), (3, 2), (4, 3)] {
            let mut data: Vec<usize> = (0..blocks * 20).collect();
            pool.crew().for_each_piece(
                &mut data,
                20,
                &shorter,
                len,
                |block, start, [first, second], piece, secondary| {
                    assert_eq!(
                        first.iter().chain(second).map(|x| x % 20).collect::<Vec<_>>(),
                        [0, 1, 2, 3, 4, 17, 18, 19]
                    );
                    assert!(
                        first[0] == block * 20
                            && piece.len() == len.min(5 - start)
                            && secondary.len() == piece.len()
                    );
                    for (i, (x, y)) in piece.iter_mut().zip(secondary).enumerate() {
                        assert_eq!([*x, *y], [block * 20 + 5 + start + i, block * 20 + 12 + start + i]);
                        (*x, *y) = (*x + 1000, *y + 1000);
                    }
                },
            );
            let changed = |i: usize| (5..10).contains(&(i % 20)) || (12..17).contains(&(i % 20));
            assert!(data.iter().enumerate().all(|(i, x)| *x == i + if changed(i) { 1000 } else { 0 }));
            let without = Places { secondary: 0..0, ..places.clone() };
            pool.crew().for_each_piece(&mut data, 20, &without, len, |_, _, _, piece, secondary| {
                assert!(secondary.is_empty());
                piece.iter_mut().for_each(|x| *x = 0);
            });
            assert!(
                data.iter().enumerate().all(|(i, x)| (*x == 0) == ((5..12).contains(&(i % 20)) || i == 0))
            );
        }
    }
}

#[test]
fn places_that_overlap_or_leave_their_block_are_refused() {
    let good = Places { reads: [0..5, 3..8], writes: 8..10, secondary: 10..12 };
    let bad = [
        Places { writes: 7..9, ..good.clone() },
        Places { secondary: 9..11, ..good.clone() },
        Places { secondary: 4..6, ..good.clone() },
        Places { secondary: 10..13, ..good.clone() },
        Places { writes: 8..21, secondary: 0..0, ..good.clone() },
        Places { reads: [0..5, 19..22], ..good.clone() },
        #[allow(clippy::reversed_empty_ranges, reason = "what is to be refused")]
        Places { reads: [0..5, 5..4], ..good.clone() },
    ];
    let run = |places: &Places, len: usize, block_len: usize| {
        let mut data = [0; 40];
        std::panic::catch_unwind(move || {
            Crew::SOLO.for_each_piece(&mut data, block_len, places, len, |_, _, _, _, _| ());
        })
    };
    assert!(run(&good, 2, 20).is_ok());
    for places in bad {
        assert!(run(&places, 2, 20).is_err(), "{places:?}");
    }
    // Empty pieces, blocks that do not fit, and no blocks.
    assert!(run(&good, 0, 20).is_err() && run(&good, 2, 39).is_err() && run(&good, 2, 0).is_err());
}

#[test]
fn what_waits_for_rayon_does_not_wait_for_work_shared_here() {
    // A waiting rayon thread picks up whatever work rayon has. If that were a place in a team, the
    // thread would be stuck there until the team ends.
    let (started, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let rayon = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // At least two threads, however many cores there are.
            let pool = Pool::new(Some(2)).unwrap();
            while !ended.load(Ordering::Relaxed) {
                pool.crew().for_each_chunk(&mut [0; 50], 1, |_, x| x[0] += 1);
                started.store(true, Ordering::Relaxed);
            }
        });
        while !started.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        rayon.install(|| {
            for _ in 0..20 {
                let wait = || std::thread::sleep(std::time::Duration::from_millis(1));
                rayon::join(wait, wait);
            }
        });
        ended.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_pool_has_as_many_threads_as_rayon_where_it_is_asked() {
    for threads in [1, 2, 3] {
        let rayon = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let found = rayon.install(|| Pool::new(None).unwrap().crew().threads());
        assert!((threads.min(cores)..=threads).contains(&found), "{found} of {threads}");
    }
}

#[test]
#[should_panic(expected = "2 elements for")]
fn companions_of_more_elements_than_there_are() {
    Crew::SOLO.for_each_chunk_with(&mut [0u8; 4], 1, &mut [0u8; 2], usize::MAX / 4 + 1, |_, _, _| ());
}

#[test]
fn ranges_that_overlap_are_refused() {
    assert!(DisjointRanges::new(vec![0..3, 2..4]).is_none());
    assert!(DisjointRanges::new(vec![3..6, 7..8, 0..4]).is_none());
    #[allow(clippy::reversed_empty_ranges, clippy::single_range_in_vec_init, reason = "the point")]
    let reversed = vec![3..2];
    assert!(DisjointRanges::new(reversed).is_none());
    assert_eq!(DisjointRanges::new(vec![]).unwrap().end(), 0);
    // In any order.
    assert_eq!(DisjointRanges::new(vec![3..4, 0..1, 1..1]).unwrap().end(), 4);
}

#[test]
fn no_threads_is_an_error() {
    assert_eq!(Pool::new(Some(0)).unwrap_err().to_string(), "cannot start 0 threads: at least one is needed");
}
