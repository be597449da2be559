//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Lets `fill` write a new file beside `path`, syncs it and renames it to `path`. Whatever happens on the way, `path`
/// holds either what it held or all of what was written.
///
/// A symbolic link stays, and the file that it points to is replaced; one that points to nothing becomes the file. The
/// new file has the permissions of any new file, not those of the one it replaces. What is there and is no file, such as
/// a pipe or `/dev/stdout`, cannot be replaced: it is written to directly.
///
/// # Errors
/// What creating, writing, syncing or renaming returns, or `fill`; [`io::ErrorKind::IsADirectory`] for a folder.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    write(path, true, fill)
}

/// As [`write_atomically`], but without waiting for the disk: for one of many files that can be written again. After a loss of power the
/// file may be one of no bytes.
#[cfg(feature = "images")]
pub(crate) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    write(path, false, fill)
}

/// `synced` says whether the file is on the disk before it gets its name.
fn write(
    path: &Path,
    synced: bool,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err(is_a_folder());
        }
        // A rename would put a file in the place of the device.
        Ok(found) if !found.is_file() => {
            let mut stream = BufWriter::new(OpenOptions::new().write(true).open(path)?);
            fill(&mut stream)?;
            return stream.flush();
        }
        _ => {}
    }
    replace(&behind_link(path), synced, fill)
}

/// Whether [`write_atomically`] could start on `path`: to be asked before long work whose result goes there.
///
/// # Errors
/// What it would return before calling `fill`.
pub fn check_writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(is_a_folder()),
        // Who reads from a pipe would take its closing for the end.
        Ok(found) if is_pipe(&found) => Ok(()),
        Ok(found) if !found.is_file() => OpenOptions::new().write(true).open(path).map(drop),
        _ => {
            let target = behind_link(path);
            let mut temporary = Temporary { path: None };
            create_beside(&target, folder_of(&target), &mut temporary).map(drop)
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

fn is_a_folder() -> io::Error {
    io::Error::new(io::ErrorKind::IsADirectory, "a folder, but a file is needed")
}

/// The file that is to be replaced.
fn behind_link(path: &Path) -> PathBuf {
    let target = if path.is_symlink() { fs::canonicalize(path).ok() } else { None };
    target.unwrap_or_else(|| path.to_owned())
}

fn replace(
    path: &Path,
    synced: bool,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path);
    // In this order: the file is closed before it is removed, also where `fill` panics.
    let mut temporary = Temporary { path: None };
    let mut file = BufWriter::new(create_beside(path, folder, &mut temporary)?);
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
    // The rename is durable once the folder is; some systems cannot sync folders, and the file is whole either way.
    if synced && let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// A file that is removed unless it has been renamed.
struct Temporary {
    path: Option<PathBuf>,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // The error that matters is the one before; a leftover has a name that says what it is.
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

fn create_beside(path: &Path, folder: &Path, temporary: &mut Temporary) -> io::Result<File> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    // Names have a limit on most systems, and `name` may be as long as it allows.
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
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many temporary files of this name in the folder"))
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
        // A socket cannot be opened as a file, so nothing is written; what matters is that it is still there.
        assert!(put(&path, "x").is_err());
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    }
}
