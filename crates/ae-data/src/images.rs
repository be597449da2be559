//! Folders of images: PNG and JPEG files, scaled to one size, as rows.

mod decode;
mod files;
mod resample;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::labels::Labels;
use crate::read::ReadOptions;
use crate::threads;
use decode::Header;
use files::Files;
pub use write::write_image;

/// What the labels are called that folders have.
const LABEL: &str = "label";
/// The colours of a pixel of three channels.
const COLOURS: [&str; 3] = ["red", "green", "blue"];

/// Size of an image, whose values are in the order (y, x, channel).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Values of a pixel: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
}

impl ImageSize {
    /// Values of an image.
    pub fn features(self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// What the values of an image are called: `grey_0_0`, or `red_0_0`, `green_0_0`, `blue_0_0`, with the line and the place in it, from 0.
    pub fn names(self) -> Vec<String> {
        let channels: &[&str] = if self.channels == 1 { &["grey"] } else { &COLOURS };
        let pixels = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (y, x)));
        pixels.flat_map(|(y, x)| channels.iter().map(move |name| format!("{name}_{y}_{x}"))).collect()
    }

    fn check(self) -> Result<(), DataError> {
        match self.features() > 0 && matches!(self.channels, 1 | 3) {
            true => Ok(()),
            false => Err(DataError::ImageSize { size: self }),
        }
    }
}

impl std::fmt::Display for ImageSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// The images of a folder, and what was done to them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Images {
    /// A row an image, `[images, height * width * channels]`, with levels from 0 (black) to 255, named after its file.
    pub rows: Dataset,
    /// The size of all of them.
    pub size: ImageSize,
    /// Files that were passed over, because their names do not end as those of images do.
    pub others: usize,
    /// Images that had another size.
    pub resized: usize,
    /// Of these, images that had other proportions: height and width were scaled by different factors.
    pub stretched: usize,
    /// Images that lost their colours, because grey ones were asked for.
    pub greyed: usize,
    /// Whether images lie both in the folder and in folders of it, whose names are then no labels.
    pub is_mixed: bool,
}

/// Reads the images of a folder and of the folders in it: files whose names end in `.png`, `.jpg` or `.jpeg`, in upper or lower case, in
/// the order of their paths (`2.png` before `10.png`). Hidden ones are passed over.
///
/// - Levels go from 0 to 255, whatever the depth of a file; of images with 16 bits they have fractions. What is transparent lies on white.
///   Grey is 0.299 red + 0.587 green + 0.114 blue. JPEG files are turned as their camera says.
/// - [`ReadOptions::image`] is the size that all are scaled to, each way by itself, where a pixel is the mean of those that it covers, weighted
///   by a triangle; levels are then rounded to a 256th. Without it all must have the same size, and are grey if no pixel of any has a colour.
/// - Where every image lies in a folder of the folder, the names of these are labels; [`ReadOptions::label`] may be `label` then.
///
/// # Errors
/// [`DataError::NoImages`] and [`DataError::NoFolders`] for a folder without images or labels, [`DataError::ImageSizes`] for images of several
/// sizes, [`DataError::ImageTooLarge`] and [`DataError::TooManyPixels`] for what takes too much memory, [`DataError::ImageSize`] for a size that
/// is none, and [`DataError::Malformed`] or [`DataError::Io`] for a file that is no image, is damaged or cannot be read.
pub fn read_images(folder: &Path, options: &ReadOptions) -> Result<Images, DataError> {
    options.image.map_or(Ok(()), ImageSize::check)?;
    let Files { paths, others } = Files::below(folder)?;
    let (labels, is_mixed) = labels(folder, &paths, options)?;
    let files: Vec<PathBuf> = paths.iter().map(|path| folder.join(path)).collect();
    let threads = threads::count(options.threads);
    let size = match options.image {
        Some(size) => size,
        None => common_size(&files, threads)?,
    };
    let mut values = room(folder, files.len(), size)?;
    let tally = decode_all(&files, size, threads, &mut values)?;
    let size = match options.image {
        None if size.channels == 3 && tally.coloured == 0 => {
            keep_first_of_three(&mut values);
            ImageSize { channels: 1, ..size }
        }
        _ => size,
    };
    let mut rows = Dataset::new(values, size.features())?.with_names(size.names())?;
    rows = rows.with_row_names("file", paths.iter().map(|path| files::name(path)).collect())?;
    if let Some(labels) = labels {
        rows = rows.with_labels(labels)?;
    }
    let Tally { resized, stretched, coloured, .. } = tally;
    let greyed = if options.image.is_some_and(|size| size.channels == 1) { coloured } else { 0 };
    Ok(Images { rows, size, others, resized, stretched, greyed, is_mixed })
}

