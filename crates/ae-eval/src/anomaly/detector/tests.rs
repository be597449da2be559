use ae_data::Rows;
use ae_testing::random::SplitMix64;

use super::*;
use crate::IMPUTATION_ROUNDS;
use crate::ranking::roc_auc;

const FEATURES: usize = 6;

/// Rows near a plane in six dimensions: two coordinates and four linear combinations of them.
fn normal(count: usize, seed: u64) -> Vec<f32> {
    let numbers = SplitMix64::new(seed).normal_f32s(count * (2 + FEATURES));
    let mut values = Vec::with_capacity(count * FEATURES);
    for row in numbers.chunks_exact(2 + FEATURES) {
        let (a, b) = (row[0], row[1]);
        let clean = [a, b, a + b, a - b, 2.0 * a - b, 0.5 * b];
        values.extend(clean.iter().zip(&row[2..]).map(|(x, noise)| 10.0 + x + 0.05 * noise));
    }
    values
}

/// Rows of the same kind, each with one feature, cycling through them, shifted by `by`.
fn odd(count: usize, by: f32) -> Vec<f32> {
    let mut values = normal(count, 77);
    values.chunks_exact_mut(FEATURES).enumerate().for_each(|(row, values)| values[row % FEATURES] += by);
    values
}

fn settings(score: Score) -> Settings {
    Settings { score, updates: 400, ..Settings::default() }
}

fn table(values: &[f32]) -> Rows<'_> {
    Rows::new(values, FEATURES).unwrap()
}

#[test]
fn every_score_tells_rows_beside_the_plane() {
    let (training, fine, odd) = (normal(600, 1), normal(60, 2), odd(60, 2.0));
    let labels = [vec![false; 60], vec![true; 60]].concat();
    for score in Score::ALL {
        let detector = Detector::fit(&settings(score), &table(&training)).unwrap();
        let scores = detector.scores(&table(&[fine.clone(), odd.clone()].concat())).unwrap();
        let area = roc_auc(&labels, &scores).unwrap();
        assert!(area > 0.95, "{}: {area}", score.name());
        assert_eq!(detector.training_scores().len(), 600);
        let own = detector.scores_excluding_self(&table(&training)).unwrap();
        assert_eq!(own, detector.training_scores(), "{}", score.name());
        // What is typical in training is typical of rows of the same kind.
        let middle = |scores: &[f64]| typical(scores);
        let ratio = middle(&scores[..60]) / middle(detector.training_scores());
        assert!((0.6..1.6).contains(&ratio), "{}: {ratio}", score.name());
    }
}

#[test]
fn the_feature_that_was_moved_is_blamed() {
    let (training, odd) = (normal(600, 1), odd(60, 3.0));
    let detector = Detector::fit(&settings(Score::Ensemble), &table(&training)).unwrap();
    let contributions = detector.contributions(&table(&odd)).unwrap();
    let right = (0..60).filter(|row| {
        let row_contributions = contributions.row(*row).unwrap();
        row_contributions.iter().all(|contribution| *contribution <= row_contributions[row % FEATURES])
    });
    let right = right.count();
    assert!(right >= 45, "{right} of 60");
}

/// They depend neither on the number of threads nor on the other rows.
#[test]
fn scores_depend_on_the_row_alone() {
    let (training, rows) = (normal(700, 3), [normal(300, 4), odd(40, 1.0)].concat());
    let of = |threads| {
        let settings = Settings { threads: Some(threads), ..settings(Score::Ensemble) };
        Detector::fit(&settings, &table(&training)).unwrap()
    };
    let (one, three) = (of(1), of(3));
    let scores = one.scores(&table(&rows)).unwrap();
    assert_eq!(scores, three.scores(&table(&rows)).unwrap());
    assert_eq!(one.training_scores(), three.training_scores());
    for row in [0, 150, 339] {
        let alone = three.scores(&table(&rows[row * FEATURES..][..FEATURES])).unwrap();
        assert_eq!(alone, scores[row..=row]);
    }
}

/// Constant features, identical rows, few rows, values near the limits of `f32`.
#[test]
fn awkward_rows_have_scores() {
    let mut constant = normal(100, 5);
    constant.chunks_exact_mut(FEATURES).for_each(|row| row[2] = 7.0);
    let far = [1e30, 0.0, 7.0, -3e38, 3e38, 0.0];
    for training in [constant, vec![4.0; 20 * FEATURES], normal(2, 6)] {
        for score in Score::ALL {
            let detector = Detector::fit(&settings(score), &table(&training)).unwrap();
            let scores = detector.scores(&table(&[&training[..FEATURES], &far[..]].concat())).unwrap();
            assert!(scores.iter().all(|score| !score.is_nan()), "{}: {scores:?}", score.name());
            assert!(scores[1] > scores[0], "{}: {scores:?}", score.name());
        }
    }
}

