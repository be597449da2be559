//! A team: threads that wait for work from whichever thread has some to share.
//!
//! A training step has two pieces of shared work and may last some ten microseconds, as long as waking
//! one thread takes. So the members of a team poll for work all the time, and sleep only when there has
//! been none for a while.
//!
//! ```text
//! leader                                  each member
//! writes the job                          looks at the gate until it is open for a new job
//! opens the gate            ------------> says that it is inside, looks at the gate once more
//! takes indices of the job                takes indices of the job
//! closes the gate                         says that it is outside
//! waits until nobody is inside <---------
//! ```
//!
//! The leader does not wait for members that are late: it takes their indices itself, and they find the
//! gate closed. A leader that finds another one at work does its job alone, so concurrent training runs
//! share a team job by job and none waits.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long a member polls for work before it sleeps: a few times longer than the pause between two
/// steps.
const SPIN_TIME: Duration = Duration::from_micros(200);
/// Looks at the gate per look at the clock.
const POLLS_PER_CLOCK_READ: usize = 64;

/// Flags of the gate, whose other bits count the jobs.
const OPEN: u64 = 1;
const DISMISSED: u64 = 2;
const NEXT_JOB: u64 = 4;

/// A value in cache lines of its own; two, because the hardware fetches them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CachePadded<T>(T);

/// The state of one member.
#[derive(Debug, Default)]
struct Member {
    /// The first of the member's indices of the job that nobody has taken.
    next: AtomicUsize,
    /// Where the member's indices end.
    end: AtomicUsize,
    inside: AtomicBool,
    /// Set by the member before it sleeps, cleared by whoever wakes it.
    asleep: AtomicBool,
    /// The thread that is this member.
    thread: OnceLock<Thread>,
}

type Job = *const (dyn Fn(usize, usize) + Sync);

/// A group of threads: whichever has a job is the leader, number 0, and the others are members, numbered
/// from 1.
pub(super) struct Team {
    gate: CachePadded<AtomicU64>,
    /// Written by the leader while the gate is closed and nobody is inside, read by members that are
    /// inside. `threads` is written at the same time.
    job: UnsafeCell<Option<Job>>,
    /// How many threads may take part in the job, so that members from this number on may sleep.
    threads: AtomicUsize,
    members: Box<[CachePadded<Member>]>,
    /// Whether a thread is leading.
    busy: AtomicBool,
    /// The first panic of a member's part of the job.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is the only field that is not `Sync` by itself. Its comment says who may access it and
// when; each access argues why that holds. What it points to is `Sync`, so members may call it.
unsafe impl Sync for Team {}
// SAFETY: as above; nothing in a team is tied to one thread.
unsafe impl Send for Team {}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

impl Team {
    /// Creates a team of `threads` threads, of which those that [`serve`](Team::serve) take part.
    pub(super) fn new(threads: usize) -> Team {
        Team {
            gate: CachePadded::default(),
            job: UnsafeCell::new(None),
            threads: AtomicUsize::new(0),
            members: (0..threads).map(|_| CachePadded::default()).collect(),
            busy: AtomicBool::new(false),
            panic: Mutex::new(None),
        }
    }

    /// Number of threads: the leader and all members.
    pub(super) fn threads(&self) -> usize {
        self.members.len()
    }

