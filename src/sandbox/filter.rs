//! seccomp-bpf: the system calls that are left.
//!
//! A list of what is allowed and not of what is forbidden: a call that a newer kernel adds is not
//! allowed by being unknown, and calls of the x32 form, whose numbers are beyond all listed, are not
//! either. Another architecture's calls kill the process. Refused calls fail with `EPERM`, so that a
//! library that only tries something goes on without.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::Error;
use super::enter::lacking;

/// Memory, threads, time and what is open already.
const ALWAYS: &[libc::c_long] = &[
    // Memory; see below for what may be executed.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_mincore,
    libc::SYS_membarrier,
    // Threads; `clone` below.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // Files; which of them is landlock's matter.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_unlinkat,
    libc::SYS_getdents64,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_ppoll,
    // Not allowed in truth: the other filter answers it.
    libc::SYS_clone3,
];

/// What only older architectures have, and their C library still calls.
#[cfg(target_arch = "x86_64")]
const ALWAYS_HERE: &[libc::c_long] =
    &[libc::SYS_poll, libc::SYS_unlink, libc::SYS_open, libc::SYS_stat, libc::SYS_lstat];
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_HERE: &[libc::c_long] = &[];

/// What an event loop does with a listener and the connections that come from it. None of these makes
/// a socket; `sendto` and `sendmsg` carry no address (below).
const ACCEPTING: &[libc::c_long] = &[
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
];
#[cfg(target_arch = "x86_64")]
const ACCEPTING_HERE: &[libc::c_long] = &[libc::SYS_epoll_wait];
#[cfg(not(target_arch = "x86_64"))]
const ACCEPTING_HERE: &[libc::c_long] = &[];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Leaves this thread, and those it will start, the calls of the list.
///
/// # Errors
/// [`Error::Lacking`] when the kernel has no seccomp, or the architecture is not known here.
pub(super) fn install(accepts: bool) -> Result<(), Error> {
    let no = |why: &dyn std::fmt::Display| lacking("seccomp", why);
    for program in [without_clone3(), allowed(accepts)] {
        let program = program.map_err(|why| no(&why))?;
        seccompiler::apply_filter(&program).map_err(|why| no(&why))?;
    }
    Ok(())
}

/// `clone3` keeps its flags where no filter can read them. A C library that is told it does not
/// exist uses `clone`. Of two filters' answers the harder counts, so this one is a filter of its own.
fn without_clone3() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let absent = SeccompAction::Errno(libc::ENOSYS as u32);
    compile(rules, SeccompAction::Allow, absent)
}

fn allowed(accepts: bool) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: Rules =
        ALWAYS.iter().chain(ALWAYS_HERE).map(|call| (*call, Vec::new())).collect();
    // Nothing becomes code that was not at the start.
    rules.insert(libc::SYS_mmap, only(&[masked(2, libc::PROT_EXEC as u64, 0)?])?);
    rules.insert(libc::SYS_mprotect, only(&[masked(2, libc::PROT_EXEC as u64, 0)?])?);
    // Threads, and no processes or namespaces.
    let spaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    let thread = (libc::CLONE_THREAD | libc::CLONE_VM) as u64;
    rules.insert(libc::SYS_clone, only(&[masked(0, spaces as u64 | thread, thread)?])?);
    // A thread's name, and that of a piece of memory.
    const PR_SET_VMA: u64 = 0x5356_4d41;
    let name = only(&[equal(0, libc::PR_SET_NAME as u64)?])?;
    let memory = only(&[equal(0, PR_SET_VMA)?])?;
    rules.insert(libc::SYS_prctl, [name, memory].concat());
    // Reading its own limits, which the C library does to know its stack.
    rules.insert(libc::SYS_prlimit64, only(&[equal(0, 0)?, equal(2, 0)?])?);
    // `abort`.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, only(&[equal(0, own)?])?);
    if accepts {
        rules.extend(ACCEPTING.iter().chain(ACCEPTING_HERE).map(|call| (*call, Vec::new())));
        // To the other end of a connection, and to no address.
        rules.insert(libc::SYS_sendto, only(&[equal(4, 0)?])?);
        rules.insert(libc::SYS_sendmsg, Vec::new());
        rules.insert(libc::SYS_ioctl, only(&[equal(1, libc::FIONBIO)?])?);
    }
    compile(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, otherwise, listed, architecture)?.try_into()
}

fn only(conditions: &[SeccompCondition]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    Ok(vec![SeccompRule::new(conditions.to_vec())?])
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Length::Qword, Is::Eq, value)
}

fn masked(
    argument: u8,
    mask: u64,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Length::Qword, Is::MaskedEq(mask), value)
}
