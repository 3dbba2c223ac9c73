//! `smrt inspect`: what an artifact is, with its key or without.

use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};

use super::open::{self, KeyOptions, StorageOptions};
use super::report::{metrics, plural};
use super::table::{Table, wrapped};
use super::{Error, Failure, output};
use crate::algorithm::{self, Importance};
use crate::data::{LabelNames, Signature, Task};
use crate::fault::{Fault, Kind, message};
use crate::model::{self, Contents, Inspection};
use crate::seal::HeaderInfo;
use crate::spec::limit::ARCHIVE_BYTES_MAX;
use crate::spec::unit::shown_bytes;

/// Columns of the longest line.
const WIDTH: usize = 100;
/// Names that are listed before the rest is only counted.
const NAMES_MAX: usize = 12;

/// Say what an artifact is: schema, metrics, provenance, who can open it
///
/// With the key, everything; without it, what the sealed header alone tells (unproved, and said to
/// be so). Nothing in an artifact is ever executed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt inspect model.tar.gz
  smrt inspect --format json s3://models/churn-demo/output/model.tar.gz

Environment:
  SMRT_HOME   where keys are kept (default: $XDG_DATA_HOME/smrt)")]
pub(super) struct Options {
    /// The model: a path, or s3://bucket/key
    #[arg(value_name = "ARTIFACT", value_hint = clap::ValueHint::FilePath)]
    artifact: String,

    /// Write the result for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,

    #[command(flatten)]
    storage: StorageOptions,

    #[command(flatten)]
    keys: KeyOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let store = options.storage.store();
    let uri = open::uri(&options.artifact)?;
    let bytes =
        store.read_to_vec(&uri, ARCHIVE_BYTES_MAX).map_err(|source| Error::Place { source })?;
    let opener = open::opener(options.keys.keys()?, &store, &uri);
    let inspection = opener.inspect(&bytes, &options.artifact)?;
    output::write(&match options.format {
        output::Format::Text => text(&options.artifact, &inspection),
        output::Format::Json => output::json(&as_json(&options.artifact, &inspection)),
    })?;
    // A missing key is not a failure: the header was asked about, too.
    let keyless = |error: &Arc<model::Error>| matches!(error.kind(), Kind::Denied | Kind::Caller);
    let failed = inspection.contents.err().filter(|error| !keyless(error));
    match failed.and_then(Arc::into_inner) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

fn text(place: &str, inspection: &Inspection) -> String {
    let mut text = match &inspection.contents {
        Ok(contents) => {
            let manifest = &contents.manifest;
            format!("{place}: {} model of the job {}\n\n", manifest.algorithm, manifest.job)
        }
        Err(_) => format!("{place}: a sealed artifact that could not be opened\n\n"),
    };
    let mut facts = Table::new(&[]);
    let size = format!("{} ({} bytes)", shown_bytes(inspection.bytes), inspection.bytes);
    facts.row(["size", &size]);
    facts.row(["sha256", &inspection.digest]);
    match &inspection.seal {
        Some(seal) => seal_facts(&mut facts, seal),
        None => facts.row(["sealed", "no: anybody can read it, nothing proves who made it"]),
    }
    match &inspection.contents {
        Ok(contents) => {
            let signer = contents.signer.as_ref().map_or_else(
                || "no".to_owned(),
                |hint| format!("by {hint}, it says: `smrt verify --key FILE` tells"),
            );
            facts.row(["signed", &signer]);
            signature_facts(&mut facts, &contents.manifest.signature);
            if contents.manifest.epochs > 0 {
                facts.row(["epochs", &contents.manifest.epochs.to_string()]);
            }
            text.push_str(&facts.text("  "));
            text.push_str(&sections(contents));
        }
        Err(error) => {
            text.push_str(&facts.text("  "));
            text.push_str(
                "\nWhat stands above is the header's own claim, unproved. Inside was not read:\n",
            );
            text.push_str(&wrapped(&message(error.as_ref()), "  ", WIDTH));
            if let Some(help) = error.help() {
                text.push_str(&wrapped(&help, "  ", WIDTH));
            }
        }
    }
    text
}

fn seal_facts(facts: &mut Table, seal: &HeaderInfo) {
    let suite = format!("AWS Encryption SDK message, suite {:04x}", seal.suite.id());
    facts.row(["sealed", &suite]);
    for holder in seal.holders() {
        facts.row(["opened by", &holder]);
    }
    for (key, value) in seal.context.iter() {
        facts.row(["context", &format!("{key} = {value}")]);
    }
}

fn signature_facts(facts: &mut Table, signature: &Signature) {
    let task = match (signature.task, signature.threshold) {
        (Task::BinaryClassification, Some(threshold)) => {
            format!("binary classification, positive from {threshold}")
        }
        (task, _) => task.words().into(),
    };
    facts.row(["task", &task]);
    let features = match signature.columns.as_slice() {
        [] => signature.features.to_string(),
        names => format!("{}: {}", signature.features, listed(names)),
    };
    let numbers = signature.features - signature.categories.len().min(signature.features);
    let features = match signature.categories.len() {
        0 => features,
        words => format!("{features} ({numbers} of numbers, {words} of words)"),
    };
    facts.row(["features", &features]);
    for (column, words) in signature.categories.iter().take(NAMES_MAX) {
        let name = signature.columns.get(*column).cloned();
        let name = name.unwrap_or_else(|| format!("feature {}", column + 1));
        let listed = listed(words);
        facts.row(["words", &format!("{name}, {}: {listed}", words.len())]);
    }
    if signature.categories.len() > NAMES_MAX {
        let more = signature.categories.len() - NAMES_MAX;
        facts.row(["words", &format!("… in {more} more columns")]);
    }
    if let Some(labels) = &signature.labels {
        let names: Vec<String> = match labels {
            LabelNames::Numbers(numbers) => numbers.iter().map(f32::to_string).collect(),
            LabelNames::Words(words) => words.clone(),
        };
        facts.row(["classes", &format!("{}: {}", names.len(), listed(&names))]);
    }
}

/// The first names, and how many more there are.
fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX {
        text.push_str(&format!(", … {} more", names.len() - NAMES_MAX));
    }
    text
}

