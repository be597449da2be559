//! Detector files of every release stay readable and give the same scores.
//!
//! `golden/v1/`, including `expected.json`, was written by version 0.1.0. Such a folder never changes; a
//! release that writes different files gets a folder of its own, by
//! `cargo test -p ae-eval --test golden -- --ignored`.

#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ae_data::Dataset;
use ae_eval::anomaly::{Calibration, Detector, Score, Settings};

/// The threshold, and the scores of [`rows`], by name of the detector.
type Expected = BTreeMap<String, (f64, Vec<f64>)>;

fn folder(version: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"))
}

/// Rows of four values in [0, 1] that will never change.
fn rows(count: usize, by: usize) -> Dataset {
    let values = (0..4 * count).map(|i| (i * by % 101) as f32 / 101.0).collect();
    let names = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    Dataset::new(values, 4).unwrap().with_names(names).unwrap()
}

#[test]
fn detectors_of_every_release_are_read() {
    let folder = folder(1);
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), 3);
    for (name, (threshold, scores)) in expected {
        let detector = Detector::load(folder.join(format!("{name}.safetensors"))).unwrap();
        assert_eq!((detector.score().name(), detector.threshold()), (name.as_str(), threshold));
        assert_eq!((detector.reference().rows(), detector.calibration().scores().len()), (20, 9));
        for (score, expected) in detector.scores(&rows(7, 29)).unwrap().into_iter().zip(scores) {
            // Other instruction sets round sums differently.
            assert!((score - expected).abs() <= 1e-4 * expected, "{name}: {score} {expected}");
        }
    }
}

#[test]
#[ignore = "writes files that are part of the sources"]
fn write_files_of_this_release() {
    let folder = folder(1);
    assert!(!folder.exists(), "{} is there already, and stays as it is", folder.display());
    std::fs::create_dir_all(&folder).unwrap();
    let mut expected = Expected::new();
    for score in [Score::Ensemble, Score::Mahalanobis, Score::Denoising] {
        let settings = Settings { score, updates: 10, noise: vec![0.2, 0.5], ..Settings::default() };
        let mut detector = Detector::fit(&settings, &rows(20, 37)).unwrap();
        detector.set_calibration(Calibration::new(detector.scores(&rows(9, 43)).unwrap()).unwrap());
        detector.save(folder.join(format!("{}.safetensors", score.name()))).unwrap();
        let scores = detector.scores(&rows(7, 29)).unwrap();
        expected.insert(score.name().to_owned(), (detector.threshold(), scores));
    }
    std::fs::write(folder.join("expected.json"), serde_json::to_string(&expected).unwrap() + "\n").unwrap();
}
