//! The picture of the README: scanned digits, and what a small encoding keeps of them.

use ae_data::{Dataset, digits, validation_split, write_atomically};
use ae_eval::Pca;
use ae_model::{Autoencoder, Config, EarlyStopping};
use clap::Args;

use crate::ci::workspace_root;
use crate::failure::Failure;

/// Pixels of a scan, each way.
const SIDE: usize = 8;
/// Pixels of the picture for a pixel of a scan.
const ZOOM: usize = 8;
/// Pixels between two scans, and around them all.
const GAP: usize = 8;
const BACKGROUND: u8 = 255;

/// Draws docs/digits.png
#[derive(Args, Debug)]
pub(crate) struct Picture {}

impl Picture {
    /// Trains as the README's first command does and draws the first validation row of each digit: as it is, rebuilt by
    /// the model, rebuilt by principal components of the same number.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let data = digits().map_err(|error| Failure::Wrong(error.to_string()))?;
        let config = Config::builder(data.features())
            .hidden_dims([128, 48])
            .encoding_dim(8)
            .learning_rate(0.03)
            .epochs(400)
            .validation(0.1)
            .early_stopping(EarlyStopping::after(40))
            .build()?;
        let mut model = Autoencoder::new(config)?;
        model.fit(&data, &mut [])?;

        let split = validation_split(data.rows(), model.config().validation(), model.config().seed());
        let (train, validation) = split.map_err(|error| Failure::Wrong(error.to_string()))?;
        let shown = select(&data, &one_of_each(&data, &validation))?;
        let pca = Pca::fit(&select(&data, &train)?, model.config().encoding_dim())
            .and_then(|pca| pca.reconstruct(&shown))
            .map_err(|error| Failure::Wrong(error.to_string()))?;
        let rebuilt = model.reconstruct(&shown)?;

        let path = workspace_root().join("docs/digits.png");
        let picture = sheet(&[shown.values(), rebuilt.values(), &pca], shown.rows());
        write_atomically(&path, |file| {
            let mut encoder = png::Encoder::new(file, picture.width as u32, picture.height as u32);
            encoder.set_color(png::ColorType::Grayscale);
            encoder.set_depth(png::BitDepth::Eight);
            let mut writer = encoder.write_header().map_err(std::io::Error::other)?;
            writer.write_image_data(&picture.pixels).map_err(std::io::Error::other)?;
            writer.finish().map_err(std::io::Error::other)
        })
        .map_err(|error| Failure::io(path.display(), &error))?;
        println!("{}", path.display());
        Ok(())
    }
}

fn select(data: &Dataset, rows: &[usize]) -> Result<Dataset, Failure> {
    data.select_rows(rows).map_err(|error| Failure::Wrong(error.to_string()))
}

/// The first of `rows` with each label, in the order of the labels.
fn one_of_each(data: &Dataset, rows: &[usize]) -> Vec<usize> {
    let Some(labels) = data.labels() else { return Vec::new() };
    (0..labels.names().len() as u32)
        .filter_map(|code| rows.iter().copied().find(|row| labels.codes().get(*row) == Some(&code)))
        .collect()
}

struct Pixels {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// A line of scans for each of `lines`, dark on light; a scan's values go from 0 to 16.
fn sheet(lines: &[&[f32]], scans: usize) -> Pixels {
    let pitch = SIDE * ZOOM + GAP;
    let (width, height) = (scans * pitch + GAP, lines.len() * pitch + GAP);
    let mut pixels = vec![BACKGROUND; width * height];
    for (line, values) in lines.iter().enumerate() {
        for (scan, values) in values.chunks_exact(SIDE * SIDE).enumerate() {
            for y in 0..SIDE * ZOOM {
                for x in 0..SIDE * ZOOM {
                    let ink = values[y / ZOOM * SIDE + x / ZOOM].clamp(0.0, 16.0) / 16.0;
                    let at = (GAP + line * pitch + y) * width + GAP + scan * pitch + x;
                    pixels[at] = (235.0 * (1.0 - ink)) as u8;
                }
            }
        }
    }
    Pixels { width, height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_stand_where_they_belong() {
        let (mut empty, full) = ([0.0; 64], [16.0; 64]);
        empty[8 + 1] = 20.0;
        let picture = sheet(&[&empty, &full], 1);
        assert_eq!((picture.width, picture.height), (80, 152));
        let at = |x: usize, y: usize| picture.pixels[y * picture.width + x];
        assert_eq!(at(0, 0), BACKGROUND);
        assert_eq!(at(8, 8), 235);
        assert_eq!(at(16, 16), 0);
        assert_eq!(at(24, 16), 235);
        assert_eq!(at(8, 80), 0);
        assert_eq!(at(71, 143), 0);
        assert_eq!(at(72, 143), BACKGROUND);
    }

    #[test]
    fn one_row_of_each_label() {
        let data = digits().unwrap();
        let rows: Vec<usize> = (0..100).collect();
        assert_eq!(one_of_each(&data, &rows), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(one_of_each(&data, &rows[3..5]), [3, 4]);
    }
}
