//! Threads: the only module that names rayon.
//!
//! Work is divided by shape, never by the number of threads, and each piece of the result has one owner; what is
//! computed is the same whoever computes it. Only indexed splitting and `join` are used in the hot path: their jobs
//! live on the stack, so a step allocates nothing.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

/// The threads that training and scoring run on.
#[derive(Debug)]
pub struct Pool {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The caller's own thread.
    Serial,
    /// Rayon's global pool, or the pool that the caller is already in.
    Current,
    /// Threads of its own.
    Own(rayon::ThreadPool),
}

/// The threads could not be started.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot start {threads} threads: {reason}")]
pub struct PoolError {
    threads: usize,
    reason: String,
}

impl Pool {
    /// A pool of this many threads; `None` uses rayon's current pool, one thread is the caller's own.
    ///
    /// # Errors
    /// If the operating system refuses the threads, or for zero threads.
    pub fn new(threads: Option<usize>) -> Result<Pool, PoolError> {
        let kind = match threads {
            None => Kind::Current,
            Some(0) => return Err(PoolError { threads: 0, reason: "at least one is needed".to_owned() }),
            Some(1) => Kind::Serial,
            Some(threads) => Kind::Own(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|index| format!("ae-{index}"))
                    .build()
                    .map_err(|error| PoolError { threads, reason: error.to_string() })?,
            ),
        };
        Ok(Pool { kind })
    }

    /// [`Pool::enter`] where the work is worth waking the pool's threads, else `work` on the calling thread alone.
    pub fn enter_for<R: Send>(&self, worth_sharing: bool, work: impl FnOnce(Crew) -> R + Send) -> R {
        if worth_sharing { self.enter(work) } else { work(Crew::SOLO) }
    }

    /// Runs `work` inside the pool. Enter once around many steps: entering allocates now and then and wakes a thread.
    pub fn enter<R: Send>(&self, work: impl FnOnce(Crew) -> R + Send) -> R {
        match &self.kind {
            Kind::Serial => work(Crew { serial: true }),
            Kind::Current if rayon::current_num_threads() == 1 => work(Crew { serial: true }),
            // From outside, every join would be handed in and waited for; so the whole work moves in.
            Kind::Current => rayon::scope(|_| work(Crew { serial: false })),
            Kind::Own(pool) => pool.install(|| work(Crew { serial: false })),
        }
    }
}

/// Proof of being inside a pool ([`Pool::enter`]), and the ways to share work there.
#[derive(Clone, Copy, Debug)]
pub struct Crew {
    serial: bool,
}

impl Crew {
    /// Only the calling thread.
    pub const SOLO: Crew = Crew { serial: true };

    /// This crew, or the calling thread alone where the work is too small to share.
    pub fn for_work(self, worth_sharing: bool) -> Crew {
        Crew { serial: self.serial || !worth_sharing }
    }

    /// How many threads share its work.
    pub fn threads(self) -> usize {
        if self.serial { 1 } else { rayon::current_num_threads() }
    }

    /// Calls `work(i, chunk)` for every chunk of `len` elements of `data` (the last may be shorter).
    pub fn for_each_chunk<T: Send>(
        self,
        data: &mut [T],
        len: usize,
        work: impl Fn(usize, &mut [T]) + Send + Sync,
    ) {
        self.for_each_chunk_with(data, len, &mut [], 0, |i, chunk, _: &mut [T]| work(i, chunk));
    }

    /// Calls `work(i, chunk, with)` for every chunk of `len` elements of `data` (the last may be shorter) and the `with_len`
    /// elements of `with` that go with it.
    pub fn for_each_chunk_with<T: Send>(
        self,
        data: &mut [T],
        len: usize,
        with: &mut [T],
        with_len: usize,
        work: impl Fn(usize, &mut [T], &mut [T]) + Send + Sync,
    ) {
        assert!(len > 0, "chunks need a length");
        let chunks = data.len().div_ceil(len);
        assert!(with.len() >= chunks * with_len, "{} elements for {chunks} chunks", with.len());
        self.split_chunks(data, len, with, with_len, 0, &work);
    }

