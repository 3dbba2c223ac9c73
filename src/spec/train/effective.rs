//! A job's values in effect, defaults filled in and secrets left out, for reports and provenance.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{
    Categorical, Channel, KeyPlace, Kms, LabelColumn, Output, Resources, Storage, TrainingJob,
    WeightColumn,
};
use crate::spec::network::Network;
use crate::spec::parameter::RawValue;

impl TrainingJob {
    /// The whole job as JSON, with the keys of `job.toml`. The hyperparameters are as written;
    /// the trainer knows the ones in effect. Credentials are never part of it.
    pub fn effective(&self) -> Value {
        let mut channels: Map<String, Value> = self
            .channels
            .iter()
            .map(|(name, channel)| (name.to_string(), effective_channel(channel)))
            .collect();
        if let Some(uri) = &self.model {
            let kind = "application/x-sagemaker-model";
            channels
                .insert("model".into(), json!({ "uri": uri.to_string(), "content_type": kind }));
        }
        let hyperparameters: Map<String, Value> = self
            .hyperparameters
            .iter()
            .map(|(name, raw)| (name.clone(), effective_value(&raw.value)))
            .collect();
        let mut job = json!({ "name": self.name.as_str(), "seed": self.seed });
        if let Some(role) = &self.role {
            job["role"] = json!(role.as_str());
        }
        json!({
            "job": job,
            "algorithm": { "name": self.algorithm },
            "hyperparameters": hyperparameters,
            "channels": channels,
            "output": effective_output(&self.output),
            "resources": effective_resources(&self.resources),
            "stopping": { "max_runtime_s": self.stopping.max_runtime.as_secs() },
            "checkpoint": {
                "uri": self.checkpoints().to_string(),
                "keep": self.checkpoint.keep,
                "interval_s": self.checkpoint.interval.as_secs(),
            },
            "network": effective_network(&self.network),
            "storage": effective_storage(&self.storage),
        })
    }
}

fn effective_network(network: &Network) -> Value {
    let mut entry = Map::new();
    entry.insert("isolation".into(), network.isolation.to_string().into());
    // An empty list would be a mistake: every network is said by leaving it out.
    if !network.allow.is_empty() {
        let ranges: Vec<String> = network.allow.iter().map(ToString::to_string).collect();
        entry.insert("allow".into(), ranges.into());
    }
    entry.into()
}

fn effective_output(output: &Output) -> Value {
    let mut entry = Map::new();
    entry.insert("uri".into(), output.uri.to_string().into());
    entry.insert("kms_key".into(), output.key.to_string().into());
    if output.keys == KeyPlace::Detached {
        entry.insert("keys".into(), "detached".into());
    }
    if let Some(name) = &output.sign {
        entry.insert("sign".into(), name.as_str().into());
    }
    Value::Object(entry)
}

impl TrainingJob {
    /// The job as a job file, without `[storage]` and `[network]`, for a process that is given
    /// neither: it reads back to the same job. Relative paths stay relative.
    ///
    /// # Errors
    /// When it would not, which is a mistake of this file.
    pub fn written(&self) -> Result<String, String> {
        let mut value = self.effective();
        let table = value.as_object_mut().expect("a job is a table");
        table.remove("storage");
        table.remove("network");
        if self.checkpoint.uri.is_none() {
            table["checkpoint"].as_object_mut().expect("a table").remove("uri");
        }
        let text = toml::to_string(&value).map_err(|error| error.to_string())?;
        let same = TrainingJob::parse(text.as_bytes(), "job", Path::new(""), &[])
            .map_err(|mistakes| mistakes.to_string())?
            .effective();
        let own = self.effective();
        let apart = |(key, value): &(&String, &Value)| {
            !["storage", "network"].contains(&key.as_str()) && same.get(key) != Some(value)
        };
        match own.as_object().into_iter().flatten().find(apart) {
            Some((key, _)) => Err(format!("[{key}] of the job cannot be written down")),
            None => Ok(text),
        }
    }
}

