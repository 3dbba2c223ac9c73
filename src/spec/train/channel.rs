//! `[channels.NAME]`: where the rows are, and how their bytes are to be read.

use std::collections::BTreeMap;
use std::path::Path;

use super::read::quoted;
use super::selection::read_selection;
use super::{Categorical, Channel, Format, LabelColumn, Media, WeightColumn};
use crate::spec::cursor::{Cursor, Found, Wrong};
use crate::spec::media::{ContentType, content_type};
use crate::spec::name::ChannelName;
use crate::spec::problem::nearest;
use crate::spec::uri::Uri;

/// Channels that algorithms read.
const CHANNELS: [&str; 4] = ["train", "validation", "test", MODEL];
/// The channel of an earlier model, which a training goes on from.
const MODEL: &str = "model";
/// SageMaker's content type of it.
const MODEL_TYPE: &str = "application/x-sagemaker-model";

/// Reads every channel, and where an earlier model lies; `train` has to be there.
pub(super) fn read_channels(
    table: &mut Cursor<'_>,
    base: &Path,
) -> (BTreeMap<ChannelName, Channel>, Option<Uri>) {
    let mut channels = BTreeMap::new();
    let mut model = None;
    let mut meant = Vec::new();
    let has_train = table.has("train");
    table.each_table("[channels.train] with uri = \"…\" below it", |name, cursor| {
        match channel_name(name) {
            Ok(_) if name == MODEL => model = read_model(cursor, base),
            Ok(name) => {
                if let Some(channel) = read_channel(cursor, base) {
                    channels.insert(name, channel);
                }
            }
            Err((what, help)) => {
                meant.extend(nearest(name, CHANNELS));
                cursor.rest();
                cursor.itself_is_wrong(what, help);
            }
        }
    });
    if !meant.contains(&"train") {
        table.needs("train", has_train, "[channels.train] with uri = \"…\" below it");
    }
    (channels, model)
}

/// `[channels.model]`: an artifact of an earlier training, or another library's model.
fn read_model(table: &mut Cursor<'_>, base: &Path) -> Option<Uri> {
    let there = table.has("uri");
    let uri = table.parsed("uri", |text| Uri::parse(text, base));
    table.needs("uri", there, "uri = \"…\": the model.tar.gz of an earlier job");
    table.parsed("content_type", |text| {
        if text.eq_ignore_ascii_case(MODEL_TYPE) {
            return Ok(());
        }
        let help = format!("write {MODEL_TYPE}, or leave it out");
        Err((format!("{} is no model", quoted(text)), Some(help)))
    });
    uri
}

fn channel_name(text: &str) -> Result<ChannelName, Wrong> {
    let name = ChannelName::parse(text)
        .map_err(|rule| ("not a channel name".to_owned(), Some(rule.to_owned())))?;
    if CHANNELS.contains(&text) {
        return Ok(name);
    }
    let help = match nearest(text, CHANNELS) {
        Some(near) => format!("did you mean channels.{near}?"),
        None => format!("the channels are {}", CHANNELS.join(", ")),
    };
    Err(("no algorithm reads a channel of this name".into(), Some(help)))
}

fn read_channel(table: &mut Cursor<'_>, base: &Path) -> Option<Channel> {
    let there = table.has("uri");
    let uri = table.parsed("uri", |text| Uri::parse(text, base));
    table.needs("uri", there, "uri = \"…\": a file, a folder or s3://bucket/prefix/");
    let selection = read_selection(table);
    let format = read_format(table);
    Some(Channel { uri: uri?, selection, format: format? })
}

fn read_format(table: &mut Cursor<'_>) -> Option<Format> {
    let csv = ContentType { media: Media::Csv, label: None };
    let given = table.has("content_type");
    let kind = table.parsed("content_type", content_type);
    let header = table.boolean("header");
    let delimiter_given = table.has("delimiter");
    let delimiter = table.parsed("delimiter", delimiter).unwrap_or(b',');
    let label = table.text("label");
    let named = Named::read(table);
    let kind = match given {
        true => kind?,
        false => csv,
    };
    let says_header = header.as_ref().map(|found| found.value);
    let header_line = header.as_ref().and_then(|found| found.line);
    if kind.media != Media::Csv {
        if says_header == Some(true) {
            let help = match kind.media {
                Media::JsonLines => "leave it out: every JSON object names its own fields",
                _ => "leave it out: this format has none",
            };
            table.wrong("header", header_line, "only CSV has a header".into(), Some(help.into()));
        }
        if delimiter_given {
            let help = "leave it out, or write content_type = \"text/csv\"";
            table.wrong("delimiter", None, "only CSV has a delimiter".into(), Some(help.into()));
        }
    }
    if let Some(found) = &label
        && matches!(kind.media, Media::Libsvm | Media::RecordIo)
    {
        let help = "leave it out: the label has its own place there";
        let what = format!("{} has no names", kind.media);
        table.wrong("label", found.line, what, Some(help.into()));
    }
    let label_named = label.is_some();
    let label_column = match (label, kind.label) {
        (Some(found), _) if found.value.is_empty() => {
            let help = "write the column's name, or leave the key out: the first is the label";
            table.wrong("label", found.line, "is empty".into(), Some(help.into()));
            return None;
        }
        (Some(found), Some(LabelColumn::None)) => {
            let what = format!(
                "{} is the label, but the content type says label_size=0: no label",
                quoted(&found.value)
            );
            table.wrong("label", found.line, what, Some("leave one of the two out".into()));
            return None;
        }
        (Some(found), _) => {
            if kind.media == Media::Csv && says_header == Some(false) {
                let what = format!(
                    "{} is a column's name, but header = false: columns have none",
                    quoted(&found.value)
                );
                let help = "write header = true, or leave label out: the first is the label";
                table.wrong("label", found.line, what, Some(help.into()));
            }
            LabelColumn::Named(found.value)
        }
        (None, size) => size.unwrap_or(LabelColumn::First),
    };
    if kind.media == Media::Csv && says_header == Some(false) {
        named.need_header(table);
    }
    named.contradict_themselves(table, &label_column);
    // A named column means that the file has names.
    let header =
        kind.media == Media::Csv && says_header.unwrap_or(label_named || !named.keys().is_empty());
    Some(Format {
        header,
        delimiter,
        label: label_column,
        weight: named.weight.map(|found| WeightColumn::Named(found.value)),
        group: named.group.map(|found| found.value),
        categorical: named.categorical,
        ignore: named.ignore.map(|found| found.value).unwrap_or_default(),
        ..Format::new(kind.media)
    })
}

