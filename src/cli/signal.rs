//! Ctrl-C, SIGTERM and SIGHUP: the first asks, the second ends.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Error, Failure};
use crate::train::Stop;

/// Makes the first signal request `stop`; `hint` is then said once. A second one exits at once.
pub(super) fn stop_on_signal(stop: Stop, hint: &'static str) -> Result<(), Failure> {
    let signals = AtomicUsize::new(0);
    let handler = move || match signals.fetch_add(1, Ordering::Relaxed) {
        0 => {
            stop.request();
            match std::io::stderr().is_terminal() {
                // Over the progress bar, which is drawn again below.
                true => drop(write!(std::io::stderr(), "\r\x1b[2K{hint}\n")),
                false => tracing::warn!("{hint}"),
            }
        }
        _ => std::process::exit(1),
    };
    Ok(ctrlc::set_handler(handler).map_err(Error::Signal)?)
}
