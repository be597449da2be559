//! Intel AMX: registers that hold tiles of 16 lines of 64 bytes, and an instruction that multiplies two
//! of them.
//!
//! The compiler has no type for a tile register, so what one `asm!` block leaves in one, the next finds
//! there.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::{Interleaved, Operand, TILE, TileUnit};
use crate::simd::Avx512;

/// Proof that this CPU has AMX with bf16 and AVX-512, and that the operating system lets this process
/// use the tiles.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Amx(Avx512);

impl Amx {
    /// The token, if everything is available. Asks the operating system once.
    pub(crate) fn detect() -> Option<Amx> {
        static USABLE: OnceLock<bool> = OnceLock::new();
        let usable = *USABLE.get_or_init(|| cpu_has_tiles() && permitted());
        Avx512::detect().filter(|_| usable).map(Amx)
    }

    /// The vector instructions that go with the tiles.
    pub(crate) fn vectors(self) -> Avx512 {
        self.0
    }
}

fn cpu_has_tiles() -> bool {
    if cfg!(miri) {
        return false;
    }
    const OSXSAVE: u32 = 1 << 27;
    const AMX_BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;
    let most = __cpuid(0).eax;
    if most < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    #[target_feature(enable = "xsave")]
    fn enabled_state() -> u64 {
        // SAFETY: the caller has checked that the operating system has enabled the instruction.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: OSXSAVE says that the instruction exists and is enabled.
    let state = unsafe { enabled_state() };
    __cpuid_count(7, 0).edx & AMX_BF16_AND_TILE == AMX_BF16_AND_TILE && state & TILE_STATE == TILE_STATE
}

/// Asks Linux for the tile registers, which it grants to a process only on request
/// (Documentation/arch/x86/xstate.rst).
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the system call changes nothing but the permission; it returns in rax and clobbers rcx and
    // r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Palette 1 with eight tiles of 16 lines of 64 bytes, in the layout that `ldtilecfg` reads.
#[repr(C, align(64))]
struct Shape([u8; 64]);

const SHAPE: Shape = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    Shape(bytes)
};

/// Proof that the tile registers are set up: borrowed from the [`Setup`] that releases them. They belong
/// to a thread, which this does not leave.
#[derive(Clone, Copy)]
pub(super) struct Ready<'a>(PhantomData<(&'a Setup, *const ())>);

// The compiler allocates no tile registers and keeps nothing in them, so values may stay there from one
// `asm!` to the next. Each says that it clobbers all of them: an operand cannot name one by a constant.

/// Sets up the tile registers of this thread, and releases them when dropped.
pub(super) struct Setup(PhantomData<*const ()>);

impl Setup {
    pub(super) fn new(_: Amx) -> Setup {
        // SAFETY: the token proves that tiles are available and permitted; the shape is a valid one of
        // palette 1.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &SHAPE,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly, preserves_flags));
        }
        Setup(PhantomData)
    }

    pub(super) fn ready(&self) -> Ready<'_> {
        Ready(PhantomData)
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        // SAFETY: `new` has set up the tiles.
        unsafe {
            asm!("tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem, preserves_flags));
        }
    }
}

/// # Safety
/// Tiles are set up.
#[inline(always)]
unsafe fn zero<const T: usize>() {
    // SAFETY: the caller's obligation.
    unsafe {
        asm!("tilezero tmm{t}", t = const T,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, nomem, preserves_flags));
    }
}

/// # Safety
/// Tiles are set up, and a tile can be read at `at`.
#[inline(always)]
unsafe fn load_passing<const T: usize>(at: *const f32) {
    // SAFETY: the caller's obligation; the lines are contiguous.
    unsafe {
        asm!("tileloaddt1 tmm{t}, [{at} + {line}*1]", t = const T, at = in(reg) at, line = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, readonly, preserves_flags));
    }
}

/// # Safety
/// Tiles are set up, and a tile can be read at `at`.
#[inline(always)]
unsafe fn load<const T: usize>(at: *const f32) {
    // SAFETY: the caller's obligation; the lines are contiguous.
    unsafe {
        asm!("tileloadd tmm{t}, [{at} + {line}*1]", t = const T, at = in(reg) at, line = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, readonly, preserves_flags));
    }
}

