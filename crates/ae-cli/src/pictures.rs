//! Reading folders of images, and writing rows of a model as images.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use ae_data::{DataError, Dataset, ImageSize, Images, ReadOptions};
use ae_model::{Autoencoder, Image, Loss, ScalerKind};

use crate::failure::Failure;
use crate::output::Output;

/// The level of white pixels.
pub(crate) const WHITE: f32 = 255.0;

pub(crate) fn size(Image { height, width, channels }: Image) -> ImageSize {
    ImageSize { height, width, channels }
}

pub(crate) fn image(ImageSize { height, width, channels }: ImageSize) -> Image {
    Image { height, width, channels }
}

/// Reads the images of a folder and remarks on what was done to them.
pub(crate) fn read(folder: &Path, options: &ReadOptions, out: &Output) -> Result<Images, DataError> {
    let images = ae_data::read_images(folder, options)?;
    let count = images.rows.rows();
    let Images { others, resized, stretched, greyed, is_mixed, size, .. } = images;
    let mut remarks = Vec::new();
    if others > 0 {
        let files = if others == 1 { "file is not an image" } else { "files are not images" };
        remarks.push(format!("{others} other {files}"));
    }
    if resized > 0 {
        let (height, width) = (size.height, size.width);
        let all = format!("{resized} of {count} images are resized to {height}x{width}");
        remarks.push(match stretched {
            0 => all,
            stretched => format!("{all}, {stretched} of them from another aspect ratio"),
        });
    }
    if greyed > 0 {
        let colour = ImageSize { channels: 3, ..size };
        remarks
            .push(format!("{greyed} colour images are read as greyscale; {colour} would keep their colours"));
    }
    if is_mixed {
        remarks
            .push("there are images next to subfolders, whose names are then not used as labels".to_owned());
    }
    if !remarks.is_empty() {
        out.note(format!("{}: {}", folder.display(), remarks.join("; ")));
    }
    Ok(images)
}

/// Whether features are pixel levels from 0 to 255, as for a folder of images.
pub(crate) fn are_pixel_levels(names: Option<&[String]>) -> bool {
    let first = names.and_then(<[String]>::first);
    first.is_some_and(|name| matches!(name.as_str(), "grey_0_0" | "red_0_0"))
}

/// The values to draw lightest and darkest (in colour, darkest and lightest) on sheets of these rows.
///
/// Pixel levels keep their meaning; other values go from the smallest to the largest, like ink.
pub(crate) fn range(names: Option<&[String]>, image: Image, values: &[f32]) -> (f32, f32) {
    match (are_pixel_levels(names), image.channels) {
        (true, 3) => (0.0, WHITE),
        (true, _) => (WHITE, 0.0),
        _ => {
            let known = values.iter().copied().filter(|x| !x.is_nan());
            known.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
        }
    }
}

/// The smallest and largest value of the images that a model has learnt from, if its scaler or its loss
/// tells.
///
/// The values of reconstructions are no measure: a few of them are far outside.
pub(crate) fn range_of_training(model: &Autoencoder) -> Option<(f32, f32)> {
    let config = model.config();
    let (low, high) = match config.scaler() {
        ScalerKind::MinMax | ScalerKind::Common => {
            let (shift, scale) = (model.scaler().shift(), model.scaler().scale());
            let largest = shift.iter().zip(scale).map(|(shift, scale)| shift + scale);
            (shift.iter().copied().fold(f64::INFINITY, f64::min), largest.fold(f64::NEG_INFINITY, f64::max))
        }
        ScalerKind::None if matches!(config.loss(), Loss::Bce | Loss::SigmoidMse) => (0.0, 1.0),
        _ => return None,
    };
    (high > low).then_some((low as f32, high as f32))
}

/// A folder to write rows to, each as an image.
#[derive(Debug, PartialEq)]
pub(crate) struct ImageFolder {
    path: PathBuf,
    size: ImageSize,
    /// The values of black and white, if the model knows them.
    range: Option<(f32, f32)>,
}

