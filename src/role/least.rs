//! The smallest policy that a job or an endpoint runs with: what [`super::objects`] and
//! [`super::keys`] will ask for, and nothing else.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::objects::{actions, arn_of, listed};
use crate::iam::policy::literal;
use crate::seal::{KeyDescription, SIDECAR_SUFFIX};
use crate::spec::endpoint::{EndpointFile, Serves};
use crate::spec::train::{DataType, KeyPlace, TrainingJob};
use crate::spec::transform::TransformJob;
use crate::spec::uri::Uri;
use crate::store::Act;

/// What cannot be known from the file alone.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The region that the work is in.
    pub region: String,
    /// The key that seals what is made; `None` where nothing is sealed.
    pub key: Option<KeyDescription>,
    /// ARNs of keys that open what is read.
    pub opens: Vec<String>,
    /// Objects that manifests name.
    pub objects: Vec<Uri>,
    /// Whether the job is to go on from a checkpoint.
    pub resume: bool,
}

/// A policy being written.
#[derive(Default)]
struct Writer {
    /// Listed places, with the prefixes asked for.
    lists: BTreeMap<String, Vec<String>>,
    /// Resources by what is done to them.
    objects: BTreeMap<Vec<&'static str>, Vec<String>>,
    rest: Vec<Value>,
}

impl Writer {
    fn list(&mut self, uri: &Uri) {
        let (resource, known) = listed(uri);
        let Some(resource) = resource else { return };
        let prefixes = self.lists.entry(literal(&resource)).or_default();
        prefixes.extend(known.iter().flat_map(|(_, values)| values).map(|value| literal(value)));
    }

    /// `tail` is a pattern behind the name.
    fn object(&mut self, act: Act, uri: &Uri, tail: &str) {
        let Some(arn) = arn_of(uri) else { return };
        let of = self.objects.entry(actions(act, uri).to_vec()).or_default();
        let resource = format!("{}{tail}", literal(&arn));
        if !of.contains(&resource) {
            of.push(resource);
        }
    }

    /// Everything below a prefix, or in a folder, or the one object of that name.
    fn below(&mut self, act: Act, uri: &Uri) {
        match uri {
            Uri::File(path) if path.is_dir() => self.object(act, uri, "/*"),
            Uri::File(_) | Uri::Http(_) => self.object(act, uri, ""),
            _ => self.object(act, uri, "*"),
        }
    }

    fn seals(&mut self, facts: &Facts, job: &str) {
        let Some(key) = &facts.key else { return };
        let via = format!("sagemaker.{}.amazonaws.com", facts.region);
        self.rest.push(json!({
            "Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key.arn,
            "Condition": { "StringEquals": {
                "kms:ViaService": via, "kms:EncryptionContext:smrt:job": literal(job),
            } },
        }));
    }

    /// Wraps the key of an artifact that keeps it beside itself.
    fn wraps(&mut self, facts: &Facts, job: &str) {
        let Some(key) = &facts.key else { return };
        let via = format!("sagemaker.{}.amazonaws.com", facts.region);
        self.rest.push(json!({
            "Effect": "Allow", "Action": "kms:Encrypt", "Resource": key.arn,
            "Condition": { "StringEquals": {
                "kms:ViaService": via, "kms:EncryptionContext:smrt:job": literal(job),
            } },
        }));
    }

    fn opens(&mut self, facts: &Facts, keys: &[String]) {
        if keys.is_empty() {
            return;
        }
        let via = format!("sagemaker.{}.amazonaws.com", facts.region);
        self.rest.push(json!({
            "Effect": "Allow", "Action": "kms:Decrypt", "Resource": one_or_more(keys.to_vec()),
            "Condition": { "StringEquals": { "kms:ViaService": via } },
        }));
    }

    fn finish(self) -> Value {
        let mut statements = Vec::new();
        for (resource, mut prefixes) in self.lists {
            let mut statement =
                json!({ "Effect": "Allow", "Action": "s3:ListBucket", "Resource": resource });
            if !prefixes.is_empty() {
                prefixes.sort();
                prefixes.dedup();
                statement["Condition"] =
                    json!({ "StringEquals": { "s3:prefix": one_or_more(prefixes) } });
            }
            statements.push(statement);
        }
        for (actions, resources) in self.objects {
            let actions = actions.into_iter().map(str::to_owned).collect();
            statements.push(json!({
                "Effect": "Allow", "Action": one_or_more(actions),
                "Resource": one_or_more(resources),
            }));
        }
        statements.extend(self.rest);
        json!({ "Version": "2012-10-17", "Statement": statements })
    }
}

