//! The command line, one file per command.
//!
//! Results go to standard output, everything else (progress, logs, mistakes) to standard error.
//! Exit codes: 0 done, 1 the work failed, 2 the caller's mistake. Nothing is decided here that a
//! program using the library would want to decide the same way.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::fault::Fault;

mod acting;
mod algorithms;
mod audit;
mod audited;
mod bench;
mod check;
mod completions;
mod data;
mod digests;
mod endpoint;
mod error;
mod events;
mod iam;
mod inspect;
mod job;
mod keys;
mod logging;
mod open;
mod output;
mod predict;
mod progress;
mod report;
mod reseal;
mod series;
mod serve;
mod sign;
mod signal;
mod table;
mod tls;
mod told;
mod train;
mod transform;
mod trust;
mod verify;

pub use error::Error;
use logging::Logging;

/// Any room's error, as a command passes it on.
type Failure = Box<dyn Fault>;

impl<F: Fault> From<F> for Failure {
    fn from(fault: F) -> Failure {
        Box::new(fault)
    }
}

/// Train, seal and serve machine-learning models with SageMaker's contracts.
#[derive(Debug, Parser)]
#[command(name = "smrt", version, max_term_width = 100, after_help = AFTER_HELP)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    logging: Logging,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  smrt check job.toml                     find every mistake in a job before it runs
  smrt train job.toml                     train a model and seal it
  smrt serve model.tar.gz                 answer predictions on http://127.0.0.1:8080
  smrt predict model.tar.gz rows.csv      answer predictions here and now
  smrt transform job.toml                 answer whole objects of a folder or bucket
  smrt data describe train.csv test.csv   look through the data before training
  smrt keys list                          who can open what smrt sealed

Environment:
  SMRT_HOME   where keys are kept (default: $XDG_DATA_HOME/smrt)
  SMRT_KEYS_PASSPHRASE, SMRT_KEYS_PASSPHRASE_FILE, SMRT_KEYS_FILE
              what unlocks them, after `smrt keys protect`
  SMRT_AUDIT  the audit log that everything done is recorded in, and nothing is done without
  SMRT_AUDIT_DIGESTS
              where its signed digests and copies go, every hour that a server runs
  SMRT_LOG    what is logged, e.g. debug or info,smrt::store=debug
  AWS_*       how to reach s3:// (region, endpoint, credentials, profile)

`smrt COMMAND --help` explains a command with examples.";

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Options),
    Serve(Box<serve::Options>),
    Predict(predict::Options),
    Transform(transform::Options),
    Inspect(inspect::Options),
    Keys(keys::Options),
    Reseal(reseal::Options),
    Sign(sign::Options),
    Verify(verify::Options),
    Bench(bench::Options),
    Data(data::Options),
    Iam(iam::Options),
    Audit(audit::Options),
    Check(check::Options),
    Algorithms(algorithms::Options),
    Completions(completions::Options),
}

/// Runs the command that `arguments` name (the program's own name first) and says how it went.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = match command().try_get_matches_from(arguments) {
        Ok(matches) => Arguments::from_arg_matches(&matches),
        Err(error) => Err(error),
    };
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version go to standard output; a closed one is nobody's mistake.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let outcome = run(&parsed);
    audited::close();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::show(failure.as_ref(), parsed.logging.is_json());
            ExitCode::from(failure.kind().exit_code())
        }
    }
}

/// The whole command, for parsing and for completions.
fn command() -> clap::Command {
    Arguments::command()
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let logging = &arguments.logging;
    // A bar and log lines would write over each other.
    let has_bar = matches!(arguments.command, Command::Train(_)) && logging.wants_bar();
    let _written_when_dropped = logging.install(has_bar)?;
    match &arguments.command {
        Command::Train(options) => train::run(options, logging),
        Command::Serve(options) => serve::run(options, logging),
        Command::Predict(options) => predict::run(options),
        Command::Transform(options) => transform::run(options),
        Command::Inspect(options) => inspect::run(options),
        Command::Keys(options) => keys::run(options),
        Command::Reseal(options) => reseal::run(options),
        Command::Sign(options) => sign::run(options),
        Command::Verify(options) => verify::run(options),
        Command::Bench(options) => bench::run_command(options),
        Command::Data(options) => data::run(options),
        Command::Iam(options) => iam::run(options),
        Command::Audit(options) => audit::run(options),
        Command::Check(options) => check::run(options),
        Command::Algorithms(options) => algorithms::run(options),
        Command::Completions(options) => completions::run(options),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_sound() {
        super::command().debug_assert();
    }

    #[test]
    fn no_line_of_any_help_is_wider_than_a_hundred_columns() {
        let mut commands = vec![super::command()];
        commands.extend(super::command().get_subcommands().cloned());
        for mut command in commands {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{name}: {line}");
            }
        }
    }
}
