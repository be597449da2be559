//! Selects the rows that are worth learning from when some are not.

use ae_data::{BatchSource, Subset, train_validation_split};
use ae_model::{Autoencoder, Callback, ErrorNorm, StopReason};

use crate::error::EvalError;

/// Rows split in two, each part by ascending index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrimmedRows {
    /// The rows that the model can reconstruct.
    pub kept: Vec<usize>,
    /// The rows with the largest errors.
    pub dropped: Vec<usize>,
}

/// Finds the rows that `model` does not learn to reconstruct, so that it can be trained without them.
///
/// Fits the model to all rows and drops the `fraction` of them with the largest mean squared errors.
/// Then, `steps - 1` times, fits it to the rows kept and splits all rows anew. These are the
/// concentration steps of least trimmed squares (Rousseeuw 1984; Rousseeuw & Van Driessen 2006), with an
/// autoencoder instead of the regression, as in Zhou & Paffenroth 2017, who split off from the data what
/// it cannot reconstruct. Least trimmed squares starts from many small random subsets of the rows and
/// keeps the best result; here there is one start, the fit to all rows, which many anomalies can bias.
///
/// The rows that a fit holds out for validation are split separately, because not learning from a row
/// makes its error larger. The model is left as the last fit made it; a fit that is cancelled, or
/// stopped by a callback, is the last.
///
/// The rows found are those that are hard to reconstruct. Anomalies that are easier to reconstruct than
/// the other rows, or that are many and alike, are not found; then good rows are dropped instead.
///
/// # Errors
/// [`EvalError::FractionOutOfRange`] unless `fraction` is above 0 and below 0.5,
/// [`EvalError::InvalidSetting`] for no steps, or an error from the model.
pub fn trim_outliers(
    model: &mut Autoencoder,
    data: &dyn BatchSource,
    fraction: f64,
    steps: usize,
    callbacks: &mut [&mut dyn Callback],
) -> Result<TrimmedRows, EvalError> {
    if !(fraction > 0.0 && fraction < 0.5) {
        let allowed = "above 0 and below 0.5";
        return Err(EvalError::FractionOutOfRange {
            what: "the fraction of rows to drop",
            value: fraction,
            allowed,
        });
    }
    if steps == 0 {
        return Err(EvalError::InvalidSetting { field: "the number of steps", allowed: "at least 1" });
    }
    let mut found = TrimmedRows { kept: (0..data.rows()).collect(), dropped: Vec::new() };
    for _ in 0..steps {
        let kept = Subset::new(data, found.kept.clone())?;
        let history = model.fit(&kept, callbacks)?;
        let (validation, seed) = (model.config().validation(), model.config().seed());
        let (_, held_out) = train_validation_split(&kept, validation, seed)?;
        let held_out: Vec<usize> = held_out.into_iter().map(|place| found.kept[place]).collect();
        let errors = model.reconstruction_error(data, ErrorNorm::Mean)?;
        found = trim(&errors, &held_out, fraction);
        if matches!(history.stopped, StopReason::Cancelled | StopReason::Callback(_)) {
            break;
        }
    }
    Ok(found)
}