    /// Calls `work` once with every index below `count`, on the calling thread and on members that are
    /// free, at most `threads` altogether.
    ///
    /// The first argument of `work` is the number of the thread at work. It is below `threads`, the same
    /// for all that the thread does of the job, and no other thread's meanwhile. Work that shares work
    /// itself does that alone.
    ///
    /// # Panics
    /// With what `work` panics with, or with one of several such panics, once no thread is at work any
    /// more; some indices may be left out then.
    pub(super) fn run(&self, threads: usize, count: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        if self.busy.swap(true, Ordering::Acquire) {
            (0..count).for_each(|index| work(0, index));
            return;
        }
        let threads = threads.clamp(1, self.threads());
        let (each, more) = (count / threads, count % threads);
        for (m, CachePadded(member)) in self.members[..threads].iter().enumerate() {
            member.next.store(m * each + m.min(more), Ordering::Relaxed);
            member.end.store((m + 1) * each + (m + 1).min(more), Ordering::Relaxed);
        }
        self.threads.store(threads, Ordering::Relaxed);
        // SAFETY: no member is inside: the last job waited for that, and `busy` keeps other leaders out.
        // So nobody reads `job` now. The pointer outlives its lifetime only in its type: members call it
        // only while inside, and `close` waits for them. Nothing between here and there unwinds, since
        // panics of `work` are caught.
        unsafe {
            *self.job.get() =
                Some(std::mem::transmute::<*const (dyn Fn(usize, usize) + Sync + '_), Job>(work));
        }
        let gate = self.gate.0.load(Ordering::Relaxed);
        self.gate.0.store(gate + NEXT_JOB + OPEN, Ordering::Release);
        self.wake(threads);
        let own = catch_unwind(AssertUnwindSafe(|| self.take_part(0, threads, work)));
        self.close();
        let others = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.busy.store(false, Ordering::Release);
        match (own, others) {
            (Ok(()), None) => {}
            (Ok(()), Some(panic)) => resume_unwind(panic),
            (Err(panic), others) => {
                // Dropping it might panic again.
                std::mem::forget(others);
                resume_unwind(panic);
            }
        }
    }

    /// Closes the gate and waits for the members inside.
    fn close(&self) {
        self.gate.0.fetch_and(!OPEN, Ordering::Relaxed);
        // As in `serve`: either this thread sees that a member is inside, or the member sees that the
        // gate is closed.
        fence(Ordering::SeqCst);
        for CachePadded(member) in self.members.iter() {
            let mut looks = 0_usize;
            while member.inside.load(Ordering::Acquire) {
                looks += 1;
                // A member may need this core to get there, which a thread of a higher priority has to
                // leave for a while: yielding does not let go of it.
                if looks.is_multiple_of(1 << 20) {
                    std::thread::sleep(SPIN_TIME);
                } else if looks.is_multiple_of(1 << 12) {
                    std::thread::yield_now();
                } else {
                    std::hint::spin_loop();
                }
            }
        }
    }

    /// Calls `work` with the remaining indices of this member, and then with those of the others among
    /// the first `threads`.
    fn take_part(&self, member: usize, threads: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        let (before, from) = self.members[..threads].split_at(member);
        for CachePadded(of) in from.iter().chain(before) {
            let end = of.end.load(Ordering::Relaxed);
            while of.next.load(Ordering::Relaxed) < end {
                let index = of.next.fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    break;
                }
                work(member, index);
            }
        }
    }

    /// Makes the calling thread this member until the team is dismissed. Returns at once if the member
    /// already has a thread.
    pub(super) fn serve(&self, member: usize) {
        let CachePadded(me) = &self.members[member];
        if me.thread.set(std::thread::current()).is_err() {
            return;
        }
        let (mut last, mut seen) = (0, 0);
        let mut looks = 0;
        let mut idle_since = None;
        loop {
            let gate = self.gate.0.load(Ordering::Acquire);
            if gate & DISMISSED != 0 {
                return;
            }
            if gate & OPEN != 0 && gate != last {
                me.inside.store(true, Ordering::Relaxed);
                // Either the leader sees that this member is inside, or this member sees that the gate
                // is closed.
                fence(Ordering::SeqCst);
                if self.gate.0.load(Ordering::Acquire) == gate {
                    last = gate;
                    self.work(member);
                }
                me.inside.store(false, Ordering::Release);
                continue;
            }
            looks += 1;
            if looks < POLLS_PER_CLOCK_READ {
                std::hint::spin_loop();
                continue;
            }
            looks = 0;
            // The leader may be waiting for this core.
            std::thread::yield_now();
            if gate != seen && self.is_wanted(member) {
                // There are jobs, even if this member was too late for them.
                (seen, idle_since) = (gate, None);
            }
            if idle_since.get_or_insert_with(Instant::now).elapsed() > SPIN_TIME {
                self.sleep(member, gate);
                idle_since = None;
            }
        }
    }

    /// Does a member's part of the job, while inside.
    fn work(&self, member: usize) {
        let threads = self.threads.load(Ordering::Relaxed);
        // SAFETY: the gate was open after this thread had said that the member is inside, and no other
        // thread says anything about it (`Member::thread`); the gate is never open with the same number
        // twice. So the leader waits for this member before it touches `job` or releases what it points
        // to; and `job` was written before the gate was opened.
        let job = unsafe { (*self.job.get()).map(|job| &*job) };
        if let Some(work) = job
            && member < threads
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.take_part(member, threads, work)))
        {
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            match *first {
                None => *first = Some(panic),
                // Dropping it might panic again, here where the leader waits.
                Some(_) => std::mem::forget(panic),
            }
        }
    }

