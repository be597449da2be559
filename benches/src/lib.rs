//! Shared by the benchmarks: reproducible operands, sizes, and the instruction sets to run on.

#![forbid(unsafe_code)]

use ae_kernels::Isa;
use ae_testing::random::SplitMix64;

/// Encoder widths of the networks whose training steps are timed, starting with the input.
pub const NETS: [&[usize]; 3] = [&[100, 50, 10], &[784, 256, 128, 64, 32], &[1024, 2048, 512]];

/// Layers whose products are timed: rows of the batch, inputs, outputs.
pub const LAYERS: [[usize; 3]; 4] = [[32, 784, 256], [128, 784, 256], [128, 256, 128], [128, 1024, 2048]];

/// Returns every instruction set of this machine, or only the one that `AE_ISA` requests.
///
/// # Panics
/// If `AE_ISA` requests one that is not available.
#[allow(clippy::panic, reason = "a benchmark has nobody to report to")]
pub fn isas() -> Vec<Isa> {
    if std::env::var_os(ae_kernels::isa::ISA_VARIABLE).is_none_or(|name| name.is_empty()) {
        return Isa::available().collect();
    }
    match Isa::active() {
        Ok(isa) => vec![isa],
        Err(error) => panic!("{error}"),
    }
}

/// Returns `len` reproducible values in `[low, high)`.
pub fn operands(len: usize, low: f64, high: f64) -> Vec<f32> {
    SplitMix64::new(len as u64).uniform_f32s(len, low, high)
}

/// Formats sizes for the name of a benchmark: `32x784x256`.
pub fn size_id(sizes: &[usize]) -> String {
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_repeat() {
        assert_eq!(operands(5, 0.0, 1.0), operands(5, 0.0, 1.0));
        assert!(operands(500, -1.0, 1.0).iter().all(|x| (-1.0..1.0).contains(x)));
        assert_eq!(size_id(&[32, 784]), "32x784");
    }
}
