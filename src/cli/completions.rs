//! `smrt completions`: what a shell needs to complete commands and options.

use clap::Args;
use clap_complete::Shell;

use super::{Failure, command, output};

/// Write a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt completions bash > ~/.local/share/bash-completion/completions/smrt
  smrt completions zsh > ~/.zfunc/_smrt
  smrt completions fish > ~/.config/fish/completions/smrt.fish")]
pub(super) struct Options {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command(), "smrt", &mut script);
    output::write(&String::from_utf8_lossy(&script))
}
