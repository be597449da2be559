//! Threads: the only module that names rayon.
//!
//! Work is divided by shape, never by the number of threads, and each piece of the result has one owner,
//! so the result is the same whichever threads compute it. The threads come from rayon pools that do
//! nothing else: they form teams (`par/team.rs`), which share work in less than a microsecond and
//! allocate nothing. So whatever waits for rayon elsewhere in a program never waits for a training run.

mod team;

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use team::Team;

use crate::panel::{Spread, SpreadMut, panel_count};
use crate::simd::Element;

/// The threads that training and scoring run on. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Only the caller's thread.
    Serial,
    /// The threads that all such pools share.
    Shared(&'static Threads),
    /// Threads of its own.
    Own(Arc<Threads>),
}

/// Error returned when the threads cannot be started.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot start {threads} threads: {reason}")]
pub struct PoolError {
    threads: usize,
    reason: String,
}

/// Maximum number of threads in a pool: many more threads than cores take seconds to start and are of no
/// use.
const MAX_THREADS: usize = 1024;

impl Pool {
    /// Creates a pool of this many threads, one of which is the caller's.
    ///
    /// `None` stands for as many as rayon's current pool has, taken job by job from threads that all
    /// such pools share. Of these there are as many as the machine has cores (or rayon threads, if more)
    /// when they are first requested. This starts rayon's global pool if nothing has yet, so a program
    /// that configures it (`ThreadPoolBuilder::build_global`) must do so before.
    ///
    /// # Errors
    /// If the operating system refuses the threads, for zero threads, and for more than 1,024.
    pub fn new(threads: Option<usize>) -> Result<Pool, PoolError> {
        let kind = match threads {
            None => {
                start_rayon()?;
                match default_threads() {
                    1 => Kind::Serial,
                    _ => Kind::Shared(Threads::shared()?),
                }
            }
            Some(0) => return Err(PoolError { threads: 0, reason: "at least one is needed".to_owned() }),
            Some(threads) if threads > MAX_THREADS => {
                return Err(PoolError { threads, reason: format!("{MAX_THREADS} are the most") });
            }
            Some(1) => Kind::Serial,
            Some(threads) => Kind::Own(Arc::new(Threads::start(threads)?)),
        };
        Ok(Pool { kind })
    }

    /// The caller's thread and those of the pool, which sleep until there is work to share.
    pub fn crew(&self) -> Crew<'_> {
        match &self.kind {
            Kind::Serial => Crew::SOLO,
            Kind::Shared(threads) => Crew::of(&threads.team, default_threads()),
            Kind::Own(threads) => Crew::of(&threads.team, usize::MAX),
        }
    }
}

/// Starts rayon's global pool if that is the current one, because rayon panics if it is asked for a
/// global pool that it cannot start.
fn start_rayon() -> Result<(), PoolError> {
    if rayon::current_thread_index().is_some() {
        return Ok(());
    }
    match rayon::ThreadPoolBuilder::new().build_global() {
        // Without a source, the error says that the pool already exists.
        Err(error) if std::error::Error::source(&error).is_some() => {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            Err(PoolError { threads, reason: error.to_string() })
        }
        _ => Ok(()),
    }
}

/// Number of threads of a pool for which none is given.
fn default_threads() -> usize {
    rayon::current_num_threads()
}

/// A team and the threads that are its members.
#[derive(Debug)]
struct Threads {
    team: Arc<Team>,
    /// Its threads end when the team is dismissed and this is dropped.
    _members: rayon::ThreadPool,
}

impl Threads {
    fn start(threads: usize) -> Result<Threads, PoolError> {
        let members = rayon::ThreadPoolBuilder::new()
            .num_threads(threads - 1)
            .thread_name(|index| format!("ae-{}", index + 1))
            .build()
            .map_err(|error| PoolError { threads, reason: error.to_string() })?;
        // Rayon has its own limit, so there may be fewer.
        let team = Arc::new(Team::new(members.current_num_threads() + 1));
        let of_members = Arc::clone(&team);
        members.spawn_broadcast(move |thread| of_members.serve(thread.index() + 1));
        Ok(Threads { team, _members: members })
    }