    /// Whether the job includes this member.
    fn is_wanted(&self, member: usize) -> bool {
        member < self.threads.load(Ordering::Relaxed)
    }

    /// Sleeps until there is a job for this member, unless there has been one since it read `gate`.
    fn sleep(&self, member: usize, gate: u64) {
        let CachePadded(me) = &self.members[member];
        // Whoever sees this also sees the thread to wake.
        me.asleep.store(true, Ordering::Release);
        // Either the leader sees that this member sleeps, or this member sees the new gate and how many
        // threads the job is for.
        fence(Ordering::SeqCst);
        let now = self.gate.0.load(Ordering::Relaxed);
        if now & DISMISSED != 0 || (now != gate && self.is_wanted(member)) {
            me.asleep.store(false, Ordering::Relaxed);
        }
        while me.asleep.load(Ordering::Relaxed) {
            std::thread::park();
        }
    }

    /// Wakes those of the first `threads` members that sleep, after the gate has changed.
    fn wake(&self, threads: usize) {
        fence(Ordering::SeqCst);
        for CachePadded(member) in &self.members[1..threads] {
            if member.asleep.load(Ordering::Relaxed)
                && member.asleep.swap(false, Ordering::Acquire)
                && let Some(thread) = member.thread.get()
            {
                thread.unpark();
            }
        }
    }

