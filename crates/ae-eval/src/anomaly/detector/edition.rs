//! Editions: how the scores of a detector have changed since the first format of its files.

use ae_model::Autoencoder;

use super::super::columns::Columns;
use super::super::score::Score;

/// What scores are made of: a detector from a file goes on as it was calibrated. The order is that of the
/// formats of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Edition {
    /// Features of categories are numbers like all others, all of them 0 for an unknown category, and
    /// errors are those of imputed rows.
    Features,
    /// Columns count, as in [`Coordinates`] and [`row_errors`](super::row_errors).
    Columns,
    /// The same, and [`Score::Ensemble`] has residuals too, if the rows have categories.
    Residuals,
    /// The same, and the standardised error counts a missing cell as much as the mean of the known ones;
    /// it and contributions are relative to the errors of known cells, where before imputed ones counted.
    Known,
}

/// The most features of a table with categories for which the ensemble has residuals: the time for their
/// second moments grows with the square of the number, and that of factors with its cube.
const MAX_FEATURES_WITH_RESIDUALS: usize = 1024;

impl Edition {
    /// The edition of new detectors: the first that gives the same scores and contributions.
    pub(super) fn of(score: Score, model: &Autoencoder) -> Edition {
        if model.config().mask_missing() {
            Edition::Known
        } else if score == Score::Ensemble && has_few_categories(model) {
            Edition::Residuals
        } else if has_categories(model) {
            Edition::Columns
        } else {
            Edition::Features
        }
    }

    /// Whether the ensemble of this edition has residuals.
    pub(super) fn has_residuals(self, model: &Autoencoder) -> bool {
        self >= Edition::Residuals && has_few_categories(model)
    }
}

fn has_categories(model: &Autoencoder) -> bool {
    let columns = Columns::new(model.schema(), model.config().input_dim());
    columns.categorical().next().is_some()
}

fn has_few_categories(model: &Autoencoder) -> bool {
    has_categories(model) && model.config().input_dim() <= MAX_FEATURES_WITH_RESIDUALS
}