fn one_or_more(mut texts: Vec<String>) -> Value {
    match texts.len() {
        1 => json!(texts.remove(0)),
        _ => json!(texts),
    }
}

/// For a training job.
pub fn of_training(job: &TrainingJob, facts: &Facts) -> Value {
    let mut policy = Writer::default();
    for channel in job.channels.values() {
        match channel.selection.data_type {
            DataType::S3Prefix => {
                policy.list(&channel.uri);
                policy.below(Act::Read, &channel.uri);
            }
            DataType::ManifestFile => policy.object(Act::Read, &channel.uri, ""),
        }
    }
    for object in &facts.objects {
        policy.object(Act::Read, object, "");
    }
    if let Some(model) = &job.model {
        policy.list(model);
        policy.below(Act::Read, model);
    }
    let folders = std::iter::once(&job.output.uri).chain(&job.checkpoint.uri);
    for folder in folders {
        let probe = folder.join(".smrt-write-check");
        policy.object(Act::Write, &probe, "");
        policy.object(Act::Delete, &probe, "");
    }
    policy.object(Act::Write, &job.artifact(), "");
    policy.object(Act::Write, &job.record(), "");
    let states = job.checkpoints().join(&format!("{}.", job.name));
    policy.object(Act::Write, &states, "*.checkpoint");
    policy.object(Act::Delete, &states, "*.checkpoint");
    if facts.resume {
        match &states {
            Uri::File(_) => policy.list(&job.checkpoints()),
            _ => policy.list(&states),
        }
        policy.object(Act::Read, &states, "*.checkpoint");
    }
    policy.seals(facts, job.name.as_str());
    if job.output.keys == KeyPlace::Detached {
        let sidecar = job.artifact().beside(SIDECAR_SUFFIX);
        policy.object(Act::Read, &sidecar, "");
        policy.object(Act::Write, &sidecar, "");
        policy.wraps(facts, job.name.as_str());
    }
    let mut opens = facts.opens.clone();
    if facts.resume {
        opens.extend(facts.key.iter().map(|key| key.arn.clone()));
    }
    opens.sort();
    opens.dedup();
    policy.opens(facts, &opens);
    policy.finish()
}

/// For a batch transform.
pub fn of_transform(job: &TransformJob, facts: &Facts) -> Value {
    let mut policy = Writer::default();
    policy.list(&job.input.uri);
    policy.below(Act::Read, &job.input.uri);
    policy.object(Act::Read, &job.model, "");
    let probe = job.output.uri.join(".smrt-write-check");
    policy.object(Act::Delete, &probe, "");
    match &job.output.uri {
        folder @ Uri::File(_) => policy.object(Act::Write, folder, "/*"),
        prefix => policy.object(Act::Write, &prefix.join(""), "*"),
    }
    if facts.resume {
        policy.list(&job.output.uri);
        policy.object(Act::Read, &job.output.uri.join(&format!(".{}.transform", job.name)), "");
    }
    policy.seals(facts, job.name.as_str());
    policy.opens(facts, &facts.opens);
    policy.finish()
}

/// For an endpoint.
pub fn of_endpoint(file: &EndpointFile, facts: &Facts) -> Value {
    let mut policy = Writer::default();
    match &file.serves {
        Serves::Variants { variants, shadow, .. } => {
            let shadow = shadow.iter().map(|shadow| &shadow.variant);
            for variant in variants.iter().chain(shadow) {
                policy.object(Act::Read, &variant.model, "");
            }
            if let Some(place) = &file.admin.models {
                policy.below(Act::Read, place);
            }
        }
        Serves::Models(models) => {
            policy.list(&models.uri);
            policy.below(Act::Read, &models.uri);
        }
    }
    policy.opens(facts, &facts.opens);
    policy.finish()
}