/// # Safety
/// Tiles are set up, and a tile can be written at `at`.
#[inline(always)]
unsafe fn store<const T: usize>(at: *mut f32) {
    // SAFETY: the caller's obligation; the lines are contiguous.
    unsafe {
        asm!("tilestored [{at} + {line}*1], tmm{t}", t = const T, at = in(reg) at, line = in(reg) 64usize,
            options(nostack, preserves_flags));
    }
}

/// # Safety
/// Tiles are set up.
#[inline(always)]
unsafe fn dot<const C: usize, const A: usize, const B: usize>() {
    // SAFETY: the caller's obligation.
    unsafe {
        asm!("tdpbf16ps tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, nomem, preserves_flags));
    }
}

// Tiles 0 to 3 hold the sums, 4 and 5 the current part of `a`, 6 and 7 that of `b`.

/// Loads tile `part` of the first `COUNT` rows or columns of an operand into the tiles `X` and `Y`.
///
/// # Safety
/// Tiles are set up, and `COUNT` tiles can be read from `at + part TILE` on, `of.stride` elements from each
/// other.
#[inline(always)]
unsafe fn load_part<const COUNT: usize, const X: usize, const Y: usize>(
    of: Operand,
    at: *const f32,
    part: usize,
) {
    // SAFETY: the caller's obligation.
    unsafe {
        let first = at.add(part * TILE);
        match (COUNT, of.passes) {
            (2, true) => {
                load_passing::<X>(first);
                load_passing::<Y>(first.add(of.stride));
            }
            (2, false) => {
                load::<X>(first);
                load::<Y>(first.add(of.stride));
            }
            (_, true) => load_passing::<X>(first),
            (_, false) => load::<X>(first),
        }
    }
}

/// # Safety
/// Tiles are set up.
#[inline(always)]
unsafe fn dots<const M: usize, const N: usize>() {
    // SAFETY: the caller's obligation.
    unsafe {
        dot::<0, 4, 6>();
        if N == 2 {
            dot::<1, 4, 7>();
        }
        if M == 2 {
            dot::<2, 5, 6>();
        }
        if M == 2 && N == 2 {
            dot::<3, 5, 7>();
        }
    }
}

impl TileUnit for Ready<'_> {
    #[inline(always)]
    unsafe fn block<W: Interleaved, const PARTS: usize, const M: usize, const N: usize>(
        self,
        depth: usize,
        a: Operand,
        b: Operand,
        sums: *mut f32,
        fresh: bool,
        interleaved: &mut W,
    ) {
        // SAFETY: `self` borrows from a `Setup`, which is this thread's only one: `run` makes it, and
        // interleaved steps do not call `run`. The rest is the caller's obligation.
        unsafe {
            if fresh {
                zero::<0>();
                zero::<1>();
                zero::<2>();
                zero::<3>();
            } else {
                load::<0>(sums);
                load::<1>(sums.add(TILE));
                load::<2>(sums.add(2 * TILE));
                load::<3>(sums.add(3 * TILE));
            }
            for t in 0..depth {
                let a_at = a.start.add(t * a.step);
                let b_at = b.start.add(t * b.step);
                let load_a = |part| load_part::<M, 4, 5>(a, a_at, part);
                let load_b = |part| load_part::<N, 6, 7>(b, b_at, part);
                if PARTS == 1 {
                    load_a(0);
                    load_b(0);
                    dots::<M, N>();
                    interleaved.step();
                } else {
                    // In the order of `SPLIT`: every product changes only one operand.
                    load_a(2);
                    load_b(0);
                    dots::<M, N>();
                    interleaved.step();
                    load_a(1);
                    dots::<M, N>();
                    interleaved.step();
                    load_b(1);
                    dots::<M, N>();
                    interleaved.step();
                    load_a(0);
                    dots::<M, N>();
                    interleaved.step();
                    load_b(2);
                    dots::<M, N>();
                    interleaved.step();
                    load_b(0);
                    dots::<M, N>();
                    interleaved.step();
                }
            }
            store::<0>(sums);
            if N == 2 {
                store::<1>(sums.add(TILE));
            }
            if M == 2 {
                store::<2>(sums.add(2 * TILE));
            }
            if M == 2 && N == 2 {
                store::<3>(sums.add(3 * TILE));
            }
        }
    }
}