/// Drops the `fraction` with the largest errors, rounded down, of the rows `held_out` (ascending), and
/// of the other rows.
fn trim(errors: &[f64], held_out: &[usize], fraction: f64) -> TrimmedRows {
    let (mut kept, mut dropped) = (Vec::with_capacity(errors.len()), Vec::new());
    let (of_validation, of_training): (Vec<usize>, Vec<usize>) =
        (0..errors.len()).partition(|row| held_out.binary_search(row).is_ok());
    for mut part in [of_training, of_validation] {
        // Of equal errors, that of the first row counts as smaller.
        part.sort_by(|a, b| errors[*a].total_cmp(&errors[*b]).then(a.cmp(b)));
        let kept_count = part.len() - (fraction * part.len() as f64) as usize;
        dropped.extend(part.drain(kept_count..));
        kept.append(&mut part);
    }
    kept.sort_unstable();
    dropped.sort_unstable();
    TrimmedRows { kept, dropped }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ae_data::Rows;
    use ae_model::{Config, Optimizer};

    use super::*;

    fn config() -> ae_model::ConfigBuilder {
        Config::builder(6).hidden_dims([8]).encoding_dim(2).optimizer(Optimizer::ADAM).learning_rate(0.01)
    }

    #[test]
    fn each_part_loses_that_fraction() {
        let errors = [5.0, 1.0, 9.0, 2.0, 2.0, 7.0, 3.0, 8.0];
        let found = trim(&errors, &[2, 5], 0.5);
        // 9 of those held out, and 8, 5 and 3 of the others.
        assert_eq!((found.kept, found.dropped), (vec![1, 3, 4, 5], vec![0, 2, 6, 7]));
        let found = trim(&errors, &[], 0.2);
        assert_eq!(found.dropped, [2]);
        // Ties, and NaN.
        assert_eq!(trim(&[1.0; 4], &[], 0.25).dropped, [3]);
        assert_eq!(trim(&[f64::NAN, 1.0], &[], 0.5).dropped, [0]);
    }

    /// A curve, and rows unrelated to it.
    #[test]
    fn planted_rows_are_found() {
        let mut random = ae_testing::random::SplitMix64::new(3);
        let is_odd = |row: usize| row % 10 == 3;
        let values: Vec<f32> = (0..400usize)
            .flat_map(|row| {
                let odd = random.uniform_f32s(6, -1.0, 1.0);
                (0..6).map(move |j| match is_odd(row) {
                    true => odd[j],
                    false => (row as f32 * 0.05 + j as f32 * 0.7).sin(),
                })
            })
            .collect();
        let rows = Rows::new(&values, 6).unwrap();
        let mut model = Autoencoder::new(config().epochs(60).validation(0.2).build().unwrap()).unwrap();
        let found = trim_outliers(&mut model, &rows, 0.1, 2, &mut []).unwrap();
        let right = found.dropped.iter().filter(|row| is_odd(**row)).count();
        // The number is rounded down both of the rows held out and of the others.
        assert_eq!((found.dropped.len(), found.kept.len()), (39, 361));
        // Some of the planted rows are near the curve by chance; a random choice would find four.
        assert!(right >= 28, "{right} of 39: {:?}", found.dropped);
        let again = trim_outliers(&mut model, &rows, 0.1, 2, &mut []).unwrap();
        assert_eq!(again, found);
    }

    fn numbers(count: usize) -> Vec<f32> {
        ae_testing::random::SplitMix64::new(4).normal_f32s(count * 6)
    }

    #[test]
    fn a_fit_that_is_stopped_is_the_last() {
        let values = numbers(40);
        let rows = Rows::new(&values, 6).unwrap();
        let fits = |stop_at: usize| {
            let mut model = Autoencoder::new(config().epochs(2).build().unwrap()).unwrap();
            let mut fits = 0;
            let mut watch = ae_model::on_epoch(|record, _| {
                fits += usize::from(record.epoch == 1);
                if fits == stop_at {
                    ControlFlow::Break("enough".to_owned())
                } else {
                    ControlFlow::Continue(())
                }
            });
            let found = trim_outliers(&mut model, &rows, 0.2, 3, &mut [&mut watch]).unwrap();
            // Rows are split all the same.
            assert_eq!((found.kept.len(), found.dropped.len()), (32, 8));
            fits
        };
        assert_eq!((fits(1), fits(2), fits(usize::MAX)), (1, 2, 3));
    }

    /// Later fits would do nothing, but would hold out other rows, which had been learnt from.
    #[test]
    fn a_fit_that_is_cancelled_is_the_last() {
        let values = numbers(100);
        let after = |steps: usize| {
            let config = config().epochs(5).validation(0.4).seed(5).build().unwrap();
            let mut model = Autoencoder::new(config).unwrap();
            let token = ae_model::CancelToken::new();
            model.set_cancel_token(token.clone());
            let mut watch = ae_model::on_epoch(|record, _| {
                if record.epoch == 2 {
                    token.cancel();
                }
                ControlFlow::Continue(())
            });
            let rows = Rows::new(&values, 6).unwrap();
            trim_outliers(&mut model, &rows, 0.3, steps, &mut [&mut watch]).unwrap()
        };
        assert_eq!(after(3), after(1));
    }

    /// This holds for the second fit too, which holds out some of the rows that the first one kept.
    #[test]
    fn rows_held_out_lose_that_fraction() {
        let values = numbers(100);
        let rows = Rows::new(&values, 6).unwrap();
        let after = |steps: usize| {
            let config = config().epochs(3).validation(0.4).seed(5).build().unwrap();
            trim_outliers(&mut Autoencoder::new(config).unwrap(), &rows, 0.3, steps, &mut []).unwrap()
        };
        let (first, second) = (after(1), after(2));
        let kept = Subset::new(&rows, first.kept.clone()).unwrap();
        let (_, places) = train_validation_split(&kept, 0.4, 5).unwrap();
        let held_out: Vec<usize> = places.iter().map(|place| first.kept[*place]).collect();
        assert!(held_out != places && held_out.len() == 28, "{held_out:?}");
        let of_held_out = second.dropped.iter().filter(|row| held_out.contains(row)).count();
        // 0.3 of 28, and of the other 72.
        assert_eq!((of_held_out, second.dropped.len() - of_held_out), (8, 21));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let rows = Rows::new(&[0.5; 60], 6).unwrap();
        let mut model = Autoencoder::new(config().build().unwrap()).unwrap();
        for fraction in [0.0, -0.1, 0.5, f64::NAN] {
            let found = trim_outliers(&mut model, &rows, fraction, 1, &mut []);
            assert!(matches!(found, Err(EvalError::FractionOutOfRange { .. })), "{fraction}");
        }
        assert!(matches!(
            trim_outliers(&mut model, &rows, 0.1, 0, &mut []),
            Err(EvalError::InvalidSetting { .. })
        ));
        let narrow = Rows::new(&[0.5; 60], 5).unwrap();
        assert!(trim_outliers(&mut model, &narrow, 0.1, 1, &mut []).is_err());
    }
}
