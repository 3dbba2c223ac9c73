//! Starting this program once more, with nothing in its hands but one end of a socket.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{Error, Limits};

/// The only variable that the process has: what it is started for.
const MARK: &str = "SMRT_ISOLATED";

/// The program that does isolated work: by default the one that runs.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// Its path, where it is another.
    pub program: Option<PathBuf>,
    /// Its arguments; smrt itself needs none.
    pub arguments: Vec<OsString>,
}

/// A process that was started to do isolated work. It is killed when this is dropped.
#[derive(Debug)]
pub struct Apart {
    child: Child,
    #[cfg(target_os = "linux")]
    _group: Option<super::cgroup::Group>,
}

/// What this process was started for, if it was started to do isolated work.
pub fn asked() -> Option<String> {
    std::env::var(MARK).ok()
}

/// Keeps what this process holds in memory, keys and credentials, out of core files and from other
/// processes of the same user.
pub fn hide_memory() {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{Resource, setrlimit};
        // A container may forbid it, and nothing is worse then than before.
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
        let _ = nix::sys::prctl::set_dumpable(false);
    }
}

/// The socket that leads to the parent, in a process that was started for isolated work.
///
/// # Errors
/// When there is none.
#[cfg(unix)]
pub fn wire() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Elsewhere no process is started for isolated work.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn wire() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Launch {
    /// Starts the process, for `task`; it inherits standard error alone, and `output` as its standard
    /// output where something is to be handed down. Returns it with the socket that leads to it.
    ///
    /// # Errors
    /// [`Error::Start`]; [`Error::Again`] where this process is such a one itself.
    #[cfg(unix)]
    pub fn start(
        &self,
        task: &str,
        limits: &Limits,
        output: Stdio,
    ) -> Result<(Apart, File), Error> {
        use std::os::fd::OwnedFd;
        use std::os::unix::net::UnixStream;
        use std::os::unix::process::CommandExt;
        if asked().is_some() {
            return Err(Error::Again);
        }
        let (ours, theirs) = UnixStream::pair().map_err(Error::Start)?;
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(Error::Start)?,
        };
        let child = Command::new(program)
            .args(&self.arguments)
            .env_clear()
            .env(MARK, task)
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(output)
            // Ctrl-C is this process's to hear, and to pass on in its own way.
            .process_group(0)
            .spawn()
            .map_err(Error::Start)?;
        let _ = limits;
        let apart = Apart {
            #[cfg(target_os = "linux")]
            _group: super::cgroup::Group::around(child.id(), limits),
            child,
        };
        Ok((apart, File::from(OwnedFd::from(ours))))
    }

    /// Elsewhere nothing can be isolated.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(unix))]
    pub fn start(&self, _: &str, _: &Limits, _: Stdio) -> Result<(Apart, File), Error> {
        Err(Error::Lacking { what: "this system is not Linux".to_owned() })
    }
}

impl Apart {
    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; how it ended, when that was not well.
    pub fn end(&mut self) -> Option<String> {
        match self.child.wait() {
            Ok(status) if status.success() => None,
            Ok(status) => Some(how(status)),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn how(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("signal {signal}");
    }
    status.code().map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"))
}
