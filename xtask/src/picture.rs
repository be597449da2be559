//! The picture in the README: scanned digits, and how much of them a small encoding keeps.

use ae_data::{Dataset, digits, validation_split, write_atomically};
use ae_eval::{Pca, Sheet, SheetStyle};
use ae_model::{Activation, Autoencoder, Config, EarlyStopping, Image, Optimizer, ScalerKind};
use clap::Args;

use crate::ci::workspace_root;
use crate::failure::Failure;

/// Scans of 8 x 8 pixels with values from 0 to 16.
const SCAN: Image = Image { height: 8, width: 8, channels: 1 };
const STYLE: SheetStyle = SheetStyle { image: SCAN, zoom: 8, gap: 8, range: (0.0, 16.0) };

/// Draws docs/digits.png
#[derive(Args, Debug)]
pub(crate) struct Picture {}

impl Picture {
    /// Trains like the first command in the README and draws the first validation row of each digit: the
    /// original, the reconstruction by the model, and the reconstruction by as many principal
    /// components.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let data = digits().map_err(|error| Failure::Wrong(error.to_string()))?;
        let config = Config::builder(data.features())
            .hidden_dims([128, 48])
            .encoding_dim(8)
            .activation(Activation::Silu)
            .optimizer(Optimizer::ADAM)
            .learning_rate(0.003)
            .scaler(ScalerKind::Common)
            .epochs(200)
            .validation(0.1)
            .early_stopping(EarlyStopping::after(20))
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
        let sheet = Sheet::draw(&[shown.values(), rebuilt.values(), pca.values()], STYLE)
            .map_err(|error| Failure::Wrong(error.to_string()))?;
        write_atomically(&path, |file| sheet.write_png(file))
            .map_err(|error| Failure::io(path.display(), &error))?;
        println!("{}", path.display());
        Ok(())
    }
}

fn select(data: &Dataset, rows: &[usize]) -> Result<Dataset, Failure> {
    data.select_rows(rows).map_err(|error| Failure::Wrong(error.to_string()))
}

/// Returns the first of `rows` with each label, in label order.
fn one_of_each(data: &Dataset, rows: &[usize]) -> Vec<usize> {
    let Some(labels) = data.labels() else { return Vec::new() };
    (0..labels.names().len() as u32)
        .filter_map(|code| rows.iter().copied().find(|row| labels.codes().get(*row) == Some(&code)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_of_each_label() {
        let data = digits().unwrap();
        let rows: Vec<usize> = (0..100).collect();
        assert_eq!(one_of_each(&data, &rows), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(one_of_each(&data, &rows[3..5]), [3, 4]);
    }
}