fn sections(contents: &Contents) -> String {
    let manifest = &contents.manifest;
    let mut text = String::new();
    if !manifest.metrics.is_empty() {
        text.push_str("\nMetrics\n");
        text.push_str(&metrics(&manifest.metrics));
    }
    if let Some(columns) = importances(contents) {
        text.push_str(&important(&columns));
    }
    if !manifest.hyperparameters.is_empty() {
        text.push_str("\nHyperparameters in effect\n");
        let mut table = Table::new(&[]);
        for (name, value) in &manifest.hyperparameters {
            table.row([name.clone(), value.to_string()]);
        }
        text.push_str(&table.text("  "));
    }
    text.push_str("\nFiles\n");
    let mut table = Table::new(&[1]);
    for (name, bytes) in &contents.files {
        table.row([name.clone(), shown_bytes(bytes.len() as u64)]);
    }
    text.push_str(&table.text("  "));
    match contents.provenance.is_null() {
        true => text.push_str("\nMade by another library, which says nothing of the data.\n"),
        false => text.push_str(&provenance(&contents.provenance)),
    }
    text
}

/// What the columns are worth, where the algorithm tells; a model that cannot be opened tells
/// nothing here, and why when it is opened.
fn importances(contents: &Contents) -> Option<Vec<Importance>> {
    let Contents { manifest, files, .. } = contents;
    let definition = algorithm::Table::builtin().get(&manifest.algorithm)?;
    definition.importances(&manifest.signature, files).ok().flatten()
}

/// The columns that decide most.
fn important(columns: &[Importance]) -> String {
    let mut table = Table::new(&[1, 2, 3]);
    table.row(["", "gain", "cover", "weight"]);
    for column in columns.iter().take(NAMES_MAX) {
        let Importance { gain, cover, weight, .. } = column;
        let figures = [format!("{gain:.4}"), format!("{cover:.1}"), weight.to_string()];
        table.row(std::iter::once(column.column.clone()).chain(figures));
    }
    if columns.len() > NAMES_MAX {
        table.row([format!("… {} more", columns.len() - NAMES_MAX)]);
    }
    format!("\nColumns that decide (by the loss their splits save together)\n{}", table.text("  "))
}

/// The inputs of the in-toto statement, and what computed.
fn provenance(statement: &Value) -> String {
    let build = &statement["predicate"]["buildDefinition"];
    let mut text = String::new();
    let inputs = build["resolvedDependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !inputs.is_empty() {
        text.push_str(&format!("\nMade from {}\n", plural(inputs.len() as u64, "object")));
        let mut table = Table::new(&[]);
        for input in inputs.iter().take(NAMES_MAX) {
            let of = |value: &Value| value.as_str().unwrap_or("?").to_owned();
            let channel = of(&input["annotations"]["channel"]);
            table.row([channel, of(&input["uri"]), of(&input["digest"]["sha256"])]);
        }
        if inputs.len() > NAMES_MAX {
            table.row(["…".to_owned(), format!("{} more", inputs.len() - NAMES_MAX)]);
        }
        text.push_str(&table.text("  "));
    }
    let mut facts = Table::new(&[]);
    let known = [
        ("smrt", &statement["predicate"]["runDetails"]["builder"]["version"]["smrt"]),
        ("seed", &build["externalParameters"]["seed"]),
        ("device", &build["internalParameters"]["device"]),
        ("threads", &build["internalParameters"]["threads"]),
    ];
    for (name, value) in known.into_iter().filter(|(_, value)| !value.is_null()) {
        facts.row([name.to_owned(), value.as_str().map_or(value.to_string(), str::to_owned)]);
    }
    text.push_str("\nMade by\n");
    text.push_str(&facts.text("  "));
    text
}

fn as_json(place: &str, inspection: &Inspection) -> Value {
    let seal = inspection.seal.as_ref().map(|seal| {
        let context: Map<String, Value> =
            seal.context.iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        let keys: Vec<Value> = seal
            .keys
            .iter()
            .map(|key| json!({ "provider": key.provider, "key": key.key_name() }))
            .collect();
        json!({
            "suite": format!("{:04x}", seal.suite.id()),
            "message_id": hex(&seal.message_id),
            "context": context,
            "keys": keys,
            "frame_bytes": seal.frame_bytes,
            "proved": inspection.contents.is_ok(),
        })
    });
    let (contents, error) = match &inspection.contents {
        Ok(contents) => (Some(contents), None),
        Err(error) => (None, Some(message(error.as_ref()))),
    };
    json!({
        "artifact": place,
        "bytes": inspection.bytes,
        "sha256": inspection.digest,
        "seal": seal,
        "manifest": contents.map(|contents| &contents.manifest),
        "files": contents.map(|contents| contents.files.keys().collect::<Vec<_>>()),
        "signer": contents.map(|contents| &contents.signer),
        "importances": contents.and_then(importances),
        "provenance": contents.map(|contents| &contents.provenance),
        "error": error,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