    fn shared() -> Result<&'static Threads, PoolError> {
        static SHARED: OnceLock<Threads> = OnceLock::new();
        if let Some(threads) = SHARED.get() {
            return Ok(threads);
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match Threads::start(cores.max(default_threads())) {
            // Another thread's, if that was faster.
            Ok(started) => Ok(SHARED.get_or_init(|| started)),
            Err(error) => SHARED.get().ok_or(error),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.team.dismiss();
    }
}

/// Threads to share work among ([`Pool::crew`]), and the ways to share it.
///
/// Work may run on threads of a rayon pool none of which is ever free, so it must not wait for anything
/// that it gives to `rayon::spawn` or `rayon::broadcast`.
#[derive(Clone, Copy, Debug)]
pub struct Crew<'t> {
    /// `None` if there is only the calling thread.
    team: Option<&'t Team>,
    threads: usize,
}

impl Crew<'static> {
    /// The calling thread alone.
    pub const SOLO: Crew<'static> = Crew { team: None, threads: 1 };
}

impl<'t> Crew<'t> {
    /// The calling thread and members of the team, at most `threads` altogether.
    fn of(team: &'t Team, threads: usize) -> Self {
        let threads = threads.min(team.threads());
        Crew { team: (threads > 1).then_some(team), threads }
    }

    /// This crew, or the calling thread alone if the work is too small to share.
    pub fn for_work(self, worth_sharing: bool) -> Self {
        if worth_sharing { self } else { Crew { team: None, threads: 1 } }
    }

    /// This crew with at most `threads` threads, but at least one.
    pub fn at_most(self, threads: usize) -> Self {
        Crew { threads: self.threads.min(threads.max(1)), ..self }
    }

    /// Number of threads that share the work.
    pub fn threads(self) -> usize {
        self.threads
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

    /// Calls `work(i, chunk, with)` for every chunk of `len` elements of `data` (the last may be
    /// shorter) and the `with_len` elements of `with` that go with it.
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
        let enough = chunks.checked_mul(with_len).is_some_and(|needed| needed <= with.len());
        assert!(enough, "{} elements for {chunks} chunks of {with_len}", with.len());
        let (data, with) = (DisjointSlice::new(data), DisjointSlice::new(with));
        self.share(chunks, |i| {
            let start = i * len;
            let place = start..start + len.min(total - start);
            // SAFETY: `share` passes every index below `chunks` once. Chunk `i` ends where the next
            // begins or with the data, and there are `with_len` elements of `with` for each, as
            // asserted; so no two pieces overlap, and all are inside.
            let (chunk, with) =
                unsafe { (data.slice_mut(place), with.slice_mut(i * with_len..(i + 1) * with_len)) };
            work(i, chunk, with);
        });
    }

    /// Calls `work(i, chunk, scratch)` for every chunk of `len` elements of `data` (the last may be
    /// shorter).
    ///
    /// `scratch` is `scratch_len` elements of `memory` that no other call has at the time; it holds what
    /// earlier calls left there. No more threads take part than there is memory for; there must be
    /// enough for one.
    pub fn for_each_chunk_in<T: Send>(
        self,
        data: &mut [T],
        len: usize,
        memory: &mut [T],
        scratch_len: usize,
        work: impl Fn(usize, &mut [T], &mut [T]) + Send + Sync,
    ) {
        assert!(len > 0, "chunks need a length");
        let (total, chunks) = (data.len(), data.len().div_ceil(len));
        let areas = memory.len().checked_div(scratch_len).unwrap_or(usize::MAX);
        assert!(areas > 0, "{} elements for work in {scratch_len}", memory.len());
        let (data, memory) = (DisjointSlice::new(data), DisjointSlice::new(memory));
        self.at_most(areas).share_with_index(chunks, |thread, i| {
            let start = i * len;
            let place = start..start + len.min(total - start);
            // SAFETY: `share_with_index` passes every index below `chunks` once, and chunks do not
            // overlap, as in `for_each_chunk_with`. The thread number it passes is below `areas` and no
            // other call has it at the time, and there are `areas` areas of `scratch_len` elements.
            let (chunk, scratch) = unsafe {
                (data.slice_mut(place), memory.slice_mut(thread * scratch_len..(thread + 1) * scratch_len))
            };
            work(i, chunk, scratch);
        });
    }