    fn split_chunks<T: Send>(
        self,
        data: &mut [T],
        len: usize,
        with: &mut [T],
        with_len: usize,
        first: usize,
        work: &(impl Fn(usize, &mut [T], &mut [T]) + Send + Sync),
    ) {
        let chunks = data.len().div_ceil(len);
        if self.serial || chunks <= 1 {
            for (i, chunk) in data.chunks_mut(len).enumerate() {
                work(first + i, chunk, &mut with[i * with_len..][..with_len]);
            }
            return;
        }
        let half = chunks / 2;
        let (left, right) = data.split_at_mut(half * len);
        let (left_with, right_with) = with.split_at_mut(half * with_len);
        both(
            || self.split_chunks(left, len, left_with, with_len, first, work),
            || self.split_chunks(right, len, right_with, with_len, first + half, work),
        );
    }

    /// Calls `work(i, part, extra)` for every range `i` of `parts`, where `part` is that range of `data` and `extra` the
    /// range of `extra` that is `extra.len() / data.len()` times as long.
    pub fn for_each_part<T: Send>(
        self,
        data: &mut [T],
        extra: &mut [T],
        parts: &DisjointRanges,
        work: impl Fn(usize, &mut [T], &mut [T]) + Send + Sync,
    ) {
        assert!(parts.end() <= data.len(), "parts end at {}, the data at {}", parts.end(), data.len());
        let times = if data.is_empty() { 0 } else { extra.len() / data.len() };
        assert!(extra.len() == times * data.len(), "{} elements beside {}", extra.len(), data.len());
        self.split_parts(data, extra, times, 0, &parts.0, 0, &work);
    }

    #[allow(clippy::too_many_arguments, reason = "the recursion of one caller")]
    fn split_parts<T: Send>(
        self,
        data: &mut [T],
        extra: &mut [T],
        times: usize,
        origin: usize,
        parts: &[Range<usize>],
        first: usize,
        work: &(impl Fn(usize, &mut [T], &mut [T]) + Send + Sync),
    ) {
        if self.serial || parts.len() <= 1 {
            for (i, part) in parts.iter().enumerate() {
                let (from, to) = (part.start - origin, part.end - origin);
                work(first + i, &mut data[from..to], &mut extra[from * times..to * times]);
            }
            return;
        }
        let half = parts.len() / 2;
        let cut = parts[half].start - origin;
        let (left, right) = data.split_at_mut(cut);
        let (left_extra, right_extra) = extra.split_at_mut(cut * times);
        let (left_parts, right_parts) = parts.split_at(half);
        both(
            || self.split_parts(left, left_extra, times, origin, left_parts, first, work),
            || self.split_parts(right, right_extra, times, origin + cut, right_parts, first + half, work),
        );
    }
}

/// [`rayon::join`] whose threads stay awake until both sides are done.
///
/// A thread without work goes to sleep after some ten microseconds, and waking it takes longer than that, several times
/// in every step. So whoever finishes first looks for other work, and for the end of the other side, a while longer.
fn both(left: impl FnOnce() + Send, right: impl FnOnce() + Send) {
    const WAITING: u8 = 0;
    const STARTED: u8 = 1;
    const DONE: u8 = 2;
    let (of_left, of_right) = (AtomicU8::new(STARTED), AtomicU8::new(WAITING));
    rayon::join_context(
        |_| {
            left();
            of_left.store(DONE, Ordering::Release);
            if of_right.load(Ordering::Acquire) != WAITING {
                stay_awake_until(|| of_right.load(Ordering::Acquire) == DONE);
            }
        },
        |context| {
            of_right.store(STARTED, Ordering::Release);
            right();
            of_right.store(DONE, Ordering::Release);
            if context.migrated() {
                stay_awake_until(|| of_left.load(Ordering::Acquire) == DONE);
            }
        },
    );
}

/// Helps with what other work there is until `done`, or until it has taken so long that sleep is better.
fn stay_awake_until(done: impl Fn() -> bool) {
    const LOOKS: usize = 2000;
    for _ in 0..LOOKS {
        if done() {
            return;
        }
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            for _ in 0..16 {
                std::hint::spin_loop();
            }
        }
    }
}

/// Ranges in ascending order that do not overlap: checked once, so that handing them out needs no trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisjointRanges(Vec<Range<usize>>);

impl DisjointRanges {
    /// The ranges; `None` if one is reversed or reaches into the next.
    pub fn new(ranges: Vec<Range<usize>>) -> Option<DisjointRanges> {
        let forward = ranges.iter().all(|range| range.start <= range.end);
        let apart = ranges.windows(2).all(|pair| pair[0].end <= pair[1].start);
        (forward && apart).then_some(DisjointRanges(ranges))
    }

    /// Where the last one ends.
    pub fn end(&self) -> usize {
        self.0.last().map_or(0, |range| range.end)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