#[test]
fn a_model_that_is_there_already() {
    let training = normal(400, 8);
    let config = Config::builder(FEATURES)
        .optimizer(Optimizer::Sgd)
        .encoding_dim(2)
        .epochs(30)
        .learning_rate(0.05)
        .build()
        .unwrap();
    let train = || {
        let mut model = Autoencoder::new(config.clone()).unwrap();
        model.fit(&table(&training), &mut []).unwrap();
        model
    };
    let detector = Detector::with_model(&settings(Score::Error), train(), &table(&training)).unwrap();
    let errors = train().reconstruction_error(&table(&training), ae_model::ErrorNorm::Sum).unwrap();
    assert_eq!(detector.scores(&table(&training)).unwrap(), errors);
    let refused = Detector::with_model(&settings(Score::Denoising), train(), &table(&training));
    assert!(matches!(refused, Err(EvalError::InvalidSetting { field: "the score", .. })));
}

/// The contribution of a group is the mean of those of its features, weighted by their variances in
/// training.
#[test]
fn contributions_of_groups() {
    let training = normal(200, 1);
    let detector = Detector::fit(&settings(Score::StandardisedError), &table(&training)).unwrap();
    let odd = odd(12, 2.0);
    let each = detector.contributions(&table(&odd)).unwrap();
    let groups = detector.contributions_by(&table(&odd), &[0, 1, 1, 1, 2, 2]).unwrap();
    assert_eq!((groups.rows(), groups.features()), (12, 3));
    for row in 0..12 {
        let (each, groups) = (each.row(row).unwrap(), groups.row(row).unwrap());
        assert_eq!(each[0], groups[0]);
        let within = |features: &[f32]| {
            let (low, high) =
                features.iter().fold((f32::MAX, 0.0f32), |(low, high), x| (low.min(*x), high.max(*x)));
            low * 0.999..=high * 1.001
        };
        assert!(within(&each[1..4]).contains(&groups[1]) && within(&each[4..]).contains(&groups[2]));
    }
    // A number that no feature has is a group that contributes 0.
    let gap = detector.contributions_by(&table(&odd), &[0, 3, 3, 3, 2, 2]).unwrap();
    for row in 0..12 {
        let (gap, groups) = (gap.row(row).unwrap(), groups.row(row).unwrap());
        assert_eq!(gap, [groups[0], 0.0, groups[2], groups[1]]);
    }
    let said = detector.contributions_by(&table(&odd), &[0, 1]).unwrap_err().to_string();
    assert_eq!(said, "expected 6 groups of features, got 2");
}

/// The matrix of their second moments would take 28.8 GB.
#[test]
fn too_many_features_for_the_mahalanobis_distance_are_refused() {
    const WIDE: usize = 60_000;
    let values: Vec<f32> = (0..2 * WIDE).map(|i| (i % 7) as f32).collect();
    let rows = Rows::new(&values, WIDE).unwrap();
    let settings = settings(Score::Mahalanobis);
    let config = Config::builder(WIDE).hidden_dims([]).encoding_dim(1).build().unwrap();
    let model = Autoencoder::new(config).unwrap();
    for refused in [Detector::fit(&settings, &rows), Detector::with_model(&settings, model, &rows)] {
        let said = refused.unwrap_err().to_string();
        let expected = "60000 features are too many for a matrix of all pairs of them: the maximum is 16384";
        assert_eq!(said, expected);
    }
}

#[test]
fn refusals() {
    let training = normal(50, 9);
    let refused = |settings: &Settings| Detector::fit(settings, &table(&training)).unwrap_err().to_string();
    for (settings, says) in [
        (Settings { neighbours: 0, ..Settings::default() }, "neighbours must be at least 1"),
        (Settings { reference_rows: 1, ..Settings::default() }, "reference_rows must be at least 2"),
        (Settings { updates: 0, ..Settings::default() }, "updates must be at least 1"),
        (Settings { threads: Some(0), ..Settings::default() }, "threads must be at least 1"),
        (Settings { noise: vec![], ..settings(Score::Denoising) }, "noise must be one or more levels"),
    ] {
        assert_eq!(refused(&settings), says);
    }
    let few = Detector::fit(&Settings::default(), &table(&training[..FEATURES]));
    assert!(matches!(few, Err(EvalError::TooFewRows { rows: 1, min: 2 })));
    let detector = Detector::fit(&settings(Score::InputNeighbours), &table(&training)).unwrap();
    let wide = detector.scores(&Rows::new(&[0.0; 7], 7).unwrap()).unwrap_err().to_string();
    assert!(wide.contains('7'), "{wide}");
    let nan = detector.scores(&table(&[0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0])).unwrap_err();
    assert!(matches!(nan, EvalError::Model(ae_model::Error::NotFinite { row: 0, column: 2, .. })), "{nan}");
}

