//! `smrt transform`: objects in, `.out` objects out.

use clap::Args;

use super::acting::{self, Means, RoleOptions};
use super::job::JobOptions;
use super::report::{for_shell, plural};
use super::signal::stop_on_signal;
use super::table::{Table, count, seconds};
use super::{Failure, audited, output};
use crate::spec::unit::shown_bytes;
use crate::telemetry::audit::SAGEMAKER;
use crate::train::Stop;
use crate::transform::{self, Job, Report};

/// Answer whole objects with a model: SageMaker's batch transform
///
/// Each input object gets one output of the same name with .out behind it, and each record of it
/// exactly one answer, in order. An object with a wrong record fails by name and line and leaves
/// nothing; the others are done. Memory does not grow with the data. After Ctrl-C, a failure or a
/// kill, --resume keeps the outputs that are whole and makes the others.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt check transform.toml
  smrt transform transform.toml
  smrt transform --set input.uri=s3://data/today/ transform.toml
  smrt transform --resume transform.toml       go on, or answer only what is new

The job file (SageMaker's CreateTransformJob):
  [job]
  name = \"churn-scores\"
  [model]
  uri = \"s3://models/churn/output/model.tar.gz\"
  [input]
  uri = \"s3://data/customers/\"
  content_type = \"text/csv\"
  split_type = \"Line\"
  [output]
  uri = \"s3://scores/customers/\"
  assemble_with = \"Line\"
  [data_processing]
  input_filter = \"$[1:]\"       the first column is an id
  join_source = \"Input\"
  output_filter = \"$[0,-1]\"    id and score

Environment:
  SMRT_HOME   where keys are kept (default: $XDG_DATA_HOME/smrt)
  AWS_*       how to reach s3://, where the job has no [storage.s3]")]
pub(super) struct Options {
    #[command(flatten)]
    job: JobOptions,

    /// Keep the outputs that an earlier run has made, and make the others
    #[arg(long)]
    resume: bool,

    /// Record the job and every use of a key in this file [default: SMRT_AUDIT]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    audit: Option<std::path::PathBuf>,

    /// Write the report for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,

    // The last: its heading would be above what follows it.
    #[command(flatten)]
    role: RoleOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let job = options.job.read_transform()?;
    let stop = Stop::new();
    stop_on_signal(stop.clone(), "stopping; once more stops at once")?;
    audited::log(options.audit.as_ref())?;
    let region = acting::region(&job.storage);
    let account = acting::account(job.role.as_ref());
    let arn = format!("arn:aws:sagemaker:{region}:{account}:transform-job/{}", job.name);
    let act = audited::Act {
        source: SAGEMAKER,
        name: "CreateTransformJob",
        principal: options.role.caller(),
        region: &region,
        resource: &arn,
        parameters: vec![
            ("transformJobName", job.name.as_str().into()),
            ("roleArn", job.role.as_ref().map(|role| role.as_str()).into()),
            ("s3OutputPath", job.output.uri.to_string().into()),
        ],
    };
    let report = act.recorded(|| {
        let Means { store, keys } = options.role.of_transform(&job)?;
        let job = Job::new(job.clone(), keys).store(store).stop(move || stop.requested());
        job.resume(options.resume).run().map_err(|error: transform::Error| Failure::from(error))
    })?;
    output::write(&match options.format {
        output::Format::Text => text(&report),
        output::Format::Json => output::json(&report),
    })
}

/// What a finished transform says.
fn text(report: &Report) -> String {
    let (objects, records) = (plural(report.objects as u64, "object"), report.records);
    let mut facts = Table::new(&[]);
    let made = report.objects - report.kept;
    facts.row([
        "read".to_owned(),
        format!(
            "{} from {}, {}",
            plural(records, "record"),
            plural(made as u64, "object"),
            shown_bytes(report.bytes_in)
        ),
    ]);
    facts.row(["wrote".to_owned(), shown_bytes(report.bytes_out)]);
    if report.kept > 0 {
        facts.row([
            "kept".to_owned(),
            format!("{} done before", plural(report.kept as u64, "object")),
        ]);
    }
    if records > 0 && report.elapsed_s > 0.0 {
        let per_s = (records as f64 / report.elapsed_s).round() as u64;
        facts.row(["speed".to_owned(), format!("{} records/s", count(per_s))]);
    }
    facts.row(["output".to_owned(), for_shell(&report.output.to_string())]);
    if let Some(key) = &report.key {
        facts.row(["key", key]);
    }
    facts.row(["model".to_owned(), format!("{} ({})", report.model, &report.model_sha256[..16])]);
    format!(
        "{}: {objects} transformed in {}\n\n{}",
        report.job,
        seconds(report.elapsed_s),
        facts.text("  ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::uri::Uri;

    #[test]
    fn a_report_says_what_was_read_what_was_kept_and_where_the_answers_are() {
        let report = Report {
            job: "scores".into(),
            model: "churn".into(),
            model_sha256: "0123456789abcdef0123".into(),
            objects: 3,
            kept: 1,
            records: 2500,
            bytes_in: 409_600,
            bytes_out: 2_048,
            output: Uri::File("my scores".into()),
            key: None,
            concurrent: 2,
            elapsed_s: 0.5,
        };
        let expected = "\
scores: 3 objects transformed in 0.5 s

  read    2,500 records from 2 objects, 400 KiB
  wrote   2 KiB
  kept    1 object done before
  speed   5,000 records/s
  output  'my scores'
  model   churn (0123456789abcdef)
";
        assert_eq!(text(&report), expected);
    }
}