    /// Calls `work(block, start, reads, piece, secondary)` for every piece of what is written to the
    /// blocks of `data`, `block_len` elements each, where `places` says what that is.
    ///
    /// `piece` is `len` elements of [`Places::writes`] (the last piece of a block may be shorter), from
    /// its element `start` on, and `secondary` is the same elements of [`Places::secondary`], unless
    /// that is empty. The same piece of all blocks comes before the next.
    pub fn for_each_piece<T: Send + Sync>(
        self,
        data: &mut [T],
        block_len: usize,
        places: &Places,
        len: usize,
        work: impl Fn(usize, usize, [&[T]; 2], &mut [T], &mut [T]) + Send + Sync,
    ) {
        places.check(block_len);
        assert!(len > 0 && data.len().is_multiple_of(block_len), "pieces of {len}, blocks of {block_len}");
        let Places { reads, writes, secondary } = places;
        let blocks = data.len() / block_len;
        let data = DisjointSlice::new(data);
        self.share(blocks * writes.len().div_ceil(len), |index| {
            let (block, start) = (index % blocks, index / blocks * len);
            let end = writes.len().min(start + len);
            let at = |place: &Range<usize>, start: usize, end: usize| {
                block * block_len + place.start + start..block * block_len + place.start + end
            };
            let (secondary_start, secondary_end) = if secondary.is_empty() { (0, 0) } else { (start, end) };
            // SAFETY: `check` has verified that all places are within a block, of which there are
            // `blocks` in `data`, and that what is written overlaps neither itself nor what is read.
            // `share` passes every index once, so each piece of a block is handed out once, and pieces
            // of a block end where the next begin; what is read is only read, by all threads.
            let (reads, piece, secondary) = unsafe {
                (
                    [0, 1].map(|n| data.slice(at(&reads[n], 0, reads[n].len()))),
                    data.slice_mut(at(writes, start, end)),
                    data.slice_mut(at(secondary, secondary_start, secondary_end)),
                )
            };
            work(block, start, reads, piece, secondary);
        });
    }

