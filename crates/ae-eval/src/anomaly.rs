//! Anomaly detection: finds rows that are unlike the training rows.
//!
//! A [`Detector`] gives each row a [`Score`], the higher the more anomalous; a [`Calibration`] turns
//! scores into thresholds and p-values. [`Detector::judge`] says all there is to say about a row, and
//! [`Detector::save`] writes a detector to a file.
//!
//! ```
//! use ae_data::Rows;
//! use ae_eval::anomaly::{Detector, Settings};
//!
//! // Points near a line, and one far from it.
//! let table: Vec<[f32; 2]> = (0..200).map(|i| [i as f32, (2 * i + i % 7) as f32]).collect();
//! let rows = Rows::new(table.as_flattened(), 2)?;
//! let detector = Detector::fit(&Settings::default(), &rows)?;
//! let scores = detector.scores(&Rows::new(&[100.0, 203.0, 100.0, 20.0], 2)?)?;
//! assert!(scores[0] < detector.threshold() && scores[1] >= detector.threshold());
//! assert!(detector.calibration().p_value(scores[1]) < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blame;
mod calibration;
mod columns;
mod components;
mod coordinates;
mod detector;
mod explain;
mod neighbours;
mod score;
mod verdict;

pub use blame::{Blame, blame};
pub use calibration::{Calibration, contamination_threshold};
pub use columns::{column_errors, row_errors};
pub use detector::{Detector, Settings};
pub use explain::{Finding, explain};
pub use score::Score;
pub use verdict::Verdict;