/// The keys that say what a column means, by its name.
struct Named {
    weight: Option<Found<String>>,
    group: Option<Found<String>>,
    categorical: Categorical,
    categorical_line: Option<usize>,
    ignore: Option<Found<Vec<String>>>,
}

impl Named {
    fn read(table: &mut Cursor<'_>) -> Named {
        let weight = one_name(table, "weight");
        let group = one_name(table, "group");
        let categorical = table.texts("categorical");
        let categorical_line = categorical.as_ref().and_then(|found| found.line);
        let categorical = match categorical.map(|found| found.value) {
            None => Categorical::None,
            Some(names) if names == ["auto"] => Categorical::Auto,
            Some(names) if names.is_empty() => Categorical::None,
            Some(names) => Categorical::Named(names),
        };
        Named { weight, group, categorical, categorical_line, ignore: table.texts("ignore") }
    }

    /// Each key that names columns, with its line and the names.
    fn keys(&self) -> Vec<(&'static str, Option<usize>, Vec<&str>)> {
        let mut keys = Vec::new();
        for (key, found) in [("weight", &self.weight), ("group", &self.group)] {
            if let Some(found) = found {
                keys.push((key, found.line, vec![found.value.as_str()]));
            }
        }
        if let Categorical::Named(names) = &self.categorical {
            let names = names.iter().map(String::as_str).collect();
            keys.push(("categorical", self.categorical_line, names));
        }
        if let Some(found) = &self.ignore
            && !found.value.is_empty()
        {
            keys.push(("ignore", found.line, found.value.iter().map(String::as_str).collect()));
        }
        keys
    }

    fn need_header(&self, table: &mut Cursor<'_>) {
        for (key, line, names) in self.keys() {
            let what = format!(
                "{} is a column's name, but header = false: columns have none",
                quoted(names[0])
            );
            let help = match key {
                "categorical" => "write header = true, or categorical = \"auto\"".to_owned(),
                _ => format!("write header = true, or leave {key} out"),
            };
            table.wrong(key, line, what, Some(help));
        }
    }

    /// A column is one thing only, and is named once.
    fn contradict_themselves(&self, table: &mut Cursor<'_>, label: &LabelColumn) {
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        if let LabelColumn::Named(name) = label {
            taken.insert(name, "label");
        }
        let keys = self.keys();
        for (key, line, names) in &keys {
            for name in names {
                if name.is_empty() {
                    let what = "holds an empty name".to_owned();
                    table.wrong(key, *line, what, Some("write the column's name".into()));
                    continue;
                }
                match taken.insert(name, key) {
                    None => {}
                    Some(other) if other == *key => {
                        let what = format!("{} stands there twice", quoted(name));
                        table.wrong(key, *line, what, Some("leave one of the two out".into()));
                    }
                    Some(other) => {
                        let what = format!("{} is the {other} already", quoted(name));
                        let what = match other {
                            "label" | "weight" | "group" => what,
                            _ => format!("{} stands under {other} already", quoted(name)),
                        };
                        table.wrong(key, *line, what, Some("leave one of the two out".into()));
                    }
                }
            }
        }
    }
}

fn one_name(table: &mut Cursor<'_>, key: &'static str) -> Option<Found<String>> {
    let found = table.text(key)?;
    if found.value.is_empty() {
        let help = "write the column's name, or leave the key out";
        table.wrong(key, found.line, "is empty".into(), Some(help.into()));
        return None;
    }
    Some(found)
}

/// One ASCII character that cannot be part of a number or of quoting.
fn delimiter(text: &str) -> Result<u8, Wrong> {
    let taken = |byte: u8| byte.is_ascii_alphanumeric() || b"\"'\r\n.+-_".contains(&byte);
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !taken(*byte) && (*byte >= b' ' || *byte == b'\t') => {
            Ok(*byte)
        }
        _ => Err((
            format!("{} cannot separate columns", quoted(text)),
            Some("write one character, e.g. \",\", \";\", \"|\" or \"\\t\"".into()),
        )),
    }
}