    /// Calls `work(first, reads, rows, secondary)` for every piece of a matrix in panels, where each block
    /// of `data`, `block_len` elements, holds one panel of every matrix in `places`.
    ///
    /// `rows` is some rows of [`Places::writes`], from row `first` on, in some or all of its panels.
    /// `secondary` is the same rows of [`Places::secondary`], unless that is empty, and `reads` are the
    /// same panels of [`Places::reads`].
    pub fn for_each_part_of_panels<T: Element>(
        self,
        data: &mut [T],
        block_len: usize,
        places: &Places,
        split: Split,
        work: impl Fn(usize, [Spread<'_, T>; 2], SpreadMut<'_, T>, Option<SpreadMut<'_, T>>) + Send + Sync,
    ) {
        places.check(block_len);
        let Split { cols, pieces, unit, together } = split;
        let Places { reads, writes, secondary } = places;
        let panels = panel_count::<T>(cols);
        let whole = [&reads[0], &reads[1], writes].iter().all(|place| place.len().is_multiple_of(T::PANEL));
        assert!(
            panels.checked_mul(block_len) == Some(data.len()) && whole && unit > 0 && together > 0,
            "{split:?} of {places:?}, in {} elements",
            data.len()
        );
        let total = writes.len() / T::PANEL;
        let units = total.div_ceil(unit);
        // Ranges of rows, and if there are too few, groups of panels.
        let ranges = pieces.clamp(1, units.max(1));
        let groups = pieces.div_ceil(ranges).clamp(1, panels.div_ceil(together).max(1));
        let data = DisjointSlice::new(data);
        self.share(ranges * groups, |index| {
            let (range, group) = (index / groups, index % groups);
            // The start of portion `index` of `count`, in whole numbers of `unit`.
            let start = |total: usize, unit: usize, index: usize, count: usize| {
                let units = total.div_ceil(unit) as u128 * index as u128 / count as u128;
                (units as usize).saturating_mul(unit).min(total)
            };
            let row = |range: usize| start(total, unit, range, ranges);
            let panel = |group: usize| start(panels, together, group, groups);
            let (first, lines) = (row(range), row(range + 1) - row(range));
            let (first_panel, end_panel) = (panel(group), panel(group + 1));
            let cols = cols.min(end_panel * T::PANEL) - cols.min(first_panel * T::PANEL);
            let at = |place: &Range<usize>, line: usize| {
                data.at(first_panel * block_len + place.start + line * T::PANEL)
            };
            // SAFETY: `check` has verified that all places are within a block, and `data` has a block
            // for each panel. What is written overlaps neither itself nor what is read. `share` passes
            // every index once, and ranges of rows and groups of panels end where the next begin, so
            // each line of a panel is handed out once; what is read is only read, by all threads.
            let (reads, rows, secondary) = unsafe {
                (
                    [0, 1].map(|n| {
                        let lines = reads[n].len() / T::PANEL;
                        Spread::new(at(&reads[n], 0).cast_const(), lines, cols, block_len)
                    }),
                    SpreadMut::new(at(writes, first), lines, cols, block_len),
                    (!secondary.is_empty())
                        .then(|| SpreadMut::new(at(secondary, first), lines, cols, block_len)),
                )
            };
            work(first, reads, rows, secondary);
        });
    }

    /// Calls `work(i, part, [extra, secondary])` for every range `i` of `parts`.
    ///
    /// `part` is that range of `data`. `extra` and `secondary` are the corresponding ranges of the
    /// slices of that name, which are `extra.len() / data.len()` and `secondary.len() / data.len()`
    /// times as long.
    pub fn for_each_part<T: Send>(
        self,
        data: &mut [T],
        [extra, secondary]: [&mut [T]; 2],
        parts: &DisjointRanges,
        work: impl Fn(usize, &mut [T], [&mut [T]; 2]) + Send + Sync,
    ) {
        assert!(parts.end() <= data.len(), "parts end at {}, the data at {}", parts.end(), data.len());
        let times = [&*extra, &*secondary].map(|more| {
            let times = more.len().checked_div(data.len()).unwrap_or(0);
            assert!(more.len() == times * data.len(), "{} elements beside {}", more.len(), data.len());
            times
        });
        let (data, extra, secondary) =
            (DisjointSlice::new(data), DisjointSlice::new(extra), DisjointSlice::new(secondary));
        self.share(parts.len(), |i| {
            let Range { start, end } = parts.0[i];
            let of = |times: usize| start * times..end * times;
            // SAFETY: `share` passes every index once. The ranges are disjoint by their type and end
            // inside `data`, as asserted; `extra` and `secondary` are `times` as long as `data`, and so
            // are their ranges.
            let (part, more) = unsafe {
                (
                    data.slice_mut(start..end),
                    [extra.slice_mut(of(times[0])), secondary.slice_mut(of(times[1]))],
                )
            };
            work(i, part, more);
        });
    }

    /// Calls `work` once with every index below `count`.
    pub(crate) fn share(self, count: usize, work: impl Fn(usize) + Sync) {
        self.share_with_index(count, |_, index| work(index));
    }

    /// Calls `work` once with every index below `count`. Its first argument is the number of the thread
    /// at work, which is below [`Crew::threads`] and which no other thread has at the same time.
    pub(crate) fn share_with_index(self, count: usize, work: impl Fn(usize, usize) + Sync) {
        match self.team {
            Some(team) if count > 1 && self.threads > 1 => team.run(self.threads, count, &work),
            _ => (0..count).for_each(|index| work(0, index)),
        }
    }
}

/// A slice that is handed out in disjoint sub-slices: exclusive ones, and shared ones that all threads
/// may read.
#[derive(Clone, Copy)]
pub(crate) struct DisjointSlice<'a, T> {
    data: *mut T,
    len: usize,
    of: PhantomData<&'a mut [T]>,
}

// SAFETY: shared among threads, it hands out exclusive slices that do not overlap, by the contract of
// `slice_mut`: each is a `&mut [T]` of one thread, as if it had been split off and sent there. Shared
// slices need a `T` that is `Sync`.
unsafe impl<T: Send> Sync for DisjointSlice<'_, T> {}

impl<'a, T> DisjointSlice<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        DisjointSlice { data: slice.as_mut_ptr(), len: slice.len(), of: PhantomData }
    }

    /// Where element `index` is.
    fn at(&self, index: usize) -> *mut T {
        self.data.wrapping_add(index)
    }

    /// The elements of `range`, for one thread to write. Panics unless the range lies inside the slice.
    ///
    /// # Safety
    /// No other slice that overlaps this one is in use.
    #[allow(clippy::mut_from_ref, reason = "exclusive slices do not overlap")]
    #[inline(always)]
    pub(crate) unsafe fn slice_mut(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: the range is inside the slice, which is borrowed for `'a`; that nobody else uses it is
        // the caller's obligation.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(range.start), range.len()) }
    }

    /// The elements of `range`, for any number of threads to read. Panics unless the range lies inside
    /// the slice.
    ///
    /// # Safety
    /// No exclusive slice that overlaps this one is in use.
    #[inline(always)]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &[T]
    where
        T: Sync,
    {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: the range is inside the slice, which is borrowed for `'a`; that nobody writes to it is
        // the caller's obligation.
        unsafe { std::slice::from_raw_parts(self.data.add(range.start), range.len()) }
    }
}