impl ImageFolder {
    /// The folder that `-o` names, if it exists as one or ends with a separator, for rows of the model.
    /// `data` is where the rows come from.
    pub(crate) fn parse(
        output: Option<&Path>,
        model: &Autoencoder,
        data: Option<&str>,
    ) -> Result<Option<ImageFolder>, Failure> {
        let is_folder = |path: &Path| {
            path.is_dir() || path.to_string_lossy().chars().last().is_some_and(std::path::is_separator)
        };
        let Some(path) = output.filter(|path| is_folder(path)) else { return Ok(None) };
        let usage = |text: &str| Failure::Usage(format!("-o {}: {text}", path.display()));
        let Some(image) = model.config().image().filter(|_| model.schema().is_none()) else {
            return Err(usage(
                "this is a folder, for images, but the model does not know their size (ae train --image)",
            ));
        };
        if !matches!(image.channels, 1 | 3) {
            return Err(usage(&format!("images of {image} are neither greyscale nor RGB")));
        }
        // Without the trailing separator, so that a file of this name is found.
        let path: PathBuf = path.components().collect();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.exists() && !path.is_dir() {
            return Err(usage("this is not a folder"));
        }
        if !parent.is_dir() {
            return Err(usage(&format!("there is no folder {}", parent.display())));
        }
        let whole = |path: &Path| fs::canonicalize(path).ok();
        let place = whole(&path).or_else(|| Some(whole(parent)?.join(path.file_name()?)));
        let from = data.and_then(ae_data::folder).and_then(whole);
        if let (Some(place), Some(from)) = (&place, &from)
            && place.starts_with(from)
        {
            return Err(usage("the input images are there and must not be mixed with others"));
        }
        let probe = if path.is_dir() { path.join("image.png") } else { path.clone() };
        ae_data::check_writable(&probe)
            .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
        let pixel_levels = are_pixel_levels(model.feature_names()).then_some((0.0, WHITE));
        let range = pixel_levels.or_else(|| range_of_training(model));
        Ok(Some(ImageFolder { path, size: size(image), range }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the rows, named after the files that they come from, or numbered. The smallest value of
    /// the training images is black and the largest white; if the model does not know them, those of
    /// these rows are.
    pub(crate) fn write(&self, rows: &Dataset, out: &Output) -> Result<(), Failure> {
        let values = rows.values();
        let (low, high) = self.range.unwrap_or_else(|| range(None, image(self.size), values));
        let factor = if high > low { WHITE / (high - low) } else { 0.0 };
        for (row, name) in values.chunks_exact(rows.features()).zip(file_names(rows)) {
            let path = self.path.join(name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)
                    .map_err(|error| Failure::Other(format!("{}: {error}", folder.display())))?;
            }
            let levels: Vec<f32> = row.iter().map(|x| (x - low) * factor).collect();
            ae_data::write_image(&path, self.size, &levels)?;
        }
        out.note(format!("{} images written to {}", rows.rows(), self.path.display()));
        Ok(())
    }
}

/// The name of row ids that are file names.
const FILE_ID_NAME: &str = "file";

/// A distinct file name for the image of each row.
fn file_names(rows: &Dataset) -> Vec<String> {
    let width = rows.rows().to_string().len();
    // Row ids from a column are not paths.
    let is_path = |name: &String| {
        !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
    };
    let files =
        rows.row_ids().filter(|ids| rows.row_id_name() == Some(FILE_ID_NAME) && ids.iter().all(is_path));
    let Some(files) = files else {
        return (1..=rows.rows()).map(|number| format!("{number:0width$}.png")).collect();
    };
    let is_png = |file: &str| Path::new(file).extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
    let mut taken: HashSet<String> = files.iter().filter(|file| is_png(file)).cloned().collect();
    let mut name = |file: &String| {
        if is_png(file) {
            return file.clone();
        }
        let mut name = Path::new(file).with_extension("png").to_string_lossy().into_owned();
        if taken.contains(&name) {
            name = format!("{file}.png");
        }
        while !taken.insert(name.clone()) {
            name += ".png";
        }
        name
    };
    files.iter().map(&mut name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_names_of_their_own() {
        let named = |files: &[&str]| {
            let rows = Dataset::new(vec![0.0; files.len()], 1).unwrap();
            file_names(
                &rows
                    .with_row_ids(FILE_ID_NAME, files.iter().map(|file| (*file).to_owned()).collect())
                    .unwrap(),
            )
        };
        assert_eq!(named(&["a/1.jpg", "a/2.PNG", "b/1.jpeg"]), ["a/1.png", "a/2.PNG", "b/1.png"]);
        assert_eq!(named(&["1.jpeg", "1.jpg", "1.png"]), ["1.jpeg.png", "1.jpg.png", "1.png"]);
        assert_eq!(named(&["1.jpeg", "1.jpg"]), ["1.png", "1.jpg.png"]);
        assert_eq!(named(&["a", "../b"]), ["1.png", "2.png"]);
        let rows = Dataset::new(vec![0.0; 10], 1).unwrap();
        assert_eq!((file_names(&rows)[0].as_str(), file_names(&rows)[9].as_str()), ("01.png", "10.png"));
    }

    #[test]
    fn levels_are_told_by_their_names() {
        let image = |channels| Image { height: 1, width: 1, channels };
        let names = |channels| size(image(channels)).names();
        assert_eq!(range(Some(&names(1)), image(1), &[3.0]), (255.0, 0.0));
        assert_eq!(range(Some(&names(3)), image(3), &[3.0]), (0.0, 255.0));
        assert_eq!(range(Some(&["pixel_0_0".to_owned()]), image(1), &[3.0, f32::NAN, -1.0]), (-1.0, 3.0));
    }
}
