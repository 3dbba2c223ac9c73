//! A control group of its own for a process, where this user may make one below that of this
//! process: systemd's `Delegate=yes`, or the superuser. What it adds to resource limits is that all
//! memory counts, that of the page cache too, and that processor time is a share and not a total.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Limits;

/// A control group; removed when dropped, once its process has ended.
#[derive(Debug)]
pub(super) struct Group(PathBuf);

impl Group {
    /// Makes one with these limits and puts `process` into it; `None` where that is not possible.
    pub(super) fn around(process: u32, limits: &Limits) -> Option<Group> {
        let memory = limits.memory_bytes?;
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own(&groups)?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let group = Group(mounted(&mounts)?.join(own).join(format!("smrt-{process}")));
        fs::create_dir(&group.0).ok()?;
        group.fill(process, memory).ok()?;
        Some(group)
    }

    fn fill(&self, process: u32, memory: u64) -> io::Result<()> {
        // Fails where the controller was not handed down: then the group is of no use.
        fs::write(self.0.join("memory.max"), memory.to_string())?;
        // What may be swapped out is not bounded by the first.
        let _ = fs::write(self.0.join("memory.swap.max"), "0");
        fs::write(self.0.join("cgroup.procs"), process.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// The path of this process in the one hierarchy of version 2.
fn own(text: &str) -> Option<&Path> {
    let line = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(line))
}

/// Where that hierarchy is mounted.
fn mounted(text: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let place = before.split(' ').nth(4)?;
        after.starts_with("cgroup2 ").then(|| PathBuf::from(place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_of_version_two_is_found() {
        let mounts = "31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      42 24 0:39 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mounted(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mounted("31 24 0:27 / /sys rw - sysfs sysfs rw"), None);
        assert_eq!(
            own("4:memory:/x\n0::/user.slice/a.scope\n"),
            Some(Path::new("user.slice/a.scope"))
        );
        assert_eq!(own("4:memory:/x\n"), None);
    }
}
