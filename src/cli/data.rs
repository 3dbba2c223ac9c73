//! `smrt data`: what tables hold.

use clap::{Args, Subcommand};

use super::Failure;

mod describe;

/// Look through data
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Describe(describe::Options),
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    match &options.command {
        Command::Describe(options) => describe::run(options),
    }
}
