//! The widest vector instructions of this machine, chosen when the program runs: AVX2 with FMA on
//! x86-64, NEON on 64-bit ARM, plain code elsewhere.

use pulp::{Scalar, Simd, WithSimd};

/// Runs `work` compiled for this machine. Plain closures work too: loops in them are vectorised.
#[inline(always)]
pub(crate) fn run<Work: WithSimd>(work: Work) -> Work::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return Simd::vectorize(simd, work);
    }
    #[cfg(target_arch = "aarch64")]
    if let Some(simd) = pulp::aarch64::Neon::try_new() {
        return Simd::vectorize(simd, work);
    }
    Simd::vectorize(Scalar, work)
}
