//! Which lines go to standard error, and how they look.

use std::io::IsTerminal;

use clap::{ArgAction, Args, ValueEnum};

use super::Failure;
use crate::telemetry::log::{self, Format, Guard};

/// Options that every command has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub(super) struct Logging {
    /// How log lines and errors are written to standard error: for people or as JSON lines
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,

    /// Log this level and what is graver; SMRT_LOG can say more
    #[arg(long, global = true, value_enum, value_name = "LEVEL")]
    log_level: Option<Level>,

    /// Log more: -v debug, -vv trace
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "log_level")]
    verbose: u8,

    /// Log warnings and errors only, and show no progress
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "log_level"])]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Logging {
    /// Installs the process's subscriber. Beside a progress bar only warnings are logged. Keep the
    /// guard until the end.
    pub(super) fn install(&self, has_bar: bool) -> Result<Guard, Failure> {
        let format = match self.log_format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        };
        let level = if has_bar { "warn" } else { self.level() };
        Ok(log::install(format, level, std::io::stderr().is_terminal())?)
    }

    /// Whether standard error is read by a program.
    pub(super) fn is_json(&self) -> bool {
        self.log_format == LogFormat::Json
    }

    /// Whether progress is shown at all.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether progress is a bar: on a terminal, unless lines were asked for.
    pub(super) fn wants_bar(&self) -> bool {
        let lines_asked = self.verbose > 0
            || self.log_level.is_some()
            || std::env::var_os("SMRT_LOG").is_some_and(|filter| !filter.is_empty());
        !self.quiet && !self.is_json() && !lines_asked && std::io::stderr().is_terminal()
    }

    fn level(&self) -> &'static str {
        match (self.log_level, self.verbose, self.quiet) {
            (Some(level), _, _) => match level {
                Level::Error => "error",
                Level::Warn => "warn",
                Level::Info => "info",
                Level::Debug => "debug",
                Level::Trace => "trace",
            },
            (None, 0, true) => "warn",
            (None, 0, false) => "info",
            (None, 1, _) => "info,smrt=debug",
            (None, _, _) => "info,smrt=trace",
        }
    }
}