fn effective_resources(resources: &Resources) -> Value {
    let mut entry = Map::new();
    entry.insert("device".into(), resources.device.to_string().into());
    entry.insert("threads".into(), resources.threads.into());
    entry.insert("memory_bytes_max".into(), resources.memory_bytes_max.into());
    if let Some(scratch) = &resources.scratch {
        entry.insert("scratch".into(), scratch.display().to_string().into());
    }
    entry.insert("hosts".into(), resources.hosts.names.clone().into());
    entry.insert("current_host".into(), resources.hosts.current().into());
    Value::Object(entry)
}

fn effective_channel(channel: &Channel) -> Value {
    let format = &channel.format;
    let mut content_type = format.media.to_string();
    let mut entry = Map::new();
    entry.insert("uri".into(), channel.uri.to_string().into());
    if format.label == LabelColumn::None {
        content_type.push_str(";label_size=0");
    }
    entry.insert("content_type".into(), content_type.into());
    if format.media == super::Media::Csv {
        entry.insert("header".into(), format.header.into());
        entry.insert("delimiter".into(), char::from(format.delimiter).to_string().into());
    }
    if let LabelColumn::Named(name) = &format.label {
        entry.insert("label".into(), name.clone().into());
    }
    let selection = &channel.selection;
    entry.insert("s3_data_type".into(), selection.data_type.to_string().into());
    entry.insert("distribution".into(), selection.distribution.to_string().into());
    if let Some(seed) = selection.shuffle_seed {
        entry.insert("shuffle_seed".into(), seed.into());
    }
    entry.insert("input_mode".into(), selection.input_mode.to_string().into());
    entry.insert("compression".into(), selection.compression.to_string().into());
    entry.insert("record_wrapper".into(), selection.record_wrapper.to_string().into());
    if let Some(WeightColumn::Named(name)) = &format.weight {
        entry.insert("weight".into(), name.clone().into());
    }
    if let Some(name) = &format.group {
        entry.insert("group".into(), name.clone().into());
    }
    match &format.categorical {
        Categorical::None => {}
        Categorical::Auto => drop(entry.insert("categorical".into(), "auto".into())),
        Categorical::Named(names) => {
            entry.insert("categorical".into(), names.clone().into());
        }
    }
    if !format.ignore.is_empty() {
        entry.insert("ignore".into(), format.ignore.clone().into());
    }
    Value::Object(entry)
}

fn effective_storage(storage: &Storage) -> Value {
    let (s3, kms) = (&storage.s3, &storage.kms);
    let ca_bundle = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let with = |pairs: [(&str, Option<String>); 4]| {
        let given = pairs.into_iter().filter_map(|(key, value)| Some((key.into(), value?.into())));
        given.collect::<Map<String, Value>>()
    };
    let mut of_s3 = with([
        ("endpoint", s3.endpoint.clone()),
        ("region", s3.region.clone()),
        ("profile", s3.profile.clone()),
        ("ca_bundle", ca_bundle(&s3.ca_bundle)),
    ]);
    if s3.virtual_host {
        of_s3.insert("virtual_host".into(), true.into());
    }
    let of_kms = with([
        ("endpoint", kms.endpoint.clone()),
        ("region", kms.region.clone()),
        ("profile", kms.profile.clone()),
        ("ca_bundle", ca_bundle(&kms.ca_bundle)),
    ]);
    let mut entry = Map::from_iter([("s3".to_owned(), Value::Object(of_s3))]);
    if *kms != Kms::default() {
        entry.insert("kms".into(), Value::Object(of_kms));
    }
    Value::Object(entry)
}

fn effective_value(value: &RawValue) -> Value {
    match value {
        RawValue::Text(text) => text.clone().into(),
        RawValue::Integer(number) => (*number).into(),
        RawValue::Float(number) => (*number).into(),
        RawValue::Boolean(truth) => (*truth).into(),
        RawValue::List(items) => items.iter().map(effective_value).collect(),
    }
}
