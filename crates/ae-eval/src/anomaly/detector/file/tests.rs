use ae_model::{Config, Error};
use ae_testing::random::SplitMix64;

use super::*;
use crate::anomaly::Settings;

const FEATURES: usize = 5;

fn rows(count: usize, seed: u64) -> Dataset {
    let values = SplitMix64::new(seed).normal_f32s(count * FEATURES);
    let names = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    Dataset::new(values, FEATURES).unwrap().with_names(names).unwrap()
}

fn detector(score: Score) -> Detector {
    let settings = Settings { score, updates: 20, reference_rows: 50, ..Settings::default() };
    Detector::fit(&settings, &rows(80, 1)).unwrap()
}

/// The error for these bytes.
fn refused(bytes: &[u8]) -> FileErrorKind {
    match Detector::from_bytes(bytes) {
        Err(EvalError::Model(Error::Bytes(kind))) => kind,
        other => panic!("{other:?}"),
    }
}

/// The file with a tensor replaced or removed, and optionally another detector entry in its header.
fn altered(
    bytes: &[u8],
    name: &str,
    with: Option<(Dtype, Vec<usize>, Vec<u8>)>,
    text: Option<&str>,
) -> Vec<u8> {
    let (mut texts, file) = opened(bytes).unwrap();
    if let Some(text) = text {
        texts.insert(KEY.to_owned(), text.to_owned());
    }
    let mut views: Vec<_> = file.tensors().into_iter().filter(|(other, _)| other != name).collect();
    if let Some((dtype, shape, data)) = &with {
        views.push((name.to_owned(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    }
    safetensors::serialize(views, Some(texts)).unwrap()
}

#[test]
fn a_loaded_detector_gives_the_same_bits() {
    let (new, unseen) = (rows(30, 2), rows(40, 3));
    for score in Score::ALL {
        let mut first = detector(score);
        first.set_calibration(Calibration::new(first.scores(&unseen).unwrap()).unwrap());
        first.set_threshold(first.calibration().percentile(95.0).unwrap()).unwrap();
        let loaded = Detector::from_bytes(&first.to_bytes().unwrap()).unwrap();
        let name = score.name();
        assert_eq!(loaded.score(), score);
        assert_eq!(loaded.scores(&new).unwrap(), first.scores(&new).unwrap(), "{name}");
        let own = |detector: &Detector| detector.scores_excluding_self(detector.reference()).unwrap();
        assert_eq!(own(&loaded), own(&first), "{name}");
        assert_eq!(loaded.training_scores(), first.training_scores(), "{name}");
        assert_eq!(loaded.calibration(), first.calibration(), "{name}");
        assert_eq!(loaded.threshold(), first.threshold(), "{name}");
        assert_eq!(loaded.contributions(&new).unwrap(), first.contributions(&new).unwrap(), "{name}");
        assert_eq!(loaded.to_bytes().unwrap(), first.to_bytes().unwrap(), "{name}");
    }
}

#[test]
fn a_file_on_disk_is_a_model_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.safetensors");
    let first = detector(Score::Ensemble);
    first.save(&path).unwrap();
    let loaded = Detector::load(&path).unwrap();
    assert_eq!(loaded.reference().names(), first.reference().names());
    let model = Autoencoder::load(&path).unwrap();
    assert_eq!(model.encode(&rows(9, 4)).unwrap(), first.model().encode(&rows(9, 4)).unwrap());
    // A model is not a detector.
    model.save(&path).unwrap();
    let error = Detector::load(&path).unwrap_err();
    assert!(
        matches!(&error, EvalError::Model(Error::File { kind: FileErrorKind::NotADetector, .. })),
        "{error}"
    );
    assert!(error.to_string().contains("detector.safetensors"), "{error}");
    let none = Detector::load(folder.path().join("none")).unwrap_err();
    assert!(matches!(none, EvalError::Model(Error::File { kind: FileErrorKind::Io(_), .. })), "{none}");
}

#[test]
fn altered_files_are_refused_with_a_reason() {
    let bytes = detector(Score::Ensemble).to_bytes().unwrap();
    let f64s = |values: &[f64]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let number = |name: &str, values: &[f64]| {
        let name = format!("detector.{name}");
        altered(&bytes, &name, Some((Dtype::F64, vec![values.len()], f64s(values))), None)
    };
    for name in ["reference", "typical", "training_scores", "calibration", "threshold"] {
        let missing = altered(&bytes, &format!("detector.{name}"), None, None);
        let kind = refused(&missing);
        assert!(
            matches!(kind, FileErrorKind::MissingTensor { .. } | FileErrorKind::Settings(_)),
            "{name}: {kind}"
        );
    }
    assert!(matches!(refused(&number("threshold", &[f64::NAN])), FileErrorKind::TensorValue { .. }));
    assert!(matches!(refused(&number("threshold", &[1.0, 2.0])), FileErrorKind::TensorShape { .. }));
    assert!(matches!(
        refused(&number("typical", &[1.0, 0.0, 1.0])),
        FileErrorKind::TensorValue { index: 1, .. }
    ));
    assert!(matches!(refused(&number("typical", &[1.0])), FileErrorKind::TensorShape { .. }));
    assert!(matches!(refused(&number("calibration", &[])), FileErrorKind::Settings(_)));
    assert!(matches!(refused(&number("calibration", &[1.0, f64::NAN])), FileErrorKind::TensorValue { .. }));
    assert!(matches!(refused(&number("other", &[1.0])), FileErrorKind::Settings(_)));
    assert!(matches!(refused(&number("model.2", &[1.0])), FileErrorKind::Settings(_)));
    let one_row = Some((Dtype::F32, vec![1, FEATURES], vec![0; 4 * FEATURES]));
    let few = Detector::from_bytes(&altered(&bytes, "detector.reference", one_row, None)).unwrap_err();
    assert!(matches!(few, EvalError::TooFewRows { rows: 1, min: 2 }), "{few}");
    for (text, says) in [
        ("{}", "missing field"),
        (r#"{"format":5,"score":"ensemble","neighbours":2}"#, "version 5"),
        (r#"{"format":1,"score":"luck","neighbours":2}"#, "luck"),
        (r#"{"format":1,"score":"ensemble","neighbours":0}"#, "neighbours"),
        (r#"{"format":1,"score":"ensemble","neighbours":2,"more":1}"#, "more"),
        // An ensemble has more components than that.
        (r#"{"format":1,"score":"error","neighbours":2}"#, "typical"),
    ] {
        let error = refused(&altered(&bytes, "", None, Some(text))).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    // A further model with other features.
    let config = Config::builder(3).encoding_dim(1).build().unwrap();
    let other = Autoencoder::new(config).unwrap().to_bytes().unwrap();
    let denoising = detector(Score::Denoising).to_bytes().unwrap();
    let with = Some((Dtype::U8, vec![other.len()], other));
    let error = refused(&altered(&denoising, "detector.model.1", with, None)).to_string();
    assert!(error.contains("other features"), "{error}");
}

#[test]
fn damaged_files_never_panic() {
    let bytes = detector(Score::Ensemble).to_bytes().unwrap();
    let mut random = SplitMix64::new(6);
    for _ in 0..200 {
        let mut damaged = bytes.clone();
        let place = random.next_u64() as usize % damaged.len();
        damaged[place] ^= 1 << (random.next_u64() % 8);
        // If only a number was damaged, the file may load; then the detector works.
        if let Ok(detector) = Detector::from_bytes(&damaged) {
            let _ = detector.scores(&rows(3, 5));
        }
        let _ = Detector::from_bytes(&bytes[..place]);
    }
}

/// Column names of the rows are compared with those of the file.
#[test]
fn rows_of_other_columns_are_refused() {
    let loaded = Detector::from_bytes(&detector(Score::InputNeighbours).to_bytes().unwrap()).unwrap();
    let names = ["b", "a", "c", "d", "e"].map(str::to_owned).to_vec();
    let turned = Dataset::new(vec![0.0; FEATURES], FEATURES).unwrap().with_names(names).unwrap();
    assert!(turned.rows() == 1 && loaded.scores(&turned).is_err());
}

fn header(bytes: &[u8]) -> String {
    opened(bytes).unwrap().0[KEY].clone()
}

/// A model of a number and two categories, one of which is rare, and its training rows.
fn model_with_categories() -> (Autoencoder, Dataset) {
    let texts = |of: fn(u32) -> String| (0..40).map(of).collect::<Vec<_>>();
    let columns =
        [texts(|i| (i * 7 % 11).to_string()), texts(|i| if i == 3 { "rare" } else { "usual" }.to_owned())];
    let table = ae_data::Table::new(["size", "kind"].map(str::to_owned).to_vec(), &columns).unwrap();
    let schema = ae_data::Schema::infer(&table, &ae_data::ColumnRoles::default()).unwrap();
    let rows = schema.encode(&table, None).unwrap().rows;
    let mut model = Autoencoder::new(Config::builder(3).encoding_dim(1).epochs(2).build().unwrap()).unwrap();
    model.set_schema(schema).unwrap();
    model.fit(&rows, &mut []).unwrap();
    (model, rows)
}

/// Files of format 1 with categories go on as they were calibrated; others are still saved in it.
#[test]
fn detectors_keep_the_edition_of_their_file() {
    assert!(header(&detector(Score::Ensemble).to_bytes().unwrap()).contains(r#""format":1"#));
    let (model, rows) = model_with_categories();
    let settings = Settings { score: Score::InputNeighbours, ..Settings::default() };
    let new = Detector::with_model(&settings, model, &rows).unwrap();
    let bytes = new.to_bytes().unwrap();
    assert!(header(&bytes).contains(r#""format":2"#));
    let old = header(&bytes).replace(r#""format":2"#, r#""format":1"#);
    let old = Detector::from_bytes(&altered(&bytes, "", None, Some(&old))).unwrap();
    assert!(header(&old.to_bytes().unwrap()).contains(r#""format":1"#));
    let rare = |detector: &Detector| detector.scores_excluding_self(&rows).unwrap()[3];
    // In 1 of 40 rows, an indicator has a standard deviation of 0.156; two of them differ.
    assert!((rare(&old) - 9.06).abs() < 0.1 && (rare(&new) - 1.0).abs() < 0.1, "{}", rare(&old));
}

/// With categories, the ensemble has residuals; files of format 2 go on without them.
#[test]
fn ensembles_of_tables_have_residuals() {
    let (model, rows) = model_with_categories();
    let new = Detector::with_model(&Settings::default(), model, &rows).unwrap();
    let bytes = new.to_bytes().unwrap();
    assert!(header(&bytes).contains(r#""format":3"#));
    let scores = |detector: &Detector| detector.scores_excluding_self(&rows).unwrap();
    assert_eq!(scores(&Detector::from_bytes(&bytes).unwrap()), scores(&new));

    let of_three: Vec<u8> = new.scales[..3].iter().flat_map(|x| x.to_le_bytes()).collect();
    let text = header(&bytes).replace(r#""format":3"#, r#""format":2"#);
    let old = altered(&bytes, "detector.typical", Some((Dtype::F64, vec![3], of_three)), Some(&text));
    let old = Detector::from_bytes(&old).unwrap();
    assert!(header(&old.to_bytes().unwrap()).contains(r#""format":2"#));
    let residuals = new.context.measure(&new.components[3], &new.reference, true).unwrap();
    for ((four, three), squares) in scores(&new).into_iter().zip(scores(&old)).zip(residuals) {
        let expected = three.powf(0.75) * (squares / new.scales[3]).max(super::super::FLOOR).powf(0.125);
        assert!((four - expected).abs() < 1e-9 * expected, "{four} {expected}");
    }
}

/// Files of models that mask missing values, from before missing cells counted as the mean of known ones,
/// go on with the scores of imputed rows.
#[test]
fn earlier_files_go_on_with_scores_of_imputed_rows() {
    let with_gaps = |rows: Dataset| {
        let gaps = |(i, x): (usize, &f32)| if i % 7 == 3 { f32::NAN } else { *x };
        let values = rows.values().iter().enumerate().map(gaps).collect();
        Dataset::new(values, FEATURES).unwrap()
    };
    let (training, unseen) = (with_gaps(rows(80, 1)), with_gaps(rows(20, 2)));
    let config = Config::builder(FEATURES).encoding_dim(2).epochs(5).mask_missing(true).build().unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    model.fit(&training, &mut []).unwrap();
    for score in [Score::Ensemble, Score::StandardisedError, Score::Mahalanobis, Score::InputNeighbours] {
        let settings = Settings { score, ..Settings::default() };
        let model = Autoencoder::from_bytes(&model.to_bytes().unwrap()).unwrap();
        let new = Detector::with_model(&settings, model, &training).unwrap();
        let bytes = new.to_bytes().unwrap();
        let loaded = Detector::from_bytes(&bytes).unwrap();
        assert!(loaded.reference.known.values().iter().any(|x| x.is_nan()));
        assert_eq!(loaded.scores(&unseen).unwrap(), new.scores(&unseen).unwrap());
        assert_eq!(loaded.contributions(&training).unwrap().values().len(), 80 * FEATURES);

        let imputed = new.reference().values().iter().flat_map(|x| x.to_le_bytes()).collect();
        let imputed = (Dtype::F32, vec![80, FEATURES], imputed);
        let text = header(&bytes).replace(r#""format":4"#, r#""format":1"#);
        let old = altered(&bytes, "detector.reference", Some(imputed.clone()), Some(&text));
        let old = Detector::from_bytes(&old).unwrap();
        assert!(header(&old.to_bytes().unwrap()).contains(r#""format":1"#));
        let complete = new.model().impute(&unseen, crate::IMPUTATION_ROUNDS).unwrap();
        assert_eq!(old.scores(&unseen).unwrap(), old.scores(&complete).unwrap(), "{}", score.name());
        let is_same = old.scores(&unseen).unwrap() == new.scores(&unseen).unwrap();
        assert_eq!(is_same, score != Score::StandardisedError, "{}", score.name());
        assert_ne!(old.contributions(&unseen).unwrap(), new.contributions(&unseen).unwrap());
        // There, and for models without a mask, nothing may be missing.
        let gaps = altered(&bytes, "", None, Some(&text));
        assert!(matches!(refused(&gaps), FileErrorKind::TensorValue { .. }));
    }
}
