//! `smrt audit`: whether a log is whole, and what stands in it.

use std::collections::VecDeque;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::open::StorageOptions;
use super::{Failure, digests, open, output};
use crate::telemetry::audit::{self, Line};
use crate::trail;

/// Look through an audit log: CloudTrail's records, each chained to the one before
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt audit verify audit.jsonl
  smrt audit verify --head 5f6e3b… audit.jsonl
  smrt audit query --event-name InvokeEndpoint --error-code AccessDeniedException audit.jsonl
  smrt audit tail -n 3 audit.jsonl
  smrt audit digest --to s3://trail/host-7 audit.jsonl
  smrt audit verify --digests s3://trail/host-7 audit.jsonl")]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(Verify),
    Digest(Digest),
    Key(Key),
    Query(Query),
    Tail(Tail),
}

/// Follow the whole chain; say where it breaks, or its head to keep in a second place
#[derive(Debug, Args)]
struct Verify {
    /// The log
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// A head that was told earlier: its record must be in the chain
    #[arg(long, value_name = "SHA256")]
    head: Option<String>,

    /// Where the log's signed digests are: they and the log are held against each other
    #[arg(long, value_name = "PLACE")]
    digests: Option<String>,

    /// The public key of who signed them [default: audit/key.pub in SMRT_HOME]
    #[arg(long, value_name = "FILE", requires = "digests", value_hint = clap::ValueHint::FilePath)]
    public_key: Option<PathBuf>,

    #[command(flatten)]
    storage: StorageOptions,
}

/// Sign what has come to the log since the last digest, and copy it to a second place
#[derive(Debug, Args)]
struct Digest {
    /// The log
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// Where to: a folder, or s3://bucket/prefix that who writes the log may not change
    #[arg(long, value_name = "PLACE")]
    to: String,

    #[command(flatten)]
    storage: StorageOptions,
}

/// Write the public key that digests are verified with, made at its first use
#[derive(Debug, Args)]
struct Key {}

/// Write the records that fit, a line each
#[derive(Debug, Args)]
struct Query {
    /// The log
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// Only what was done, e.g. InvokeEndpoint
    #[arg(long, value_name = "NAME")]
    event_name: Option<String>,

    /// Only what this ARN or user did
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,

    /// Only what failed so, e.g. AccessDeniedException
    #[arg(long, value_name = "CODE")]
    error_code: Option<String>,

    /// Only from this time on, e.g. 2026-11-25T19:00:00Z
    #[arg(long, value_name = "TIME")]
    start_time: Option<String>,

    /// Only before this time
    #[arg(long, value_name = "TIME")]
    end_time: Option<String>,
}

/// Write the last records
#[derive(Debug, Args)]
struct Tail {
    /// The log
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// How many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    lines: usize,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    match &options.command {
        Command::Verify(Verify { file, digests: Some(place), public_key, storage, .. }) => {
            let public = digests::public_key(public_key.as_ref())?;
            let place = open::uri(place)?;
            let told = trail::verify(file, &place, &storage.store(), &public)?;
            let (file, records) = (file.display(), told.chain.records);
            output::write(&format!(
                "{file}: {records} records, the chain holds; {} digests vouch for {} of them\nhead {}\n",
                told.digests, told.vouched, told.chain.head
            ))
        }
        Command::Digest(options) => {
            let place = open::uri(&options.to)?;
            let notary = digests::notary()?;
            let made = trail::digest(&options.file, &place, &options.storage.store(), &notary)?;
            output::write(&format!("{}: {} records signed\n", made.uri, made.records))
        }
        Command::Key(_) => {
            output::write(&format!("{}\n", hex::encode(digests::notary()?.public())))
        }
        Command::Verify(verify) => {
            let chain = audit::verify(&verify.file, verify.head.as_deref())?;
            let (file, records) = (verify.file.display(), chain.records);
            let plural = if records == 1 { "" } else { "s" };
            let head = chain.head;
            output::write(&format!(
                "{file}: {records} record{plural}, the chain holds\nhead {head}\n"
            ))
        }
        Command::Query(query) => {
            let mut text = String::new();
            let outcome = audit::read(&query.file, |line| {
                if query.fits(&line.record) {
                    text.push_str(&line.text);
                    text.push('\n');
                }
            });
            // What stands before a break is shown, and then the break.
            output::write(&text)?;
            Ok(outcome.map(drop)?)
        }
        Command::Tail(tail) => {
            let mut last: VecDeque<Line> = VecDeque::new();
            let outcome = audit::read(&tail.file, |line| {
                last.push_back(line.clone());
                if last.len() > tail.lines {
                    last.pop_front();
                }
            });
            let text: String = last.iter().map(|line| format!("{}\n", line.text)).collect();
            output::write(&text)?;
            Ok(outcome.map(drop)?)
        }
    }
}

impl Query {
    fn fits(&self, record: &Value) -> bool {
        let is = |wanted: &Option<String>, value: &Value| {
            wanted.as_deref().is_none_or(|wanted| value.as_str() == Some(wanted))
        };
        let who = &record["userIdentity"];
        // CloudTrail's times are of one form, and sort as texts do.
        let time = record["eventTime"].as_str().unwrap_or_default();
        is(&self.event_name, &record["eventName"])
            && is(&self.error_code, &record["errorCode"])
            && (is(&self.principal, &who["arn"]) || is(&self.principal, &who["userName"]))
            && self.start_time.as_deref().is_none_or(|start| time >= start)
            && self.end_time.as_deref().is_none_or(|end| time < end)
    }
}
