//! Panics of other crates' parsers, turned into errors.

#[cfg(any(feature = "images", feature = "parquet"))]
use std::any::Any;
use std::cell::Cell;
#[cfg(any(feature = "images", feature = "parquet"))]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread would be caught by [`guarded`].
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a parser, which may panic on damage that its authors did not foresee; returns the first line of
/// the panic's message if it does.
#[cfg(any(feature = "images", feature = "parquet"))]
pub(crate) fn guarded<T>(parse: impl FnOnce() -> T) -> Result<T, String> {
    let was_guarded = IS_GUARDED.replace(true);
    let parsed = catch_unwind(AssertUnwindSafe(parse));
    IS_GUARDED.set(was_guarded);
    parsed.map_err(|panic| first_line(&*panic).to_owned())
}

#[cfg(any(feature = "images", feature = "parquet"))]
fn first_line(panic: &(dyn Any + Send)) -> &str {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason given").lines().next().unwrap_or_default()
}

/// Keeps the process's panic hook from reporting panics that this crate catches.
///
/// Parsers of Parquet files and images may panic on damaged files. Such a panic is returned as
/// [`DataError::Malformed`](crate::DataError::Malformed), but the panic hook, which belongs to the whole
/// process, has reported it to the standard error stream by then. A program that does not want that calls
/// this once, when it starts: it wraps the current hook, which still gets all other panics. Later calls
/// do nothing. The library itself never changes the hook.
///
/// # Panics
/// If the calling thread is panicking, as [`std::panic::set_hook`] does.
pub fn silence_caught_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                previous(panic);
            }
        }));
    });
}

#[cfg(all(test, any(feature = "images", feature = "parquet")))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// One test, because the hook belongs to the whole process. It counts the panics of this thread only:
    /// other tests may panic at the same time.
    #[test]
    fn only_panics_that_are_caught_here_are_silent() {
        static REPORTED: AtomicUsize = AtomicUsize::new(0);
        let (this, original) = (std::thread::current().id(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() == this {
                REPORTED.fetch_add(1, Ordering::Relaxed);
            } else {
                original(panic);
            }
        }));
        assert_eq!(guarded(|| panic!("a page\nof text")), Err::<(), _>("a page".to_owned()));
        assert_eq!(REPORTED.load(Ordering::Relaxed), 1);
        silence_caught_panics();
        silence_caught_panics();
        assert_eq!(guarded(|| guarded(|| panic!("inner")).unwrap_or(3)), Ok(3));
        assert_eq!(guarded(|| panic!("{}", 7)), Err::<(), _>("7".to_owned()));
        let outer = guarded(|| {
            guarded(|| ()).unwrap();
            panic!("outer")
        });
        assert_eq!(outer, Err::<(), _>("outer".to_owned()));
        assert_eq!(REPORTED.load(Ordering::Relaxed), 1);
        assert!(catch_unwind(|| panic!("elsewhere")).is_err());
        assert_eq!(REPORTED.load(Ordering::Relaxed), 2);
    }
}
