//! A team: one thread that leads, and others that wait awake for the next piece of work to share.
//!
//! A training step has two pieces of shared work and may last some ten microseconds, as long as waking one thread takes. So
//! the members of a team look for work without pause, and sleep only when there has been none for a while.
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
//! The leader does not wait for members that are late: it takes their indices itself, and they find the gate closed. A member
//! that has had no work for long leaves the team, so that no thread is kept from what others may wait for; the leader calls for it
//! when there is work again.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a member looks for work before it sleeps: a few times longer than what lies between two steps.
const AWAKE: Duration = Duration::from_micros(200);
/// How long it sleeps before it looks for work of others again, if nobody wakes it.
const ASLEEP: Duration = Duration::from_millis(1);
/// How long it stays without work.
const PATIENCE: Duration = Duration::from_millis(100);
/// Looks at the gate before one at the clock and at work of others.
const LOOKS: usize = 64;

/// In the gate, whose other bits count the jobs.
const OPEN: u64 = 1;
const DISMISSED: u64 = 2;
const NEXT_JOB: u64 = 4;

/// A value in cache lines of its own; two, since the hardware fetches them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// What a member has of its own.
#[derive(Debug, Default)]
struct Member {
    /// The first of its indices of the job that nobody has taken.
    next: AtomicUsize,
    /// Where they end.
    end: AtomicUsize,
    inside: AtomicBool,
    /// Whether no thread is this member or has been called to be.
    away: AtomicBool,
}

type Job = *const (dyn Fn(usize) + Sync);

/// A leader and its members, numbered from 1; the leader is 0.
pub(super) struct Team {
    gate: Apart<AtomicU64>,
    /// Written by the leader while the gate is closed and nobody is inside, read by members that are inside.
    job: UnsafeCell<Option<Job>>,
    members: Box<[Apart<Member>]>,
    /// Whether the leader is at work.
    busy: AtomicBool,
    /// How many members are away.
    away: Apart<AtomicUsize>,
    asleep: Apart<AtomicUsize>,
    bed: Mutex<()>,
    alarm: Condvar,
    /// Has some thread call `serve` as this member, soon.
    call: fn(Arc<Team>, usize),
    /// What a member's work panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is the only field that is not `Sync` by itself; who may touch it when is said there and argued where it is touched. What
// it points to is `Sync`, so that members may call it.
unsafe impl Sync for Team {}
// SAFETY: as above; nothing in a team belongs to one thread.
unsafe impl Send for Team {}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

impl Team {
    /// A team of so many threads, the leader among them; `call` has some thread [`serve`](Team::serve) as the member, soon.
    pub(super) fn new(threads: usize, call: fn(Arc<Team>, usize)) -> Arc<Team> {
        let team = Arc::new(Team {
            gate: Apart::default(),
            job: UnsafeCell::new(None),
            members: (0..threads).map(|_| Apart::default()).collect(),
            busy: AtomicBool::new(false),
            away: Apart::default(),
            asleep: Apart::default(),
            bed: Mutex::new(()),
            alarm: Condvar::new(),
            call,
            panic: Mutex::new(None),
        });
        for member in 1..threads {
            call(Arc::clone(&team), member);
        }
        team
    }

    /// The leader and its members.
    pub(super) fn threads(&self) -> usize {
        self.members.len()
    }

    /// Calls `work` once with every index below `count`, on the calling thread and on the members that are awake. Work that shares work
    /// itself does that alone.
    ///
    /// # Panics
    /// With what `work` panics with, when all others are done.
    pub(super) fn run(self: &Arc<Self>, count: usize, work: &(dyn Fn(usize) + Sync)) {
        if self.busy.swap(true, Ordering::Acquire) {
            (0..count).for_each(work);
            return;
        }
        if self.away.0.load(Ordering::Relaxed) > 0 {
            self.call_back();
        }
        let threads = self.threads();
        for (m, Apart(member)) in self.members.iter().enumerate() {
            member.next.store(m * count / threads, Ordering::Relaxed);
            member.end.store((m + 1) * count / threads, Ordering::Relaxed);
        }
        {
            let inside = Inside(self);
            // SAFETY: no member is inside: the last `Inside` waited for that, and `busy` keeps other leaders out. So nobody reads
            // `job` now. The pointer outlives its lifetime in the type only: members call it inside alone, and `inside` waits for
            // them before this function returns or unwinds.
            unsafe {
                *self.job.get() = Some(std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Job>(work));
            }
            let gate = self.gate.0.load(Ordering::Relaxed);
            self.gate.0.store(gate + NEXT_JOB + OPEN, Ordering::Release);
            self.wake();
            self.take_part(0, work);
            drop(inside);
        }
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Calls for the members that have left.
    fn call_back(self: &Arc<Self>) {
        for (m, Apart(member)) in self.members.iter().enumerate() {
            if member.away.swap(false, Ordering::Acquire) {
                self.away.0.fetch_sub(1, Ordering::Relaxed);
                (self.call)(Arc::clone(self), m);
            }
        }
    }

    /// Calls `work` with the indices of this member that are left, and then with those of the others.
    fn take_part(&self, member: usize, work: &(dyn Fn(usize) + Sync)) {
        let (before, from) = self.members.split_at(member);
        for Apart(of) in from.iter().chain(before) {
            let end = of.end.load(Ordering::Relaxed);
            while of.next.load(Ordering::Relaxed) < end {
                let index = of.next.fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    break;
                }
                work(index);
            }
        }
    }

