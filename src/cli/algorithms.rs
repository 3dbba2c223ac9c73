//! `smrt algorithms`: what can be trained, and each one's parameters.

use clap::Args;
use serde_json::{Value, json};

use super::table::{Table, wrapped};
use super::{Error, Failure, output};
use crate::algorithm::parameter::Parameter;
use crate::algorithm::{self, Definition};

/// Columns of the longest line.
const WIDTH: usize = 100;

/// List the algorithms, or explain one algorithm's hyperparameters
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrt algorithms                         what can be trained
  smrt algorithms linear-learner          its hyperparameters: default, allowed values, meaning
  smrt algorithms --format json           the same for scripts")]
pub(super) struct Options {
    /// One algorithm's name
    name: Option<String>,

    /// Write the result for people or for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: output::Format,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let table = algorithm::Table::builtin();
    let Some(name) = &options.name else {
        return output::write(&match options.format {
            output::Format::Text => list(&table),
            output::Format::Json => {
                output::json(&table.iter().map(|d| as_json(d.as_ref())).collect::<Value>())
            }
        });
    };
    let Some(definition) = table.get(name) else {
        let help = match table.nearest(name) {
            Some(near) => format!("did you mean {near:?}? `smrt algorithms` lists them all"),
            None => "`smrt algorithms` lists them all".into(),
        };
        return Err(Error::UnknownAlgorithm { given: name.clone(), help }.into());
    };
    output::write(&match options.format {
        output::Format::Text => page(definition.as_ref()),
        output::Format::Json => output::json(&as_json(definition.as_ref())),
    })
}

fn list(table: &algorithm::Table) -> String {
    let mut lines = Table::new(&[]);
    for definition in table.iter() {
        lines.row([definition.name(), definition.summary()]);
    }
    format!("{}\n`smrt algorithms NAME` explains one with its hyperparameters.\n", lines.text(""))
}

/// One algorithm: what must be given, then what may be.
fn page(definition: &dyn Definition) -> String {
    let mut text = wrapped(&format!("{}: {}", definition.name(), definition.summary()), "", WIDTH);
    let (required, optional): (Vec<_>, Vec<_>) =
        definition.parameters().iter().partition(|parameter| parameter.default.is_none());
    for (title, parameters) in [("Required", required), ("Optional", optional)] {
        if parameters.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{title} hyperparameters:\n"));
        for parameter in parameters {
            text.push('\n');
            text.push_str(&entry(parameter));
        }
    }
    text
}

fn entry(parameter: &Parameter) -> String {
    let default = parameter.default.map_or(String::new(), |default| format!(" = {default}"));
    let also = match parameter.aliases {
        [] => String::new(),
        aliases => format!("  (also {})", aliases.join(", ")),
    };
    let mut text = format!("  {}{default}{also}\n", parameter.name);
    text.push_str(&wrapped(parameter.meaning, "      ", WIDTH));
    text.push_str(&wrapped(&format!("Allowed: {}.", parameter.range()), "      ", WIDTH));
    text
}

fn as_json(definition: &dyn Definition) -> Value {
    let parameters: Vec<Value> = definition
        .parameters()
        .iter()
        .map(|parameter| {
            json!({
                "name": parameter.name,
                "aliases": parameter.aliases,
                "default": parameter.default,
                "range": parameter.range(),
                "meaning": parameter.meaning,
            })
        })
        .collect();
    json!({
        "name": definition.name(),
        "summary": definition.summary(),
        "parameters": parameters,
    })
}