/// Every seventh value is missing.
fn with_gaps(mut values: Vec<f32>) -> Vec<f32> {
    values.iter_mut().skip(3).step_by(7).for_each(|x| *x = f32::NAN);
    values
}

fn masking(training: &[f32]) -> Autoencoder {
    let config = Config::builder(FEATURES).encoding_dim(2).epochs(30).mask_missing(true).build().unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    model.fit(&table(training), &mut []).unwrap();
    model
}

/// Distances and correlated residuals are those of imputed rows: of reference rows, of rows of several
/// blocks, and of detectors from files.
#[test]
fn distances_of_rows_with_gaps_are_those_of_imputed_rows() {
    let (training, rows) = (with_gaps(normal(300, 1)), with_gaps(normal(BLOCK + 50, 2)));
    for score in [Score::Ensemble, Score::Mahalanobis, Score::InputNeighbours, Score::LatentNeighbours] {
        let settings = Settings { reference_rows: 300, ..settings(score) };
        let model = masking(&training);
        let imputed = [&training, &rows].map(|rows| model.impute(&table(rows), IMPUTATION_ROUNDS).unwrap());
        let of_imputed = Detector::with_model(&settings, masking(&training), &imputed[0]).unwrap();
        let detector = Detector::with_model(&settings, model, &table(&training)).unwrap();
        assert_eq!(detector.reference(), of_imputed.reference());
        assert_eq!(detector.training_scores(), of_imputed.training_scores());
        let expected = of_imputed.scores(&imputed[1]).unwrap();
        assert_eq!(detector.scores(&table(&rows)).unwrap(), expected, "{}", score.name());
        let loaded = Detector::from_bytes(&detector.to_bytes().unwrap()).unwrap();
        assert_eq!(loaded.scores(&table(&rows)).unwrap(), expected);
        assert_eq!(detector.count_in_reference(&table(&training)).unwrap(), 300);
        assert_eq!(detector.count_in_reference(&table(&rows)).unwrap(), 0);
    }
}

/// Where the reference is complete, the default score does not flag normal rows for the cells that they
/// lack, unless only one is known.
#[test]
fn rows_are_not_flagged_for_missing_cells() {
    let model = masking(&with_gaps(normal(600, 3)));
    let detector = Detector::with_model(&settings(Score::Ensemble), model, &table(&normal(600, 1))).unwrap();
    for missing in 0..FEATURES - 1 {
        let mut rows = normal(400, 2);
        for (i, row) in rows.chunks_exact_mut(FEATURES).enumerate() {
            (0..missing).for_each(|j| row[(i + j) % FEATURES] = f32::NAN);
        }
        let scores = detector.scores(&table(&rows)).unwrap();
        let flagged = scores.iter().filter(|score| **score >= detector.threshold()).count();
        assert!(flagged <= 400 / 20, "{missing} missing: {flagged} of 400");
    }
}

/// Contributions average 1 over the known cells of a column, however many are missing; a missing value
/// contributes nothing that could be blamed.
#[test]
fn columns_with_gaps_are_not_blamed_more_often() {
    let mut training = with_gaps(normal(300, 1));
    training.chunks_exact_mut(FEATURES).skip(1).step_by(5).for_each(|row| row[0] = f32::NAN);
    training.chunks_exact_mut(FEATURES).skip(2).step_by(5).for_each(|row| row[0] = f32::NAN);
    let settings = Settings { reference_rows: 300, ..settings(Score::StandardisedError) };
    let detector = Detector::with_model(&settings, masking(&training), &table(&training)).unwrap();
    let contributions = detector.contributions(&table(&training)).unwrap();
    for feature in 0..FEATURES {
        let of_feature = contributions.values().iter().zip(&training).skip(feature).step_by(FEATURES);
        assert!(of_feature.clone().all(|(found, x)| found.is_nan() == x.is_nan()));
        let known: Vec<f64> =
            of_feature.map(|(found, _)| f64::from(*found)).filter(|found| !found.is_nan()).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        assert!((0.8..1.0).contains(&mean), "{feature}: {mean}");
    }
    // The score is their sum, for all columns.
    let scores = detector.scores(&table(&training)).unwrap();
    for ((score, row), of_row) in
        scores.iter().zip(training.chunks_exact(FEATURES)).zip(contributions.iter_rows())
    {
        let known: Vec<f64> =
            of_row.iter().filter(|found| !found.is_nan()).map(|found| f64::from(*found)).collect();
        let expected = known.iter().sum::<f64>() * FEATURES as f64 / known.len() as f64;
        assert!((score - expected).abs() < 1e-5 * expected, "{score} {expected} {row:?}");
    }
    let blamed = detector.blame(&table(&training), FEATURES).unwrap();
    for (blamed, row) in blamed.iter().zip(training.chunks_exact(FEATURES)) {
        let known = row.iter().filter(|x| !x.is_nan()).count();
        assert!(blamed[..known].iter().all(|blame| !row[blame.column].is_nan()), "{blamed:?} {row:?}");
    }
}