/// The names of the folders that the images lie in, unless some lie in none, and whether only some do.
fn labels(
    folder: &Path,
    paths: &[PathBuf],
    options: &ReadOptions,
) -> Result<(Option<Labels>, bool), DataError> {
    let classes: Vec<String> = paths.iter().filter_map(|path| files::class(path)).collect();
    let is_mixed = !classes.is_empty() && classes.len() < paths.len();
    let labels = (classes.len() == paths.len()).then(|| Labels::from_texts(&classes));
    let path = folder.to_owned();
    match (&options.label, &labels) {
        (Some(_), None) => Err(DataError::NoFolders { path }),
        (Some(name), Some(_)) if name != LABEL => Err(DataError::NotThere {
            path,
            what: "column",
            name: name.clone(),
            present: vec![LABEL.to_owned()],
        }),
        _ => Ok((labels, is_mixed)),
    }
}

/// The size that all images have, in colour if one of them may have some.
fn common_size(files: &[PathBuf], threads: usize) -> Result<ImageSize, DataError> {
    let mut headers: Vec<Option<Header>> = vec![None; files.len()];
    let failed = First::default();
    threads::for_each_chunk(threads, &mut headers, 1, |place, header| {
        failed.unless_before(place, || {
            header[0] = Some(Header::read(&files[place])?);
            Ok(())
        });
    });
    failed.result()?;
    let mut size = ImageSize { height: 0, width: 0, channels: 1 };
    for (header, path) in headers.iter().flatten().zip(files) {
        if size.height == 0 {
            (size.height, size.width) = (header.height, header.width);
        }
        if (header.height, header.width) != (size.height, size.width) {
            return Err(DataError::ImageSizes {
                path: path.clone(),
                got: (header.height, header.width),
                first: files[0].clone(),
                expected: (size.height, size.width),
            });
        }
        if header.may_have_colour {
            size.channels = 3;
        }
    }
    Ok(size)
}

/// Memory for the values of so many images.
fn room(folder: &Path, images: usize, size: ImageSize) -> Result<Vec<f32>, DataError> {
    let mut values = Vec::new();
    let count = images.checked_mul(size.features());
    if count.is_some_and(|count| values.try_reserve_exact(count).is_ok()) {
        values.resize(count.unwrap_or(0), 0.0);
        return Ok(values);
    }
    Err(DataError::TooManyPixels { path: folder.to_owned(), images, size })
}

/// What came up while images were decoded.
#[derive(Default)]
struct Tally {
    resized: usize,
    stretched: usize,
    coloured: usize,
}

fn decode_all(
    files: &[PathBuf],
    size: ImageSize,
    threads: usize,
    values: &mut [f32],
) -> Result<Tally, DataError> {
    let failed = First::default();
    let tally = Mutex::new(Tally::default());
    threads::for_each_chunk(threads, values, size.features(), |place, row| {
        failed.unless_before(place, || {
            let pixels = decode::Pixels::read(&files[place])?;
            let (height, width) = pixels.shape();
            let has_colour = pixels.scaled(size, row);
            let mut tally = locked(&tally);
            tally.resized += usize::from((height, width) != (size.height, size.width));
            // Products of two sizes of images are far from overflowing.
            tally.stretched += usize::from(height * size.width != width * size.height);
            tally.coloured += usize::from(has_colour);
            Ok(())
        });
    });
    failed.result()?;
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The error of the first file that has one, whichever thread comes to it first.
#[derive(Default)]
struct First(Mutex<Option<(usize, DataError)>>);

impl First {
    /// Works on a file, unless one before it has failed.
    fn unless_before(&self, place: usize, work: impl FnOnce() -> Result<(), DataError>) {
        if locked(&self.0).as_ref().is_some_and(|(first, _)| *first < place) {
            return;
        }
        if let Err(error) = work() {
            let mut first = locked(&self.0);
            if first.as_ref().is_none_or(|(first, _)| place < *first) {
                *first = Some((place, error));
            }
        }
    }

    fn result(self) -> Result<(), DataError> {
        match self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of pixels whose three channels are the same, one.
fn keep_first_of_three(values: &mut Vec<f32>) {
    let pixels = values.len() / 3;
    (0..pixels).for_each(|pixel| values[pixel] = values[3 * pixel]);
    values.truncate(pixels);
    values.shrink_to_fit();
}
