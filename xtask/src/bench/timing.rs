//! Best of many windows.

use std::time::{Duration, Instant};

use crate::failure::Failure;

/// The shortest of many runs of `work`, which returns what of it is to be timed: runs until `limit` has passed, at
/// least three times. The first run warms up and does not count.
pub(crate) fn best_of(limit: Duration, mut work: impl FnMut() -> Duration) -> Duration {
    work();
    let begin = Instant::now();
    let mut best = work().min(work());
    while begin.elapsed() < limit {
        best = best.min(work());
    }
    best
}

/// [`best_of`] for two sides in turn, so that both meet the same disturbances.
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

/// How long `repeats` runs of `work` take, divided by their number.
pub(crate) fn time(repeats: u32, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..repeats {
        work();
    }
    start.elapsed() / repeats.max(1)
}

/// The value of `--seconds` as a duration.
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
