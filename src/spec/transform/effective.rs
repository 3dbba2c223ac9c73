//! A transform's values in effect, defaults filled in and credentials left out.

use serde_json::{Value, json};

use super::TransformJob;

impl TransformJob {
    /// The whole job as JSON, with the keys of its file.
    pub fn effective(&self) -> Value {
        let mut job = json!({ "name": self.name.as_str() });
        if let Some(role) = &self.role {
            job["role"] = json!(role.as_str());
        }
        json!({
            "job": job,
            "model": { "uri": self.model.to_string() },
            "input": {
                "uri": self.input.uri.to_string(),
                "s3_data_type": self.input.data_type.to_string(),
                "content_type": self.input.media.to_string(),
                "split_type": self.input.split.to_string(),
                "compression": self.input.compression.to_string(),
                "header": self.input.header,
            },
            "output": {
                "uri": self.output.uri.to_string(),
                "accept": self.output.accept,
                "assemble_with": self.output.assemble.to_string(),
                "kms_key": self.output.key.to_string(),
            },
            "transform": {
                "batch_strategy": self.strategy.to_string(),
                "max_payload_in_mb": self.payload_bytes_max.unwrap_or(0) >> 20,
                "max_concurrent_transforms": self.concurrent,
            },
            "data_processing": {
                "input_filter": self.processing.input_filter.to_string(),
                "output_filter": self.processing.output_filter.to_string(),
                "join_source": self.processing.join.to_string(),
            },
        })
    }
}