    /// Takes part in all work until the team is dismissed or there has been none for long. Calls `meanwhile` now and then when there
    /// is none.
    pub(super) fn serve(&self, member: usize, meanwhile: impl Fn()) {
        let Apart(me) = &self.members[member];
        let mut last = 0;
        let mut looks = 0;
        let mut idle_since = None;
        loop {
            let gate = self.gate.0.load(Ordering::Acquire);
            if gate & DISMISSED != 0 {
                return;
            }
            if gate & OPEN != 0 && gate != last {
                me.inside.store(true, Ordering::Relaxed);
                // Either the leader sees that this member is inside, or this member sees that the gate is closed.
                fence(Ordering::SeqCst);
                if self.gate.0.load(Ordering::Acquire) == gate {
                    last = gate;
                    // SAFETY: the gate was open after `inside` was set, so the leader waits for this member before it touches `job`
                    // or lets what it points to go; it was written before the gate was opened.
                    let job = unsafe { (*self.job.get()).map(|job| &*job) };
                    if let Some(work) = job
                        && let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.take_part(member, work)))
                    {
                        *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
                    }
                    (looks, idle_since) = (0, None);
                }
                me.inside.store(false, Ordering::Release);
                continue;
            }
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            looks = 0;
            meanwhile();
            let idle = idle_since.get_or_insert_with(Instant::now).elapsed();
            if idle > PATIENCE {
                self.away.0.fetch_add(1, Ordering::Relaxed);
                me.away.store(true, Ordering::Release);
                return;
            }
            if idle > AWAKE {
                self.sleep(gate);
            }
        }
    }

    /// Sleeps for a while unless the gate has changed, or until it does.
    fn sleep(&self, gate: u64) {
        let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.0.fetch_add(1, Ordering::Relaxed);
        // Either the leader sees that somebody sleeps, or this member sees the new gate.
        fence(Ordering::SeqCst);
        if self.gate.0.load(Ordering::Relaxed) == gate {
            drop(self.alarm.wait_timeout(bed, ASLEEP));
        }
        self.asleep.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Wakes those who sleep, after the gate has changed.
    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.0.load(Ordering::Relaxed) > 0 {
            drop(self.bed.lock().unwrap_or_else(PoisonError::into_inner));
            self.alarm.notify_all();
        }
    }

    /// Lets the members go, when what is returned is dropped.
    pub(super) fn until_dismissed(&self) -> impl Drop + '_ {
        Dismissal(self)
    }
}

/// A job at work. Closes the gate and waits for the members inside, also when the leader's own work panics.
struct Inside<'a>(&'a Team);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let Inside(team) = self;
        team.gate.0.fetch_and(!OPEN, Ordering::Relaxed);
        // As in `serve`.
        fence(Ordering::SeqCst);
        for Apart(member) in team.members.iter() {
            let mut looks = 0_usize;
            while member.inside.load(Ordering::Acquire) {
                looks += 1;
                // Somebody else may need this core to get there.
                if looks.is_multiple_of(1 << 12) {
                    std::thread::yield_now();
                } else {
                    std::hint::spin_loop();
                }
            }
        }
        team.busy.store(false, Ordering::Release);
    }
}

struct Dismissal<'a>(&'a Team);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.gate.0.fetch_or(DISMISSED, Ordering::Release);
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `lead` beside so many members, on threads of their own.
    fn with_team(threads: usize, lead: impl FnOnce(&Arc<Team>)) {
        let team = Team::new(threads, |team, member| {
            std::thread::spawn(move || team.serve(member, std::thread::yield_now));
        });
        let _dismissal = team.until_dismissed();
        lead(&team);
    }

    const JOBS: usize = if cfg!(miri) { 20 } else { 20_000 };

    #[test]
    fn every_index_is_taken_once_in_every_job() {
        for threads in [1, 2, 3, 8] {
            with_team(threads, |team| {
                for job in 0..JOBS {
                    let count = job % 11;
                    let taken: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                    team.run(count, &|index| {
                        taken[index].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(taken.iter().all(|times| times.load(Ordering::Relaxed) == 1), "job {job}");
                }
            });
        }
    }

    #[test]
    fn what_a_job_wrote_is_there_after_it() {
        with_team(3, |team| {
            let cells: Vec<Mutex<usize>> = (0..5).map(Mutex::new).collect();
            let plain: Vec<AtomicUsize> = (0..5).map(AtomicUsize::new).collect();
            for _ in 0..JOBS {
                team.run(5, &|index| {
                    *cells[index].lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    // No ordering of its own: that of the gate has to do.
                    plain[index].store(plain[index].load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                });
            }
            for (index, value) in plain.iter().enumerate() {
                assert_eq!(value.load(Ordering::Relaxed), index + JOBS);
            }
        });
    }

    #[test]
    fn members_that_sleep_or_have_left_come_back() {
        with_team(2, |team| {
            let both = AtomicUsize::new(0);
            for pause in [4 * AWAKE, 2 * PATIENCE, 4 * AWAKE, 2 * PATIENCE] {
                std::thread::sleep(pause);
                assert_eq!(team.away.0.load(Ordering::Relaxed), usize::from(pause > PATIENCE));
                both.store(0, Ordering::Relaxed);
                // Done only if there is one thread for each.
                team.run(2, &|_| {
                    both.fetch_add(1, Ordering::Relaxed);
                    while both.load(Ordering::Relaxed) < 2 {
                        std::thread::yield_now();
                    }
                });
            }
        });
    }

    #[test]
    fn work_inside_work_is_done_alone() {
        with_team(2, |team| {
            let calls = AtomicUsize::new(0);
            team.run(4, &|_| {
                team.run(5, &|_| {
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
                    team.run(6, &|index| assert!(index != bad, "index {bad}"));
                }));
                assert!(caught.is_err());
                let calls = AtomicUsize::new(0);
                team.run(6, &|_| {
                    calls.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(calls.into_inner(), 6);
            }
        });
    }
}
