//! Measures the largest error of the vector functions over all 2³² single-precision inputs.

use std::io::Write;

use ae_kernels::Isa;
use ae_kernels::math::{self, Function};
use ae_testing::exhaustive::{Worst, worst_over_all_f32};
use clap::Args;

use crate::failure::Failure;

/// What to check.
#[derive(Args, Debug)]
pub(crate) struct Ulp {
    /// Functions: exp, tanh, sigmoid, softplus [default: all]
    #[arg(long, value_delimiter = ',', value_parser = parse_function)]
    function: Vec<Function>,
    /// Instruction set [default: every one of this machine]
    #[arg(long)]
    isa: Option<String>,
    /// Number of threads [default: all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

fn parse_function(name: &str) -> Result<Function, String> {
    let names = Function::ALL.map(Function::name);
    let found = Function::ALL.into_iter().find(|function| function.name() == name);
    found.ok_or_else(|| format!("expected one of {}", names.join(", ")))
}

impl Ulp {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let functions = if self.function.is_empty() { &Function::ALL[..] } else { &self.function };
        let isas: Vec<Isa> = match &self.isa {
            Some(name) => vec![Isa::named(name)?],
            None => Isa::available().collect(),
        };
        let threads = match self.threads {
            Some(threads) => usize::from(threads),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let mut beyond = Vec::new();
        for &function in functions {
            for &isa in &isas {
                print!("{:<8} {:<9}", function.name(), isa.name());
                std::io::stdout().flush().map_err(|error| Failure::io("standard output", &error))?;
                let apply = |values: &mut [f32]| math::apply(isa, function, values);
                let worst = worst_over_all_f32(|x| reference(function, x), apply, threads);
                let bound = function.ulp_bound::<f32>();
                println!("{worst}, allowed {bound}");
                if exceeds(&worst, bound) {
                    beyond.push(format!("{} on {isa}", function.name()));
                }
            }
        }
        if beyond.is_empty() {
            return Ok(());
        }
        Err(Failure::Wrong(format!("error exceeds the documented bound: {}", beyond.join(", "))))
    }
}

fn exceeds(worst: &Worst, bound: f64) -> bool {
    !(worst.ulps <= bound)
}

/// The function in `f64`, far more exact than the error bounds for `f32`.
fn reference(function: Function, x: f64) -> f64 {
    match function {
        Function::Tanh => x.tanh(),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        _ => x.exp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ae_testing::exhaustive::worst_over_f32;

    const INPUTS: [f32; 8] = [0.0, 1.0, -1.0, 0.3, -20.0, 80.0, f32::INFINITY, f32::NAN];

    #[test]
    fn references_belong_to_their_functions() {
        for function in Function::ALL {
            for isa in Isa::available() {
                let apply = |values: &mut [f32]| math::apply(isa, function, values);
                let worst = worst_over_f32(&INPUTS, |x| reference(function, x), apply);
                assert!(!exceeds(&worst, function.ulp_bound::<f32>()), "{}: {worst}", function.name());
            }
        }
    }

    #[test]
    fn a_planted_fault_exceeds_the_bound() {
        for (fault, function) in
            [(f32::NAN, Function::Exp), (1.000_001, Function::Exp), (0.1, Function::Tanh)]
        {
            let planted = |values: &mut [f32]| {
                math::apply(Isa::best(), function, values);
                values[0] = fault;
            };
            let worst = worst_over_f32(&INPUTS, |x| reference(function, x), planted);
            assert!(exceeds(&worst, function.ulp_bound::<f32>()), "{fault} for {}", function.name());
        }
    }
}
