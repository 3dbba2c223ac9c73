//! Log set-up, for the binary alone: a library that installs a subscriber takes the choice from
//! the program around it.
//!
//! Lines go to standard error: `2026-11-23T18:00:00.123Z info request completed status=200 …`, or
//! one JSON object each. Completion lines of requests ([`ACCESS`]) are buffered per thread and
//! written many at a time; every other line is written at once, after those that waited.

use std::cell::RefCell;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::{line, sink::Sink};
use crate::fault::{Fault, Kind};

/// Target of the completion event of each request. `SMRT_LOG=info,smrt::access=off` silences it.
pub const ACCESS: &str = "smrt::access";

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err("use text or json".into()),
        }
    }
}

/// What was wrong with the set-up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `SMRT_LOG`, `RUST_LOG` or the level given cannot be read.
    #[error("{origin}: {text:?} is not a log filter: {why}")]
    Filter {
        /// Where it was written.
        origin: &'static str,
        /// What was written.
        text: String,
        /// The parser's reason.
        why: String,
    },
    /// The process has a subscriber already.
    #[error("this process has a log subscriber already")]
    Installed,
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        Kind::Caller
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Filter { .. } => {
                Some("write a level (error, warn, info, debug, trace) or target=level, …".into())
            }
            Error::Installed => Some("install logging once, from the program's main".into()),
        }
    }
}

/// Writes what still waits when it is dropped. Keep it until the process ends.
#[must_use = "lines that still wait are written when this is dropped"]
pub struct Guard {
    sink: Arc<Sink>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.sink.flush();
    }
}

/// Sends events of this process to standard error. `level` (`info`, or a filter such as
/// `info,smrt::access=off`) applies where neither `SMRT_LOG` nor `RUST_LOG` is set. `is_terminal`
/// turns on colours. A panic anywhere becomes an `error` line.
///
/// # Errors
/// When a filter cannot be read, or the process has a subscriber already.
pub fn install(format: Format, level: &str, is_terminal: bool) -> Result<Guard, Error> {
    let filter = filter(level)?;
    let chosen = Chosen { format, filter: filter.to_string(), is_terminal };
    let sink = Sink::new(Box::new(std::io::stderr()));
    let lines = Lines { format, colour: is_terminal, sink: Arc::clone(&sink) };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Installed)?;
    let _ = CHOSEN.set(chosen);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| (place.file(), place.line())).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("no message");
        let thread = std::thread::current();
        tracing::error!(
            what,
            file = place.0,
            line = place.1,
            thread = thread.name().unwrap_or("unnamed"),
            "a thread panicked"
        );
    }));
    Ok(Guard { sink })
}

/// How this process logs, for another that logs beside it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Chosen {
    format: Format,
    filter: String,
    is_terminal: bool,
}

impl Chosen {
    /// Logs in the same way, in another process.
    ///
    /// # Errors
    /// As [`install`].
    pub fn install(&self) -> Result<Guard, Error> {
        install(self.format, &self.filter, self.is_terminal)
    }
}

static CHOSEN: OnceLock<Chosen> = OnceLock::new();

/// How this process logs; `None` when that is not [`install`]'s doing.
pub fn chosen() -> Option<Chosen> {
    CHOSEN.get().cloned()
}

fn filter(level: &str) -> Result<EnvFilter, Error> {
    let written = |name: &'static str| {
        std::env::var(name).ok().filter(|text| !text.trim().is_empty()).map(|text| (name, text))
    };
    let (origin, text) = written("SMRT_LOG")
        .or_else(|| written("RUST_LOG"))
        .unwrap_or_else(|| ("--log-level", level.to_owned()));
    EnvFilter::builder().parse(&text).map_err(|why| Error::Filter {
        origin,
        text,
        why: why.to_string(),
    })
}

/// Turns events into lines.
struct Lines {
    format: Format,
    colour: bool,
    sink: Arc<Sink>,
}

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        LINE.with(|line| {
            // A value whose Debug logs would come back here: its line is formed on its own.
            let Ok(mut bytes) = line.try_borrow_mut() else { return };
            bytes.clear();
            line::write(&mut bytes, self.format, self.colour, event);
            if event.metadata().target() == ACCESS {
                self.sink.buffered(&bytes);
            } else {
                self.sink.direct(&bytes);
            }
        });
    }
}
