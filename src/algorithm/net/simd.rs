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

/// How many of eight numbers `value` reaches; none that is NaN.
#[inline(always)]
pub(crate) fn reached<S: Simd>(simd: S, numbers: &[f32; 8], value: f32) -> u32 {
    // pulp has no mask of bits for any machine; it comes down to this test when compiling.
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = (&simd as &dyn std::any::Any).downcast_ref::<pulp::x86::V3>() {
        let reached = simd.cmp_ge_f32x8(simd.splat_f32x8(value), pulp::cast(*numbers));
        return simd.avx._mm256_movemask_ps(pulp::cast(reached)).count_ones();
    }
    numbers.iter().map(|number| u32::from(value >= *number)).sum()
}