/// How [`Crew::for_each_part_of_panels`] divides a matrix in panels.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// Columns of the matrix.
    pub cols: usize,
    /// The number of pieces aimed at.
    pub pieces: usize,
    /// A piece is a whole number of this many rows, except perhaps at the end.
    pub unit: usize,
    /// Panels that are not separated. Others are only where the rows alone give too few pieces.
    pub together: usize,
}

/// Ranges within a block of memory, for work that is shared among threads ([`Crew::for_each_piece`],
/// [`Crew::for_each_part_of_panels`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// What all threads read.
    pub reads: [Range<usize>; 2],
    /// What they write, in pieces.
    pub writes: Range<usize>,
    /// What they also write, as long as `writes` or empty.
    pub secondary: Range<usize>,
}

impl Places {
    /// Panics unless all ranges are within `block_len` elements, what is written overlaps nothing else,
    /// and `secondary` is as long as `writes` or empty.
    fn check(&self, block_len: usize) {
        let Places { reads: [first, second], writes, secondary } = self;
        let inside = [first, second, writes, secondary]
            .iter()
            .all(|place| place.start <= place.end && place.end <= block_len);
        let disjoint = |a: &Range<usize>, b: &Range<usize>| {
            a.is_empty() || b.is_empty() || a.end <= b.start || b.end <= a.start
        };
        let alone = [first, second].iter().all(|read| disjoint(read, writes) && disjoint(read, secondary));
        let matching = secondary.is_empty() || secondary.len() == writes.len();
        assert!(
            block_len > 0 && inside && alone && disjoint(writes, secondary) && matching,
            "{self:?} in blocks of {block_len}"
        );
    }
}

/// Ranges that do not overlap, in the order in which they are handed out: checked once, on construction,
/// so that handing them out needs no `unsafe` contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisjointRanges(Vec<Range<usize>>);

impl DisjointRanges {
    /// Checks the ranges; `None` if one is reversed or two overlap.
    pub fn new(ranges: Vec<Range<usize>>) -> Option<DisjointRanges> {
        let forward = ranges.iter().all(|range| range.start <= range.end);
        let mut ascending: Vec<&Range<usize>> = ranges.iter().collect();
        ascending.sort_unstable_by_key(|range| (range.start, range.end));
        let disjoint = ascending.windows(2).all(|pair| pair[0].end <= pair[1].start);
        (forward && disjoint).then_some(DisjointRanges(ranges))
    }

    /// Where the one furthest back ends.
    pub fn end(&self) -> usize {
        self.0.iter().map(|range| range.end).max().unwrap_or(0)
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no ranges.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
