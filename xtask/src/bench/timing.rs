//! Timing by the best of many windows.

use std::time::{Duration, Instant};

use crate::failure::Failure;

/// Runs `work`, which returns the time of its timed part, until `limit` has passed, at least three
/// times, and returns the shortest time. The first run is warm-up and does not count.
pub(crate) fn best_of(limit: Duration, mut work: impl FnMut() -> Duration) -> Duration {
    work();
    let begin = Instant::now();
    let mut best = work().min(work());
    while begin.elapsed() < limit {
        best = best.min(work());
    }
    best
}

/// [`best_of`] for two alternating sides, so that both meet the same disturbances.
pub(crate) fn best_of_two(
    limit: Duration,
    mut ours: impl FnMut() -> Duration,
    mut theirs: impl FnMut() -> Duration,
) -> [Duration; 2] {
    let mut best = [Duration::MAX; 2];
    best_of(limit, || {
        let times = [ours(), theirs()];
        best = [best[0].min(times[0]), best[1].min(times[1])];
        times[0] + times[1]
    });
    best
}

/// Returns the mean time of `repeats` runs of `work`.
pub(crate) fn time(repeats: u32, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..repeats {
        work();
    }
    start.elapsed() / repeats.max(1)
}

/// Converts the value of `--seconds` to a duration.
pub(crate) fn limit(seconds: f64) -> Result<Duration, Failure> {
    if (0.0..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(Failure::Usage(format!("--seconds is {seconds}, but must be from 0 to 3600")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_counts() {
        let mut times = [1, 9, 5, 7].map(Duration::from_millis).into_iter();
        let mut next = || times.next().unwrap_or(Duration::from_millis(6));
        assert_eq!(best_of(Duration::ZERO, &mut next), Duration::from_millis(5));
        let pair = best_of_two(Duration::ZERO, || Duration::from_millis(2), || Duration::from_millis(3));
        assert_eq!(pair, [2, 3].map(Duration::from_millis));
    }

    #[test]
    fn limits() {
        assert!(limit(0.5).is_ok() && limit(-1.0).is_err() && limit(f64::NAN).is_err());
    }
}
