//! `smrt iam`: users, roles, keys and policies, and what they come to.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::{Error, Failure, open};
use crate::iam::state::State;
use crate::seal::home_folder;
use crate::spec::limit::POLICY_BYTES_MAX;

mod decide;
mod keeper;
mod least;
mod manage;
mod serve;
mod shown;

/// Say who may do what: users, roles, access keys and policies, as AWS's IAM
///
/// Commands and options are named as the AWS CLI's `aws iam` (and `aws sts assume-role`), and answer
/// with the same JSON. The state is one sealed file, changed as a whole or not at all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt iam check policy.json
  smrt iam create-user --user-name teller
  smrt iam put-user-policy --user-name teller --policy-name invoke --policy-document invoke.json
  smrt iam create-access-key --user-name teller
  smrt iam explain --user-name teller --action-names sagemaker:InvokeEndpoint \\
      --resource-arns arn:aws:sagemaker:us-east-1:000000000000:endpoint/fraud
  smrt iam least job.toml

Environment:
  SMRT_HOME   where keys and the state are kept (default: $XDG_DATA_HOME/smrt)")]
pub(super) struct Options {
    /// The state file [default: iam/state in SMRT_HOME]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    state: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(decide::Check),
    Simulate(decide::Simulate),
    Explain(decide::Explain),
    Least(least::Least),
    Serve(serve::Serve),
    #[command(flatten)]
    Manage(manage::Command),
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    match &options.command {
        Command::Check(check) => decide::check(check),
        Command::Simulate(simulate) => decide::simulate(simulate, options.state.as_ref()),
        Command::Explain(explain) => decide::explain(explain, options.state.as_ref()),
        Command::Least(options) => least::run(options),
        Command::Serve(serving) => serve::run(serving, options.state.as_ref()),
        Command::Manage(command) => manage::run(command, &state(options.state.as_ref())?),
    }
}

/// The state at `path`, or where it is kept by default.
pub(super) fn state(path: Option<&PathBuf>) -> Result<State, Failure> {
    let path = match path {
        Some(path) => path.clone(),
        None => home_folder(|name| std::env::var_os(name))?.join("iam").join("state"),
    };
    Ok(State::new(path, Arc::new(keeper::Sealed::new(open::local_keys()?))))
}

/// A policy's name and text: a file, `file://` and a file, or the text itself.
fn document(given: &str) -> Result<(String, String), Failure> {
    if given.trim_start().starts_with('{') {
        return Ok(("policy".into(), given.into()));
    }
    let path = given.strip_prefix("file://").unwrap_or(given);
    let failed = |source| Error::ReadData { place: path.into(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bounded = std::io::Read::take(file, POLICY_BYTES_MAX as u64 + 1);
    std::io::Read::read_to_string(&mut bounded, &mut text).map_err(failed)?;
    Ok((path.into(), text))
}
