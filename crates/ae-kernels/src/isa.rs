//! The instruction sets that the kernels may use: detected once, overridable by `AE_ISA`.

use std::fmt;
use std::sync::OnceLock;

use crate::simd::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::tile::Amx;

/// The environment variable that overrides the detected instruction set.
pub const ISA_VARIABLE: &str = "AE_ISA";

/// An instruction set that this CPU has. The variants hold tokens that only detection can create, so
/// holding an `Isa` proves that its instructions may be executed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// What every compilation target offers (SSE2 on x86-64); multiply and add round separately.
    Portable(Portable),
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 F, VL, BW and DQ.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// AVX-512 with AMX tiles of bf16, which [`crate::tile`] uses.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx(Amx),
}

/// Error returned when an instruction set cannot be selected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IsaError {
    /// The name is not one of [`Isa::NAMES`].
    #[error("unknown instruction set '{name}' in {ISA_VARIABLE}: expected one of {}", Isa::NAMES.join(", "))]
    Unknown {
        /// The requested name.
        name: String,
    },
    /// This CPU (or this build) lacks the instruction set.
    #[error("instruction set '{name}' asked for by {ISA_VARIABLE} is not available here: this machine offers {}", .offered.join(", "))]
    Unavailable {
        /// The requested name.
        name: &'static str,
        /// The names that are available.
        offered: Vec<&'static str>,
    },
}

impl Isa {
    /// Every name that `AE_ISA` accepts, from the most basic to the widest.
    pub const NAMES: [&'static str; 4] = ["portable", "avx2", "avx512", "amx"];

    /// The widest instruction set of this CPU.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let portable = Isa::Portable(Portable::new());
            Isa::available().last().unwrap_or(portable)
        })
    }

    /// The instruction set that `AE_ISA` names, or [`Isa::best`] if it is unset or empty. Read once per
    /// process.
    ///
    /// # Errors
    /// [`IsaError`] if the variable names an unknown or unavailable instruction set.
    pub fn active() -> Result<Isa, IsaError> {
        static ACTIVE: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        ACTIVE
            .get_or_init(|| match std::env::var_os(ISA_VARIABLE) {
                None => Ok(Isa::best()),
                Some(value) if value.is_empty() => Ok(Isa::best()),
                Some(value) => Isa::named(&value.to_string_lossy()),
            })
            .clone()
    }

    /// The instruction set with this name.
    ///
    /// # Errors
    /// [`IsaError::Unknown`] for a name outside [`Isa::NAMES`], [`IsaError::Unavailable`] if the CPU
    /// lacks it.
    pub fn named(name: &str) -> Result<Isa, IsaError> {
        let Some(known) = Isa::NAMES.into_iter().find(|known| *known == name) else {
            return Err(IsaError::Unknown { name: name.to_owned() });
        };
        Isa::offered(known).ok_or_else(|| IsaError::Unavailable {
            name: known,
            offered: Isa::available().map(Isa::name).collect(),
        })
    }

    /// Every instruction set of this CPU, most basic first. Tests loop over it.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::NAMES.into_iter().filter_map(Isa::offered)
    }

    /// The instruction set with this name, if the CPU has it. No other is probed: probing for AMX asks
    /// the operating system for its registers, after which signals may need larger stacks.
    fn offered(name: &str) -> Option<Isa> {
        match name {
            "portable" => Some(Isa::Portable(Portable::new())),
            #[cfg(target_arch = "x86_64")]
            "avx2" => Avx2::detect().map(Isa::Avx2),
            #[cfg(target_arch = "x86_64")]
            "avx512" => Avx512::detect().map(Isa::Avx512),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            "amx" => Amx::detect().map(Isa::Amx),
            _ => None,
        }
    }

    /// The name by which `AE_ISA` knows it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "avx512",
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Isa::Amx(_) => "amx",
        }
    }

    /// Bytes of a vector.
    pub fn vector_bytes(self) -> usize {
        match self {
            Isa::Portable(_) => 16,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => 32,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => 64,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Isa::Amx(_) => 64,
        }
    }

    /// Whether it multiplies tiles of bf16 ([`crate::tile`]), which makes `f32` products by splitting
    /// worthwhile.
    pub fn has_tiles(self) -> bool {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        return matches!(self, Isa::Amx(_));
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        return false;
    }

    /// Whether a multiply-add rounds once. All instruction sets that fuse give the same bits.
    pub fn fuses(self) -> bool {
        !matches!(self, Isa::Portable(_))
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
