//! Which instructions the kernels may use: detected once, overridable by `AE_ISA`.

use std::fmt;
use std::sync::OnceLock;

use crate::simd::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::tile::Amx;

/// The environment variable that overrides the detected instruction set.
pub const ISA_VARIABLE: &str = "AE_ISA";

/// An instruction set that this CPU has. The variants hold tokens that only detection can build, so
/// holding an `Isa` is the proof that its instructions may be executed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// What every target of the compiler offers (SSE2 on x86-64); multiply and add round separately.
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

/// Why an instruction set could not be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IsaError {
    /// The name is not one of [`Isa::NAMES`].
    #[error("unknown instruction set '{name}' in {ISA_VARIABLE}: expected one of {}", Isa::NAMES.join(", "))]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// This CPU (or this build) lacks the instruction set.
    #[error("instruction set '{name}' asked for by {ISA_VARIABLE} is not available here: this machine offers {}", .offered.join(", "))]
    Unavailable {
        /// The name that was asked for.
        name: &'static str,
        /// The names that would have worked.
        offered: Vec<&'static str>,
    },
}

impl Isa {
    /// Every name that `AE_ISA` may take, from the plainest to the widest.
    pub const NAMES: [&'static str; 4] = ["portable", "avx2", "avx512", "amx"];

    /// The widest instruction set of this CPU.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let portable = Isa::Portable(Portable::new());
            Isa::available().last().unwrap_or(portable)
        })
    }

    /// What `AE_ISA` asks for, or [`Isa::best`] where it is unset or empty. Read once per process.
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

    /// The instruction set of this name.
    ///
    /// # Errors
    /// [`IsaError::Unknown`] for a name outside [`Isa::NAMES`], [`IsaError::Unavailable`] where the CPU lacks it.
    pub fn named(name: &str) -> Result<Isa, IsaError> {
        let Some(known) = Isa::NAMES.into_iter().find(|known| *known == name) else {
            return Err(IsaError::Unknown { name: name.to_owned() });
        };
        Isa::offered(known).ok_or_else(|| IsaError::Unavailable {
            name: known,
            offered: Isa::available().map(Isa::name).collect(),
        })
    }

    /// Every instruction set of this CPU, plainest first. Tests loop over it.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::NAMES.into_iter().filter_map(Isa::offered)
    }

    /// The one of this name, if the CPU has it. No other is looked for: to look for AMX is to ask the operating system for its registers,
    /// which lets signals need larger stacks from then on.
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

    /// The name under which `AE_ISA` knows it.
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

    /// Whether it multiplies tiles of bf16 ([`crate::tile`]), which makes `f32` products by splitting worth while.
    pub fn has_tiles(self) -> bool {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        return matches!(self, Isa::Amx(_));
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        return false;
    }

    /// Whether a multiply-add rounds once. Paths that fuse give the same bits as each other.
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
