//! The same products in other systems, which run as separate processes.

use serde_json::{Value, json};

use super::{Product, Shape};
use crate::bench::peers::{Dialogue, Peers};
use crate::bench::train::rounded;

/// Names of the systems, MKL first.
const SYSTEMS: [&str; 4] = ["mkl", "gemm", "faer", "matrixmultiply"];
/// Their columns: GFLOP/s, and the ratio of ours to theirs.
pub(super) const COLUMNS: [&str; 8] =
    ["mkl", "over_mkl", "gemm", "over_gemm", "faer", "over_faer", "matrixmultiply", "over_matrixmultiply"];

/// The systems that could be started.
#[derive(Debug)]
pub(super) struct Others(Vec<(&'static str, Dialogue)>);

impl Others {
    /// Starts the systems; one that cannot be started is reported on standard error and left out.
    pub(super) fn start(peers: &Peers, threads: usize, precision: &str, seconds: f64) -> Others {
        let mut started = Vec::new();
        for system in SYSTEMS {
            match peers.products(system, threads, precision, seconds) {
                Ok(dialogue) => started.push((system, dialogue)),
                Err(reason) => eprintln!("{system} left out: {reason}"),
            }
        }
        Others(started)
    }

    /// Measures the product of the row in every system and adds the results to the row.
    pub(super) fn add_to(&mut self, row: &mut Value, product: Product, shape: Shape) {
        let Shape { m, n, k } = shape;
        let operations = 2.0 * m as f64 * n as f64 * k as f64;
        let question = format!("{} {m} {n} {k}", product.name());
        for (system, dialogue) in &mut self.0 {
            let answer = dialogue.ask(&question).and_then(|answer| {
                let us = answer["us"].as_f64().filter(|us| *us > 0.0);
                us.ok_or_else(|| format!("'{answer}' has no us"))
            });
            match answer {
                Ok(us) => {
                    let gflops = operations / us / 1e3;
                    row[*system] = json!(rounded(gflops, 2));
                    let ours = row["gflops"].as_f64();
                    row[format!("over_{system}")] = json!(ours.map(|ours| rounded(ours / gflops, 2)));
                }
                Err(reason) => eprintln!("{system} left out of {question}: {reason}"),
            }
        }
        self.0.retain(|(_, dialogue)| !dialogue.has_ended());
    }
}

/// Returns the geometric means of the ratios at this number of threads, for each system that has any.
pub(super) fn means(rows: &[Value], threads: usize) -> String {
    let rows: Vec<&Value> = rows.iter().filter(|row| row["threads"] == threads).collect();
    let of = |system: &&str| {
        let column = format!("over_{system}");
        let ratios: Vec<f64> = rows.iter().filter_map(|row| row[&column].as_f64()).collect();
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        (!ratios.is_empty()).then(|| format!("{} over {system}", rounded(mean, 2)))
    };
    let means: Vec<String> = SYSTEMS.iter().filter_map(of).collect();
    format!("geometric mean of {} products on {threads} thread(s): {}", rows.len(), means.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_geometric() {
        let row = |threads: usize, mkl: f64, gemm: Option<f64>| json!({"threads": threads, "over_mkl": mkl, "over_gemm": gemm});
        let rows = [row(1, 2.0, Some(3.0)), row(1, 0.5, None), row(2, 9.0, None)];
        let expected = "geometric mean of 2 products on 1 thread(s): 1 over mkl, 3 over gemm";
        assert_eq!(means(&rows, 1), expected);
        assert_eq!(COLUMNS.len(), 2 * SYSTEMS.len());
    }

    /// A system that exits without an answer is asked only once.
    #[test]
    fn what_has_ended_is_left_out() {
        let Ok(gone) = Dialogue::start(std::process::Command::new("true")) else { return };
        let mut row = json!({"gflops": 10.0});
        let mut others = Others(vec![("mkl", gone)]);
        others.add_to(&mut row, Product::Forward, Shape { m: 1, n: 1, k: 1 });
        assert!(row == json!({"gflops": 10.0}) && others.0.is_empty());
    }
}
