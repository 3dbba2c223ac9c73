//! What the kernel takes away from a process that computes on strangers' bytes: the network, other
//! people's files, other processes, and every system call it has no use for. Linux only; elsewhere,
//! and where the kernel cannot, entering is refused: nobody is told that a job was isolated that was
//! not.
//!
//! | what | by | must hold |
//! |---|---|---|
//! | an empty network, System V objects of its own | `unshare(CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC)` | where the kernel allows it |
//! | files: none but those named; connecting, binding, signals, abstract sockets: none | landlock | yes |
//! | system calls: those of the list in [`filter`], all others `EPERM`; another architecture's: death | seccomp-bpf | yes |
//! | memory, processor time, descriptors, file sizes, no core file | resource limits, and a cgroup where one can be made | limits yes |
//! | no ptrace, no `/proc` of it for others, death with its parent | `PR_SET_DUMPABLE`, `PR_SET_PDEATHSIG` | yes |
//!
//! All of it is inherited and none can be taken back. It holds for the thread that enters and those
//! it starts later: a process enters before it starts any.
//!
//! [`launch`] starts a process that has nothing to lose: this very program once more, with an empty
//! environment, one socket to its parent, and no other descriptor.

#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod enter;
mod error;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod filter;
mod launch;

#[cfg(target_os = "linux")]
pub use enter::{close_inherited, enter};
pub use error::Error;
pub use launch::{Apart, Launch, asked, hide_memory, wire};

use std::path::PathBuf;

/// What a process may keep.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Files and folders that may be read.
    pub reads: Vec<PathBuf>,
    /// Folders in which files may be made, written, read and removed; files that may be written.
    pub writes: Vec<PathBuf>,
    /// Whether connections may be accepted from a listener that is there already.
    pub accepts: bool,
    /// How much of the machine it may take.
    pub limits: Limits,
}

/// How much of the machine a process may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Bytes of memory that it may write to.
    pub memory_bytes: Option<u64>,
    /// Seconds of processor time, of all threads together.
    pub cpu_s: Option<u64>,
    /// Descriptors open at once.
    pub files: Option<u64>,
    /// Bytes of one file.
    pub file_bytes: Option<u64>,
}

/// What holds, once a process has entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Held {
    /// It has a network of its own, in which there is nothing.
    pub namespace: bool,
    /// Landlock knows everything that was asked of it. Older kernels leave signals and abstract
    /// sockets to seccomp and the namespace.
    pub landlock_whole: bool,
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.namespace, self.landlock_whole) {
            (true, true) => "namespace, landlock, seccomp",
            (true, false) => "namespace, landlock (older), seccomp",
            (false, true) => "landlock, seccomp",
            (false, false) => "landlock (older), seccomp",
        })
    }
}

/// Elsewhere there is no such kernel.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn enter(_: &Rules) -> Result<Held, Error> {
    Err(Error::Lacking { what: "this system is not Linux".to_owned() })
}

/// Elsewhere nothing is inherited that should not be.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
pub fn close_inherited() -> Result<(), Error> {
    Ok(())
}
