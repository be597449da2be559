//! Threads: the only module that names rayon.
//!
//! Work is divided by shape, never by the number of threads, and each piece of the result has one owner; what is
//! computed is the same whoever computes it. Rayon has the threads. While there is work to share again and again, they are a
//! team (`par/team.rs`), which shares it in less than a microsecond and allocates nothing.

mod team;

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use team::Team;

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
    pub fn enter_for<R: Send>(&self, worth_sharing: bool, work: impl FnOnce(Crew<'_>) -> R + Send) -> R {
        if worth_sharing { self.enter(work) } else { work(Crew::SOLO) }
    }

    /// Runs `work` with the threads of the pool at hand. Enter once around many steps: entering allocates and wakes threads, which
    /// then wait for work of this crew until `work` is done, or until there has been none for a tenth of a second. (They look after
    /// other work of rayon's meanwhile, if not as promptly as else.)
    pub fn enter<R: Send>(&self, work: impl FnOnce(Crew<'_>) -> R + Send) -> R {
        match &self.kind {
            Kind::Serial => work(Crew::SOLO),
            Kind::Current => with_team(rayon::current_num_threads(), work),
            Kind::Own(pool) => pool.install(|| with_team(pool.current_num_threads(), work)),
        }
    }
}

/// Runs `work` with a team of so many threads, which are the calling one and some of rayon's current pool.
fn with_team<R>(threads: usize, work: impl FnOnce(Crew<'_>) -> R) -> R {
    if threads <= 1 {
        return work(Crew::SOLO);
    }
    let team = Team::new(threads, |team, member| {
        rayon::spawn(move || {
            team.serve(member, || {
                rayon::yield_now();
            });
        });
    });
    let _dismissal = team.until_dismissed();
    work(Crew { team: Some(&team) })
}

/// Proof of being inside a pool ([`Pool::enter`]), and the ways to share work there.
#[derive(Clone, Copy, Debug)]
pub struct Crew<'t> {
    /// None if there is only the calling thread.
    team: Option<&'t Arc<Team>>,
}

impl Crew<'static> {
    /// Only the calling thread.
    pub const SOLO: Crew<'static> = Crew { team: None };
}

impl Crew<'_> {
    /// This crew, or the calling thread alone where the work is too small to share.
    pub fn for_work(self, worth_sharing: bool) -> Self {
        if worth_sharing { self } else { Crew { team: None } }
    }

    /// How many threads share its work.
    pub fn threads(self) -> usize {
        self.team.map_or(1, |team| team.threads())
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
        let (total, chunks) = (data.len(), data.len().div_ceil(len));
        assert!(with.len() >= chunks * with_len, "{} elements for {chunks} chunks", with.len());
        let (data, with) = (Owned::new(data), Owned::new(with));
        self.share(chunks, |i| {
            let place = i * len..total.min((i + 1) * len);
            // SAFETY: `share` calls with every index below `chunks` once. Chunk `i` ends where the next begins or with the data,
            // and there are `with_len` elements of `with` for each, as asserted; so no two pieces overlap, and all are inside.
            let (chunk, with) = unsafe { (data.piece(place), with.piece(i * with_len..(i + 1) * with_len)) };
            work(i, chunk, with);
        });
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
        let (data, extra) = (Owned::new(data), Owned::new(extra));
        self.share(parts.len(), |i| {
            let Range { start, end } = parts.0[i];
            // SAFETY: `share` calls with every index once. The ranges are disjoint by their type and end inside `data`, as asserted;
            // `extra` is `times` as long, and so are its ranges.
            let (part, extra) = unsafe { (data.piece(start..end), extra.piece(start * times..end * times)) };
            work(i, part, extra);
        });
    }

    /// Calls `work` once with every index below `count`.
    fn share(self, count: usize, work: impl Fn(usize) + Sync) {
        match self.team {
            Some(team) if count > 1 => team.run(count, &work),
            _ => (0..count).for_each(work),
        }
    }
}

/// A slice that is handed out in pieces.
struct Owned<'a, T> {
    data: *mut T,
    of: PhantomData<&'a mut [T]>,
}

// SAFETY: shared among threads it hands out pieces that do not overlap, by the contract of `piece`: each is a `&mut [T]` of one
// thread, as if it had been split off and sent there.
unsafe impl<T: Send> Sync for Owned<'_, T> {}

impl<'a, T> Owned<'a, T> {
    fn new(slice: &'a mut [T]) -> Self {
        Owned { data: slice.as_mut_ptr(), of: PhantomData }
    }

    /// # Safety
    /// The range lies inside the slice, and no piece that overlaps with it is in use.
    #[allow(clippy::mut_from_ref, reason = "pieces do not overlap")]
    unsafe fn piece(&self, range: Range<usize>) -> &mut [T] {
        // SAFETY: the caller's obligations.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(range.start), range.len()) }
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
