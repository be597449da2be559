//! Work shared among threads. Each result is computed by one thread alone, so the number of threads does
//! not change a single bit.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

/// Returns the number of threads to use: `wanted`, but at least 1, or all available cores if `None`.
pub fn count(wanted: Option<usize>) -> usize {
    wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get)).max(1)
}

/// Calls `work(i, chunk)` for every chunk of `len` elements of `data` (the last may be shorter) on up to
/// `threads` threads. If a thread cannot be started, the others do its work.
pub fn for_each_chunk<T: Send>(
    threads: usize,
    data: &mut [T],
    len: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let len = len.max(1);
    let threads = threads.min(data.len().div_ceil(len));
    if threads < 2 {
        data.chunks_mut(len).enumerate().for_each(|(i, chunk)| work(i, chunk));
        return;
    }
    let queue = Mutex::new(data.chunks_mut(len).enumerate());
    let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let until_empty = || {
        while let Some((i, chunk)) = take() {
            work(i, chunk);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            if std::thread::Builder::new().spawn_scoped(scope, until_empty).is_err() {
                break;
            }
        }
        until_empty();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_is_worked_on_once() {
        for threads in [1, 2, 5] {
            for (count, len) in [(0, 3), (1, 3), (9, 3), (10, 3), (10, 100), (4, 0)] {
                let mut data = vec![0; count];
                for_each_chunk(threads, &mut data, len, |i, chunk| {
                    chunk.iter_mut().enumerate().for_each(|(at, x)| *x += 1 + i * len.max(1) + at);
                });
                assert_eq!(data, (1..=count).collect::<Vec<_>>(), "{threads} threads, {len}");
            }
        }
        assert_eq!((count(Some(3)), count(Some(0))), (3, 1));
    }
}
