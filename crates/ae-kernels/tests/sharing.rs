//! Work shared among threads: everything done once, in whatever number of threads, and nothing allocated.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use std::sync::atomic::{AtomicUsize, Ordering};

use ae_kernels::par::{DisjointRanges, Pool};

#[test]
fn every_chunk_is_done_once() {
    for threads in [Some(1), Some(2), Some(3), Some(7), None] {
        let pool = Pool::new(threads).unwrap();
        for len in [0usize, 1, 9, 10, 11, 100, 101] {
            let mut data = vec![0usize; len];
            let calls = AtomicUsize::new(0);
            pool.enter(|crew| {
                crew.for_each_chunk(&mut data, 10, |index, chunk| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    chunk.iter_mut().for_each(|x| *x += index + 1);
                });
            });
            assert_eq!(calls.into_inner(), len.div_ceil(10), "{threads:?} threads, {len}");
            assert!(data.iter().enumerate().all(|(i, x)| *x == i / 10 + 1), "{threads:?} threads, {len}");
        }
    }
}

#[test]
fn every_part_is_done_once_with_its_extra() {
    let parts = DisjointRanges::new(vec![0..3, 3..3, 5..9, 9..10]).unwrap();
    for threads in [1, 2, 5] {
        let (mut data, mut extra) = (vec![0; 12], vec![0; 24]);
        Pool::new(Some(threads)).unwrap().enter(|crew| {
            crew.for_each_part(&mut data, &mut extra, &parts, |index, data, extra| {
                data.iter_mut().for_each(|x| *x += index + 1);
                extra.iter_mut().for_each(|x| *x += index + 1);
            });
        });
        assert_eq!(data, [1, 1, 1, 0, 0, 3, 3, 3, 3, 4, 0, 0]);
        assert_eq!(extra, data.iter().flat_map(|x| [*x, *x]).collect::<Vec<_>>());
    }
}

#[test]
fn teams_that_meet_in_one_pool_do_not_wait_for_each_other_for_ever() {
    // Leaders that wait for rayon pick up whatever is to be done, a place in the other's team too.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let lead = || {
        let taken = AtomicUsize::new(0);
        for _ in 0..3 {
            Pool::new(None).unwrap().enter(|outer| {
                rayon::join(
                    || {
                        Pool::new(None).unwrap().enter(|inner| {
                            inner.for_each_chunk(&mut [0; 50], 1, |_, _| {
                                taken.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    },
                    rayon::yield_now,
                );
                outer.for_each_chunk(&mut [0; 50], 1, |_, _| {
                    taken.fetch_add(1, Ordering::Relaxed);
                });
            });
        }
        taken.into_inner()
    };
    for _ in 0..if cfg!(miri) { 1 } else { 4 } {
        assert_eq!(pool.join(lead, lead), (300, 300));
    }
}

#[test]
fn ranges_that_overlap_are_refused() {
    assert!(DisjointRanges::new(vec![0..3, 2..4]).is_none());
    assert!(DisjointRanges::new(vec![3..4, 0..1]).is_none());
    #[allow(clippy::reversed_empty_ranges, clippy::single_range_in_vec_init, reason = "the point")]
    let reversed = vec![3..2];
    assert!(DisjointRanges::new(reversed).is_none());
    assert_eq!(DisjointRanges::new(vec![]).unwrap().end(), 0);
}

#[test]
fn no_threads_is_an_error() {
    assert_eq!(Pool::new(Some(0)).unwrap_err().to_string(), "cannot start 0 threads: at least one is needed");
}
