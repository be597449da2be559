//! Atomic file writes: a file appears whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes a file atomically: `fill` writes a new file next to `path`, which is then synced and renamed
/// to `path`. Whatever fails along the way, `path` holds either its old contents or all of the new ones.
///
/// A symbolic link is kept and the file it points to is replaced; a dangling link is replaced by the
/// file. The new file has default permissions, not those of the file it replaces. Something that exists
/// but is not a regular file, such as a pipe or `/dev/stdout`, cannot be replaced and is written to
/// directly.
///
/// # Errors
/// Any error from creating, writing, syncing or renaming the file, or from `fill`;
/// [`io::ErrorKind::IsADirectory`] if `path` is a folder.
pub fn write_atomically(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    write(path.as_ref(), true, fill)
}

/// Like [`write_atomically`], but without waiting for the disk: for one of many files that can be
/// written again. After a power loss the file may be empty.
#[cfg(feature = "images")]
pub(crate) fn write_unsynced(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    write(path, false, fill)
}

/// `synced` says whether the file must be on disk before it gets its name.
fn write(
    path: &Path,
    synced: bool,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err(directory_error());
        }
        // A rename would replace the device by a file.
        Ok(found) if !found.is_file() => {
            let mut stream = BufWriter::new(OpenOptions::new().write(true).open(path)?);
            fill(&mut stream)?;
            return stream.flush();
        }
        _ => {}
    }
    replace(&resolve_link(path), synced, fill)
}

/// Checks that [`write_atomically`] could start on `path`, before long work whose result is to be
/// written there.
///
/// # Errors
/// Any error that [`write_atomically`] would return before it calls `fill`.
pub fn check_writable(path: impl AsRef<Path>) -> io::Result<()> {
    check_path(path.as_ref())
}

fn check_path(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(directory_error()),
        // Opening and closing a pipe would signal the end of the stream to its reader.
        Ok(found) if is_pipe(&found) => Ok(()),
        Ok(found) if !found.is_file() => OpenOptions::new().write(true).open(path).map(drop),
        _ => {
            let target = resolve_link(path);
            let mut temporary = Temporary { path: None };
            create_temporary(&target, folder_of(&target), &mut temporary).map(drop)
        }
    }
}

#[cfg(unix)]
fn is_pipe(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&found.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &fs::Metadata) -> bool {
    false
}

fn directory_error() -> io::Error {
    io::Error::new(io::ErrorKind::IsADirectory, "a folder, not a file")
}

/// The file to replace: `path`, or the target of the link.
fn resolve_link(path: &Path) -> PathBuf {
    let target = if path.is_symlink() { fs::canonicalize(path).ok() } else { None };
    target.unwrap_or_else(|| path.to_owned())
}

fn replace(
    path: &Path,
    synced: bool,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path);
    // Declared in this order, the file is closed before it is removed, even if `fill` panics.
    let mut temporary = Temporary { path: None };
    let mut file = BufWriter::new(create_temporary(path, folder, &mut temporary)?);
    fill(&mut file)?;
    file.flush()?;
    if synced {
        file.get_ref().sync_all()?;
    }
    drop(file);
    if let Some(written) = &temporary.path {
        fs::rename(written, path)?;
    }
    temporary.path = None;
    // The rename is durable once the folder is synced. Some systems cannot sync folders; the file is
    // whole either way.
    if synced && let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// A file that is removed on drop unless it has been renamed.
struct Temporary {
    path: Option<PathBuf>,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // The error that matters is the earlier one; the name of a leftover file says what it is.
            let _ = fs::remove_file(path);
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn create_temporary(path: &Path, folder: &Path, temporary: &mut Temporary) -> io::Result<File> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"));
    };
    // Most systems limit the length of names, and `name` may already be at that limit.
    let start: String = name.to_string_lossy().chars().take(40).collect();
    for attempt in 0..100 {
        let hidden = OsString::from(format!(".{start}.{}-{attempt}.tmp", std::process::id()));
        let candidate = folder.join(hidden);
        match OpenOptions::new().write(true).create_new(true).open(&candidate) {
            Ok(file) => {
                temporary.path = Some(candidate);
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many temporary files with this name in the folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str) -> io::Result<()> {
        write_atomically(path, |file| file.write_all(text.as_bytes()))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        put(&path, "old").unwrap();
        put(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["a.csv"]);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        put(&path, "old").unwrap();
        let failed = write_atomically(&path, |file| {
            file.write_all(&[b'x'; 100_000])?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        let panicked = std::panic::catch_unwind(|| write_atomically(&path, |_| panic!("on the way")));
        assert!(panicked.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["a.csv"]);
    }

    #[test]
    fn what_cannot_be_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |path: &Path| put(path, "x").unwrap_err().kind();
        assert_eq!(kind(folder.path()), io::ErrorKind::IsADirectory);
        assert_eq!(kind(&folder.path().join("no/a.csv")), io::ErrorKind::NotFound);
        assert_eq!(kind(Path::new("")), io::ErrorKind::InvalidInput);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn names_may_be_as_long_as_the_system_allows() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("{}.csv", "é".repeat(125));
        put(&folder.path().join(&name), "x").unwrap();
        assert_eq!(names(folder.path()), [name]);
    }

    #[cfg(unix)]
    #[test]
    fn links_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::create_dir(folder.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("sub/../file", &link).unwrap();
        put(&file, "old").unwrap();
        put(&link, "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        fs::remove_file(&file).unwrap();
        put(&link, "alone").unwrap();
        assert!(!link.is_symlink() && !file.exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_never_replaced() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        // A socket cannot be opened as a file, so nothing is written; what matters is that it still
        // exists.
        assert!(put(&path, "x").is_err());
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    }
}
