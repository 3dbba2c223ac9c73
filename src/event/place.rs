//! Where events go.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::error::Error;
use super::webhook::Webhook;

/// How long a command may take with one event.
const COMMAND_TIME: Duration = Duration::from_secs(30);
/// Between two looks at whether a command has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A place for events.
pub enum Place {
    /// Appended to this file, a line each.
    File(PathBuf),
    /// Posted, signed.
    Webhook(Box<Webhook>),
    /// This program is run with the event on its standard input.
    Command(PathBuf),
}

impl Place {
    /// Reads a place: a path, `http(s)://…`, or `exec:PROGRAM`. `secret` signs what a webhook gets.
    ///
    /// # Errors
    /// [`Error::Place`], and [`Error::Unsigned`] for a webhook without a secret.
    pub fn read(text: &str, secret: Option<&str>) -> Result<Place, Error> {
        if let Some(program) = text.strip_prefix("exec:").filter(|program| !program.is_empty()) {
            return Ok(Place::Command(program.into()));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            let secret = secret.filter(|secret| !secret.is_empty());
            let secret = secret.ok_or_else(|| Error::Unsigned { url: shown(text) })?;
            return Webhook::new(text, secret).map(Box::new).map(Place::Webhook);
        }
        match text.is_empty() || text.contains("://") {
            true => Err(Error::Place { given: shown(text) }),
            false => Ok(Place::File(text.into())),
        }
    }

    pub(super) fn deliver(&self, event: &[u8]) -> Result<(), Error> {
        match self {
            Place::File(path) => append(path, event)
                .map_err(|source| Error::Io { what: path.display().to_string(), source }),
            Place::Webhook(webhook) => webhook.post(event),
            Place::Command(program) => run(program, event),
        }
    }
}

/// Without user, password and query.
fn shown(url: &str) -> String {
    let front = url.split(['?', '#']).next().unwrap_or_default();
    match front.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => front.to_owned(),
    }
}

fn append(path: &std::path::Path, event: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    // One write, so that lines of several processes do not mix.
    file.write_all(&[event, b"\n"].concat())
}

fn run(program: &std::path::Path, event: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Io { what: program.display().to_string(), source };
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let mut stdin = child.stdin.take();
    // An event is smaller than a pipe; a program that reads nothing is no failure.
    let _ = stdin.as_mut().map(|stdin| stdin.write_all(event));
    drop(stdin);
    let deadline = Instant::now() + COMMAND_TIME;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(Error::Refused { what: format!("{}: {status}", program.display()) });
            }
            None if Instant::now() >= deadline => {
                let _ = child.kill();
                let _ = child.wait();
                let what = format!("{}: it took longer than it may", program.display());
                return Err(Error::Refused { what });
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) | Place::Command(path) => write!(f, "{}", path.display()),
            Place::Webhook(webhook) => f.write_str(&shown(webhook.url())),
        }
    }
}
