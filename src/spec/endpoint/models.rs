//! `[models]`: a folder or prefix of artifacts, each served under its own name and loaded when
//! somebody asks for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::read::{bytes, digest, quoted, seconds};
use crate::spec::cursor::Cursor;
use crate::spec::document::Kind;
use crate::spec::limit;
use crate::spec::parameter::RawValue;
use crate::spec::uri::Uri;

/// Many models in one process (SageMaker: a multi-model endpoint).
#[derive(Debug, Clone)]
pub struct Models {
    /// Where the artifacts are.
    pub uri: Uri,
    /// What all loaded models may take; the one not used for longest goes first.
    pub memory_bytes_max: u64,
    /// How many models may be loaded at once.
    pub hot_max: usize,
    /// Names that are loaded at the start and never unloaded.
    pub pinned: Vec<String>,
    /// How often loaded models are looked at for newer ones; `None` is never.
    pub watch: Option<Duration>,
    /// `[models.digests]`: the SHA-256 (lower-case hex) of the models that may only be these, by
    /// name.
    pub digests: BTreeMap<String, String>,
}

pub(super) fn read_models(table: &mut Cursor<'_>, base: &Path) -> Option<Models> {
    let there = table.has("uri");
    let uri = table.parsed("uri", |text| match Uri::parse(text, base)? {
        Uri::Http(_) => Err((
            format!("{} cannot be listed", quoted(text)),
            Some("name a folder or s3://bucket/prefix/".into()),
        )),
        uri => Ok(uri),
    });
    table.needs("uri", there, "uri = \"s3://models/tenants/\", or a folder, below [models]");
    let memory_bytes_max =
        bytes(table, "memory_bytes_max", 1 << 20, limit::MODELS_MEMORY_BYTES_MAX);
    let hot_max = table
        .integer("hot_max", 1..=limit::MODELS_HOT_CEILING)
        .map_or(limit::MODELS_HOT_MAX, |number| number as usize);
    let found = table.texts("pinned");
    let pinned = match found {
        Some(found) if found.value.len() > hot_max => {
            let what = format!("{} pinned models are more than hot_max", found.value.len());
            let help = format!("pin at most {hot_max}, or raise models.hot_max");
            table.wrong("pinned", found.line, what, Some(help));
            Vec::new()
        }
        Some(found) => found.value,
        None => Vec::new(),
    };
    let watch = seconds(table, "watch_s", 0..=86_400, 0);
    let watch = (!watch.is_zero()).then_some(watch);
    let digests = table.table("digests", "[models.digests] with NAME = \"sha256:…\"", |table| {
        let mut digests = BTreeMap::new();
        for (name, node) in table.rest() {
            let text = match &node.kind {
                Kind::Value(RawValue::Text(text)) => digest(text),
                _ => Err((format!("expected text, found {}", node.described()), None)),
            };
            match text {
                Ok(found) => drop(digests.insert(name, found)),
                Err((what, help)) => table.wrong(&name, node.line, what, help),
            }
        }
        digests
    });
    Some(Models { uri: uri?, memory_bytes_max, hot_max, pinned, watch, digests })
}
