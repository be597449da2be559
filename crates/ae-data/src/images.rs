//! Folders of images: PNG and JPEG files as rows of one size.

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

/// The column name of the labels that come from folder names.
const LABEL: &str = "label";
/// The channels of a colour image.
const COLOURS: [&str; 3] = ["red", "green", "blue"];

/// Largest number of values of an image that is read as a row: as many features as a model can have.
const MAX_FEATURES: usize = 1 << 24;
/// Values of the images that are decoded between two steps of growing memory (64 MiB).
const VALUES_AT_A_TIME: usize = 1 << 24;

/// The size of an image. Its values are in (y, x, channel) order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Values per pixel: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
}

impl ImageSize {
    /// Number of values of an image.
    pub fn features(self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// Returns the names of the values: `grey_0_0`, or `red_0_0`, `green_0_0` and `blue_0_0`, with y and
    /// x from 0.
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

/// The images of a folder, and how they were converted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Images {
    /// One row per image, `[images, height * width * channels]`, named after its file; levels are from 0
    /// (black) to 255.
    pub rows: Dataset,
    /// The common size of the images.
    pub size: ImageSize,
    /// Files skipped because their names do not end like those of images.
    pub others: usize,
    /// Images that were scaled because they had another size.
    pub resized: usize,
    /// Those of them that had another aspect ratio: height and width were scaled by different factors.
    pub stretched: usize,
    /// Images converted to grey because that was requested.
    pub greyed: usize,
    /// Whether some images are in subfolders and some are not, so that folder names are not used as
    /// labels.
    pub is_mixed: bool,
}

/// Reads the images of a folder and its subfolders: files whose names end in `.png`, `.jpg` or `.jpeg`
/// (in any case), sorted by path with numbers by value (`2.png` before `10.png`). Hidden files are
/// skipped.
///
/// - Levels are from 0 to 255 at any bit depth; those of 16-bit images have fractions. Transparent
///   pixels are composited onto white. Grey is 0.299 red + 0.587 green + 0.114 blue. JPEG files are
///   turned upright by their Exif orientation.
/// - All images are scaled to [`ReadOptions::image`], height and width independently: each pixel is a
///   mean of the pixels it covers, weighted by a triangle filter, and its levels are rounded to a
///   multiple of 1/256. Without that option all images must have the same size, and they become grey if
///   no pixel of any image has a colour.
/// - If every image is in a subfolder, the names of the top-level subfolders are the labels;
///   [`ReadOptions::label`] may then be `label`.
///
/// # Errors
/// [`DataError::NoImages`] for a folder without images, [`DataError::NoFolders`] or
/// [`DataError::NotFound`] for labels that do not exist, [`DataError::ImageSizes`] for images of
/// different sizes, [`DataError::TooManyFeatures`] for images of more than 2²⁴ values,
/// [`DataError::ImageTooLarge`] and [`DataError::TooManyPixels`] for what needs too much memory,
/// [`DataError::ImageSize`] for an invalid size, and [`DataError::Malformed`] or
/// [`DataError::Io`] for a file that is not an image, is damaged or cannot be read.
pub fn read_images(folder: impl AsRef<Path>, options: &ReadOptions) -> Result<Images, DataError> {
    read_folder(folder.as_ref(), options)
}

fn read_folder(folder: &Path, options: &ReadOptions) -> Result<Images, DataError> {
    options.image.map_or(Ok(()), ImageSize::check)?;
    let Files { paths, others } = Files::list(folder)?;
    let (labels, is_mixed) = labels(folder, &paths, options)?;
    let files: Vec<PathBuf> = paths.iter().map(|path| folder.join(path)).collect();
    let threads = threads::count(options.threads);
    let size = match options.image {
        Some(size) => size,
        None => common_size(&files, threads)?,
    };
    if size.features() > MAX_FEATURES {
        return Err(DataError::TooManyFeatures { path: folder.to_owned(), size, max: MAX_FEATURES });
    }
    let mut values = reserve(folder, files.len(), size)?;
    let counts = decode_all(&files, size, threads, &mut values)?;
    let size = match options.image {
        None if size.channels == 3 && counts.coloured == 0 => {
            keep_first_of_three(&mut values);
            ImageSize { channels: 1, ..size }
        }
        _ => size,
    };
    let mut rows = Dataset::new(values, size.features())?.with_distinct_names(size.names());
    rows = rows.with_row_ids("file", paths.iter().map(|path| files::name(path)).collect())?;
    if let Some(labels) = labels {
        rows = rows.with_labels(labels)?;
    }
    let ConversionCounts { resized, stretched, coloured, .. } = counts;
    let greyed = if options.image.is_some_and(|size| size.channels == 1) { coloured } else { 0 };
    Ok(Images { rows, size, others, resized, stretched, greyed, is_mixed })
}

/// Returns the names of the subfolders as labels, if every image is in one, and whether only some images
/// are.
fn labels(
    folder: &Path,
    paths: &[PathBuf],
    options: &ReadOptions,
) -> Result<(Option<Labels>, bool), DataError> {
    let classes: Vec<String> = paths.iter().filter_map(|path| files::top_folder(path)).collect();
    let is_mixed = !classes.is_empty() && classes.len() < paths.len();
    let labels = (classes.len() == paths.len()).then(|| Labels::from_texts(&classes));
    let path = folder.to_owned();
    match (&options.label, &labels) {
        (Some(_), None) => Err(DataError::NoFolders { path }),
        (Some(name), Some(_)) if name != LABEL => Err(DataError::NotFound {
            path,
            what: "column",
            name: name.clone(),
            present: vec![LABEL.to_owned()],
        }),
        _ => Ok((labels, is_mixed)),
    }
}

/// Returns the size that all images have, in colour if any of them may have colours.
fn common_size(files: &[PathBuf], threads: usize) -> Result<ImageSize, DataError> {
    let mut headers: Vec<Option<Header>> = vec![None; files.len()];
    let failed = FirstError::default();
    threads::for_each_chunk(threads, &mut headers, 1, |place, header| {
        failed.run_unless_earlier_failed(place, || {
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

/// Reserves memory for the values of this many images, without touching it.
fn reserve(folder: &Path, images: usize, size: ImageSize) -> Result<Vec<f32>, DataError> {
    let mut values = Vec::new();
    let count = images.checked_mul(size.features());
    if count.is_some_and(|count| values.try_reserve_exact(count).is_ok()) {
        return Ok(values);
    }
    Err(DataError::TooManyPixels { path: folder.to_owned(), images, size })
}

/// Counts taken while images are decoded.
#[derive(Default)]
struct ConversionCounts {
    resized: usize,
    stretched: usize,
    coloured: usize,
}

/// Decodes the files and appends their values, some files at a time: an image that cannot be decoded
/// occupies no memory for those after it, whatever sizes the files claim.
fn decode_all(
    files: &[PathBuf],
    size: ImageSize,
    threads: usize,
    values: &mut Vec<f32>,
) -> Result<ConversionCounts, DataError> {
    let counts = Mutex::new(ConversionCounts::default());
    let at_a_time = threads.max(VALUES_AT_A_TIME / size.features().max(1));
    for files in files.chunks(at_a_time) {
        let decoded = values.len();
        values.resize(decoded + files.len() * size.features(), 0.0);
        decode(files, size, threads, &mut values[decoded..], &counts)?;
    }
    Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn decode(
    files: &[PathBuf],
    size: ImageSize,
    threads: usize,
    values: &mut [f32],
    counts: &Mutex<ConversionCounts>,
) -> Result<(), DataError> {
    let failed = FirstError::default();
    threads::for_each_chunk(threads, values, size.features(), |place, row| {
        failed.run_unless_earlier_failed(place, || {
            let pixels = decode::Pixels::read(&files[place])?;
            let (height, width) = pixels.shape();
            let has_colour = pixels.scaled(size, row);
            let mut counts = lock(counts);
            counts.resized += usize::from((height, width) != (size.height, size.width));
            // Products of two image sides are far from overflowing.
            counts.stretched += usize::from(height * size.width != width * size.height);
            counts.coloured += usize::from(has_colour);
            Ok(())
        });
    });
    failed.result()
}

/// The error of the first file that has one, whichever thread meets it first.
#[derive(Default)]
struct FirstError(Mutex<Option<(usize, DataError)>>);

impl FirstError {
    /// Processes a file, unless an earlier one has failed.
    fn run_unless_earlier_failed(&self, place: usize, work: impl FnOnce() -> Result<(), DataError>) {
        if lock(&self.0).as_ref().is_some_and(|(first, _)| *first < place) {
            return;
        }
        if let Err(error) = work() {
            let mut first = lock(&self.0);
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps one of three equal channels per pixel.
fn keep_first_of_three(values: &mut Vec<f32>) {
    let pixels = values.len() / 3;
    (0..pixels).for_each(|pixel| values[pixel] = values[3 * pixel]);
    values.truncate(pixels);
    values.shrink_to_fit();
}
