//! Reads folders of images in the layout of MNIST.

use std::path::{Path, PathBuf};

use ae_data::{Dataset, ReadOptions};

use crate::failure::Failure;

/// The training and test images of a dataset, with pixels from 0 to 1.
pub(super) struct Images {
    pub(super) train: Dataset,
    pub(super) test: Dataset,
}

/// The classes of the images.
pub(super) struct Classes {
    pub(super) train: Vec<u32>,
    pub(super) test: Vec<u32>,
    pub(super) count: usize,
}

impl Images {
    /// Reads `train-images…` and `t10k-images…`.
    pub(super) fn read(folder: &Path) -> Result<Images, Failure> {
        Ok(Images { train: pixels(folder, "train-images")?, test: pixels(folder, "t10k-images")? })
    }
}

impl Classes {
    /// Reads `train-labels…` and `t10k-labels…`.
    pub(super) fn read(folder: &Path) -> Result<Classes, Failure> {
        let of = |name| -> Result<Vec<u32>, Failure> {
            let labels = read(folder, name)?;
            Ok(labels.values().iter().map(|x| *x as u32).collect())
        };
        let (train, test) = (of("train-labels")?, of("t10k-labels")?);
        let count = train.iter().chain(&test).max().map_or(0, |most| *most as usize + 1);
        Ok(Classes { train, test, count })
    }
}

fn pixels(folder: &Path, name: &str) -> Result<Dataset, Failure> {
    let images = read(folder, name)?;
    let features = images.features();
    let values = images.into_values().into_iter().map(|x| x / 255.0).collect();
    Ok(Dataset::new(values, features).map_err(ae_model::Error::from)?)
}

/// Reads the IDX file whose name starts with `name`.
fn read(folder: &Path, name: &str) -> Result<Dataset, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| Failure::io(folder.display(), &error))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.file_name().and_then(|file| file.to_str()).is_some_and(|file| {
                file.starts_with(name) && (file.ends_with("ubyte") || file.ends_with("ubyte.gz"))
            })
        })
        .collect();
    paths.sort();
    let path = paths.first().ok_or_else(|| {
        Failure::Usage(format!("{}: there is no file {name}*-ubyte[.gz]", folder.display()))
    })?;
    Ok(ae_data::read(path, &ReadOptions::default()).map_err(ae_model::Error::from)?)
}
