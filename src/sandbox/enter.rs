//! Taking everything away, in the order in which it can be taken.

use std::collections::BTreeSet;

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use super::{Error, Held, Limits, Rules, files, filter};

/// Takes from this thread, and from all it will start, what `rules` do not leave it. Not undone by
/// anything.
///
/// # Errors
/// [`Error::Lacking`] when the kernel cannot; the process may then have lost some of it and should end.
pub fn enter(rules: &Rules) -> Result<Held, Error> {
    let lacks = |what: &'static str| move |why: nix::Error| lacking(what, &why);
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(lacks("death with the parent"))?;
    limit(&rules.limits).map_err(lacks("resource limits"))?;
    prctl::set_dumpable(false).map_err(lacks("PR_SET_DUMPABLE"))?;
    let namespace = namespaces();
    prctl::set_no_new_privs().map_err(lacks("PR_SET_NO_NEW_PRIVS"))?;
    let landlock_whole = files::restrict(rules)?;
    filter::install(rules.accepts)?;
    Ok(Held { namespace, landlock_whole })
}

pub(super) fn lacking(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::Lacking { what: format!("no {what} ({why})") }
}

/// Closes what was inherited, all but standard input, output and error.
///
/// # Errors
/// [`Error::Lacking`] when it cannot be known what is open.
pub fn close_inherited() -> Result<(), Error> {
    let open = |why: std::io::Error| lacking("list of open files", &why);
    let mut numbers = BTreeSet::new();
    for entry in std::fs::read_dir("/proc/self/fd").map_err(open)? {
        let name = entry.map_err(open)?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // The one that listed them is closed by now.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// A user namespace makes it possible for everybody; without, the superuser can do it alone. Where
/// neither works, as in most containers, no socket can be made at all: seccomp sees to it.
fn namespaces() -> bool {
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC;
    unshare(CloneFlags::CLONE_NEWUSER | own).or_else(|_| unshare(own)).is_ok()
}

fn limit(limits: &Limits) -> nix::Result<()> {
    let set = |resource: Resource, most: Option<u64>| {
        let Some(most) = most else { return Ok(()) };
        let (_, hard) = getrlimit(resource)?;
        let most = most.min(hard);
        setrlimit(resource, most, most)
    };
    set(Resource::RLIMIT_CORE, Some(0))?;
    set(Resource::RLIMIT_NOFILE, limits.files)?;
    set(Resource::RLIMIT_DATA, limits.memory_bytes)?;
    set(Resource::RLIMIT_CPU, limits.cpu_s)?;
    set(Resource::RLIMIT_FSIZE, limits.file_bytes)
}