/// In any block of rows.
#[test]
fn rows_of_the_reference_are_known_to_the_bit() {
    let training = normal(100, 1);
    let detector = Detector::fit(&settings(Score::InputNeighbours), &table(&training)).unwrap();
    let mut rows = training.repeat(50);
    assert!(rows.len() / FEATURES > BLOCK);
    assert_eq!(detector.count_in_reference(&table(&rows)).unwrap(), 5000);
    for (row, values) in rows.chunks_exact_mut(FEATURES).enumerate().take(4980) {
        values[row % FEATURES] = values[row % FEATURES].next_up();
    }
    assert_eq!(detector.count_in_reference(&table(&rows)).unwrap(), 20);
    assert_eq!(detector.count_in_reference(&table(&rows[4970 * FEATURES..])).unwrap(), 20);
    rows.rotate_right(20 * FEATURES);
    assert_eq!(detector.count_in_reference(&table(&rows)).unwrap(), 20);
}

/// The error is that of the known values, whether rows are scored or calibrate the detector.
#[test]
fn errors_of_rows_with_gaps_are_row_errors() {
    let (training, rows) = (with_gaps(normal(100, 1)), with_gaps(normal(20, 2)));
    let detector =
        Detector::with_model(&settings(Score::Error), masking(&training), &table(&training)).unwrap();
    let expected = |rows: &[f32]| crate::anomaly::row_errors(detector.model(), &table(rows)).unwrap();
    assert_eq!(detector.scores(&table(&rows)).unwrap(), expected(&rows));
    let mut training_scores = [detector.training_scores().to_vec(), expected(&training)];
    training_scores.iter_mut().for_each(|scores| scores.sort_by(f64::total_cmp));
    assert_eq!(training_scores[0], training_scores[1]);
    let loaded = Detector::from_bytes(&detector.to_bytes().unwrap()).unwrap();
    assert_eq!(loaded.scores(&table(&rows)).unwrap(), expected(&rows));
}

/// Whatever cannot be filled in is refused with its place in the rows given, not among those drawn.
#[test]
fn values_that_cannot_be_filled_in_are_named() {
    let place = |error: EvalError| match error {
        EvalError::Model(ae_model::Error::NotFinite { row, column, .. }) => (row, column),
        error => panic!("{error}"),
    };
    let mut training = with_gaps(normal(300, 1));
    training[290 * FEATURES + 4] = f32::INFINITY;
    let settings = Settings { reference_rows: 299, ..settings(Score::Error) };
    let refused = Detector::with_model(&settings, masking(&normal(300, 1)), &table(&training)).unwrap_err();
    assert_eq!(place(refused), (290, 4));
    // Models that do not mask refuse missing values too.
    training[290 * FEATURES + 4] = 10.0;
    training[..290 * FEATURES].copy_from_slice(&normal(290, 1));
    training[290 * FEATURES + 2] = f32::NAN;
    assert_eq!(place(Detector::fit(&settings, &table(&training)).unwrap_err()), (290, 2));
    let mut plain = Autoencoder::new(Config::builder(FEATURES).build().unwrap()).unwrap();
    plain.fit(&table(&normal(300, 1)), &mut []).unwrap();
    let names = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec();
    let named = Dataset::new(training, FEATURES).unwrap().with_names(names).unwrap();
    let refused = Detector::with_model(&settings, plain, &named).unwrap_err();
    assert_eq!(refused.to_string(), "row 291, column 'c': NaN is not a finite number");
}
