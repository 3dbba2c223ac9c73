//! `[variants.NAME]` and `[shadow.NAME]`: the models that share an endpoint's traffic, and one
//! that only gets a copy of it.

use std::path::Path;
use std::time::Duration;

use super::read::{digest, name, number, seconds};
use crate::spec::cursor::Cursor;
use crate::spec::limit;
use crate::spec::name::JobName;
use crate::spec::uri::Uri;

/// One model behind an endpoint (SageMaker: `ProductionVariant`).
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its name in `X-Amzn-SageMaker-Target-Variant` and in the metrics.
    pub name: JobName,
    /// The artifact.
    pub model: Uri,
    /// Its share of the traffic is its weight over the sum of all (SageMaker:
    /// `InitialVariantWeight`, default 1).
    pub weight: f64,
    /// How often the artifact is looked at for a newer one; `None` is never.
    pub watch: Option<Duration>,
    /// `digest`: the SHA-256 of the artifact's stored bytes, lower-case hex; no other is opened.
    pub digest: Option<String>,
    /// `job_record`: the `job.json` that names it instead.
    pub job_record: Option<Uri>,
}

/// A variant that gets a copy of the traffic (SageMaker: `ShadowProductionVariants`).
#[derive(Debug, Clone)]
pub struct Shadow {
    /// Its model; its weight means nothing.
    pub variant: Variant,
    /// Part of the requests that it gets (SageMaker: `SamplingPercentage`).
    pub sampling_percentage: f64,
    /// Answers further apart than this, or with another label, count as different.
    pub tolerance: f64,
}

/// The variants, and the names of all that stand there, readable or not.
pub(super) fn read_variants(
    table: &mut Cursor<'_>,
    base: &Path,
) -> (Option<Vec<Variant>>, Vec<String>) {
    let mut variants = Vec::new();
    let mut names = Vec::new();
    table.each_table("[variants.blue] with model = \"…\" below it", |key, table| {
        names.push(key.to_owned());
        variants.extend(read_variant(key, table, base, true));
    });
    if names.len() > limit::VARIANTS_MAX {
        let help = format!("at most {}", limit::VARIANTS_MAX);
        table.itself_is_wrong(format!("{} variants are too many", names.len()), Some(help));
    }
    if !variants.is_empty() && variants.iter().all(|variant| variant.weight == 0.0) {
        let help = "give one of them a weight above 0, e.g. weight = 1";
        table.itself_is_wrong("no variant has a weight".into(), Some(help.into()));
    }
    ((!variants.is_empty()).then_some(variants), names)
}

pub(super) fn read_shadow(table: &mut Cursor<'_>, base: &Path) -> Option<Shadow> {
    let mut shadows = Vec::new();
    let mut seen = 0;
    table.each_table("[shadow.next] with model = \"…\" below it", |key, table| {
        seen += 1;
        let sampling = number(table, "sampling_percentage", (0.0, 100.0)).unwrap_or(100.0);
        let tolerance = number(table, "tolerance", (0.0, f64::MAX)).unwrap_or(1e-6);
        let variant = read_variant(key, table, base, false);
        shadows.extend(variant.map(|variant| Shadow {
            variant,
            sampling_percentage: sampling,
            tolerance,
        }));
    });
    if seen > 1 {
        let help = "keep one of them, as SageMaker does";
        table.itself_is_wrong(format!("{seen} shadows are too many"), Some(help.into()));
    }
    shadows.pop()
}

fn read_variant(
    key: &str,
    table: &mut Cursor<'_>,
    base: &Path,
    has_weight: bool,
) -> Option<Variant> {
    let named = name(key, "a variant's name");
    if let Err((what, help)) = &named {
        table.itself_is_wrong(what.clone(), help.clone());
    }
    let there = table.has("model");
    let model = table.parsed("model", |text| Uri::parse(text, base));
    table.needs("model", there, "model = \"s3://models/fraud/output/model.tar.gz\"");
    let weight = match has_weight {
        true => number(table, "weight", (0.0, 1e9)).unwrap_or(1.0),
        false => 0.0,
    };
    let watch = seconds(table, "watch_s", 0..=86_400, 0);
    let watch = (!watch.is_zero()).then_some(watch);
    let digest = table.parsed("digest", digest);
    let job_record = table.parsed("job_record", |text| Uri::parse(text, base));
    if digest.is_some() && job_record.is_some() {
        let help = "keep one of them: both say which artifact it is";
        table.wrong("job_record", None, "stands beside digest".into(), Some(help.into()));
    }
    Some(Variant { name: named.ok()?, model: model?, weight, watch, digest, job_record })
}
