//! `smrt data`: what tables hold, and the same rows in another format.

use clap::{Args, Subcommand};

use super::Failure;

mod convert;
mod describe;

/// Look through data, or write them in another format
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Convert(convert::Options),
    Describe(describe::Options),
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    match &options.command {
        Command::Convert(options) => convert::run(options),
        Command::Describe(options) => describe::run(options),
    }
}
