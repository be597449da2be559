//! Products of a dense layer by matrix multiplication crates, with the arguments and the JSON of
//! `gemm_products.py`.
//!
//! Reads lines `product m n k` (rows of the batch, outputs, inputs) and answers each with a JSON object:
//! the shortest time of a product in microseconds.

#![forbid(unsafe_code)]

use std::io::{BufRead, Write, stdin, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use rust_peers::{Multiply, Number, Operands, limit_threads, system};
use serde_json::{Value, json};

/// Time products of a dense layer by matrix multiplication crates
#[derive(Parser, Debug)]
struct Arguments {
    #[arg(long, value_parser = ["gemm", "faer", "matrixmultiply"])]
    system: String,
    /// Number of threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Numeric precision
    #[arg(long, default_value = "f32", value_parser = ["f32", "f64"])]
    precision: String,
    /// Seconds to time each product
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
}

impl Arguments {
    fn answer(&self, question: &str, limit: Duration) -> Result<Value, String> {
        let mut words = question.split_whitespace();
        let product = words.next().unwrap_or_default();
        let sizes: Result<Vec<usize>, _> = words.map(str::parse).collect();
        let [m, n, k] = sizes.map_err(|error| error.to_string())?[..] else {
            return Err("expected: product m n k".to_owned());
        };
        let best = match self.precision.as_str() {
            "f64" => self.best_time::<f64>(product, [m, n, k], limit)?,
            _ => self.best_time::<f32>(product, [m, n, k], limit)?,
        };
        Ok(json!({ "system": self.system, "us": best * 1e6 }))
    }

    fn best_time<T: Number>(&self, product: &str, sizes: [usize; 3], limit: Duration) -> Result<f64, String> {
        let operands = Operands::<T>::of(product, sizes).ok_or("no such product")?;
        let mut system = system(&self.system, &operands, self.threads).ok_or("no such system")?;
        system.run()?;
        operands.check(&system.result()?)?;
        // Windows of about a millisecond, as in `cargo xtask bench gemm`.
        let operations = 2.0 * sizes.iter().map(|size| *size as f64).product::<f64>();
        let repeats = (1e8 / operations).clamp(1.0, 1e4) as u32;
        window(system.as_mut(), repeats)?;
        let begin = Instant::now();
        let mut best = window(system.as_mut(), repeats)?;
        while begin.elapsed() < limit {
            best = best.min(window(system.as_mut(), repeats)?);
        }
        Ok(best)
    }

    fn converse(&self) -> Result<(), String> {
        let limit = Duration::try_from_secs_f64(self.seconds).map_err(|error| error.to_string())?;
        limit_threads(self.threads)?;
        for line in stdin().lock().lines() {
            let line = line.map_err(|error| error.to_string())?;
            let answer = self.answer(&line, limit).unwrap_or_else(|reason| json!({ "error": reason }));
            let mut out = stdout().lock();
            writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn window<T>(system: &mut dyn Multiply<T>, repeats: u32) -> Result<f64, String> {
    let start = Instant::now();
    for _ in 0..repeats {
        system.run()?;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(repeats))
}

fn main() -> ExitCode {
    match Arguments::parse().converse() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