    /// Dismisses the members, whose calls of [`serve`](Team::serve) return.
    pub(super) fn dismiss(&self) {
        self.gate.0.fetch_or(DISMISSED, Ordering::Release);
        self.wake(self.threads());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `lead` alongside members on threads of their own, `threads` altogether.
    fn with_team(threads: usize, lead: impl FnOnce(&Team)) {
        let team = Team::new(threads);
        std::thread::scope(|scope| {
            for member in 1..threads {
                let team = &team;
                scope.spawn(move || team.serve(member));
            }
            // Members must be dismissed even if a test fails.
            let result = catch_unwind(AssertUnwindSafe(|| lead(&team)));
            team.dismiss();
            result.unwrap_or_else(|panic| resume_unwind(panic));
        });
    }

    const JOBS: usize = if cfg!(miri) { 20 } else { 20_000 };

    #[test]
    fn every_index_is_taken_once_in_every_job() {
        for threads in [1, 2, 3, 8] {
            with_team(threads, |team| {
                together(team, threads);
                for job in 0..JOBS {
                    let count = job % 11;
                    let taken: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                    team.run(threads, count, &|_, index| {
                        taken[index].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(taken.iter().all(|times| times.load(Ordering::Relaxed) == 1), "job {job}");
                }
            });
        }
    }

    /// Numbers, each of which may be changed by the thread that has its index.
    struct Plain<const N: usize>(UnsafeCell<[usize; N]>);

    // SAFETY: the test that uses it gives each index to one thread at a time.
    unsafe impl<const N: usize> Sync for Plain<N> {}

    #[test]
    fn what_a_job_wrote_is_there_after_it() {
        with_team(3, |team| {
            // Not atomic: the ordering of the gate has to suffice.
            let plain = Plain(UnsafeCell::new([0; 5]));
            let plain = &plain;
            for _ in 0..JOBS {
                // SAFETY: each index is taken by one thread, and jobs follow one another.
                team.run(3, 5, &|_, index| unsafe { *plain.0.get().cast::<usize>().add(index) += 1 });
            }
            // SAFETY: no job is running.
            assert_eq!(unsafe { *plain.0.get() }, [JOBS; 5]);
        });
    }

    #[test]
    fn a_number_is_one_thread_at_a_time() {
        with_team(4, |team| {
            for job in 0..JOBS / 10 {
                let threads = 1 + job % 4;
                let at_work: Vec<AtomicBool> = (0..threads).map(|_| AtomicBool::new(false)).collect();
                team.run(threads, 9, &|thread, _| {
                    assert!(!at_work[thread].swap(true, Ordering::Acquire), "{thread} twice");
                    std::hint::spin_loop();
                    at_work[thread].store(false, Ordering::Release);
                });
            }
        });
    }

    /// A job that finishes only if this many threads take part.
    fn together(team: &Team, threads: usize) {
        let here = AtomicUsize::new(0);
        team.run(threads, threads, &|_, _| {
            here.fetch_add(1, Ordering::Relaxed);
            while here.load(Ordering::Relaxed) < threads {
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn members_that_sleep_are_woken() {
        with_team(3, |team| {
            for pause in [Duration::ZERO, 4 * SPIN_TIME, 100 * SPIN_TIME, SPIN_TIME / 2] {
                std::thread::sleep(pause);
                together(team, 3);
            }
        });
    }

    #[test]
    fn members_sleep_while_jobs_are_for_others() {
        with_team(3, |team| {
            together(team, 3);
            let asleep = |member: usize| team.members[member].0.asleep.load(Ordering::Relaxed);
            let start = Instant::now();
            while !asleep(2) {
                assert!(start.elapsed() < Duration::from_secs(60), "still awake");
                team.run(2, 2, &|_, _| {});
            }
            together(team, 3);
        });
    }

    #[test]
    fn no_more_threads_take_part_than_asked_for() {
        with_team(4, |team| {
            for job in 0..JOBS / 10 {
                let threads = 1 + job % 4;
                let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
                team.run(threads, 9, &|_, _| {
                    most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    std::hint::spin_loop();
                    now.fetch_sub(1, Ordering::Relaxed);
                });
                assert!(most.into_inner() <= threads);
            }
            together(team, 4);
        });
    }

    #[test]
    fn leaders_beside_each_other_get_their_jobs_done() {
        with_team(3, |team| {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for job in 0..JOBS / 10 {
                            let count = 1 + job % 7;
                            let taken = AtomicUsize::new(0);
                            team.run(3, count, &|_, index| {
                                taken.fetch_add(index + 1, Ordering::Relaxed);
                            });
                            assert_eq!(taken.into_inner(), count * (count + 1) / 2);
                        }
                    });
                }
            });
        });
    }

    #[test]
    fn one_thread_is_one_member() {
        with_team(2, |team| {
            together(team, 2);
            // Returns at once, since another thread is that member.
            team.serve(1);
        });
    }

    #[test]
    fn work_inside_work_is_done_alone() {
        with_team(2, |team| {
            let calls = AtomicUsize::new(0);
            team.run(2, 4, &|_, _| {
                team.run(2, 5, &|_, _| {
                    calls.fetch_add(1, Ordering::Relaxed);
                });
            });
            assert_eq!(calls.into_inner(), 20);
        });
    }

    #[test]
    fn a_panic_reaches_the_leader_and_the_team_goes_on() {
        with_team(3, |team| {
            for bad in 0..6 {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    team.run(3, 6, &|_, index| assert!(index != bad, "index {bad}"));
                }));
                assert!(caught.is_err());
                let calls = AtomicUsize::new(0);
                team.run(3, 6, &|_, _| {
                    calls.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(calls.into_inner(), 6);
            }
        });
    }
    #[test]
    fn of_many_panics_one_reaches_the_leader_and_none_the_next_job() {
        with_team(3, |team| {
            for _ in 0..20 {
                let caught =
                    catch_unwind(AssertUnwindSafe(|| team.run(3, 64, &|_, index| panic!("index {index}"))));
                assert!(caught.is_err());
                team.run(3, 64, &|_, _| {});
            }
        });
    }

    #[test]
    fn panics_whose_payload_panics_do_not_keep_the_leader_waiting() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(std::thread::panicking(), "dropped");
            }
        }
        with_team(4, |team| {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                team.run(4, 4, &|_, _| std::panic::panic_any(Bomb));
            }));
            let caught = caught.unwrap_err();
            assert!(caught.is::<Bomb>());
            std::mem::forget(caught);
            together(team, 4);
        });
    }
}
