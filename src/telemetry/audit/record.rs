//! One record. Source: CloudTrail User Guide, "CloudTrail record contents".
//!
//! A record is ASCII: whatever a stranger wrote stands there as JSON's escapes, so that no line
//! feed, no escape sequence and no look-alike letter reaches a terminal or a parser that reads
//! lines.

use serde_json::{Map, Value, json};

use crate::spec::limit::{AUDIT_LINE_BYTES_MAX, AUDIT_TEXT_CHARS_MAX};

/// The service that jobs and endpoints belong to.
pub const SAGEMAKER: &str = "sagemaker.amazonaws.com";

/// What happened, in CloudTrail's words.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// Seconds since 1970.
    pub time_s: u64,
    /// Whose service, such as `sagemaker.amazonaws.com`.
    pub source: &'a str,
    /// What, such as `InvokeEndpoint`.
    pub name: &'a str,
    /// Where.
    pub region: &'a str,
    /// ARN or name of who did it; `None` for who is not known.
    pub principal: Option<&'a str>,
    /// From where.
    pub address: String,
    /// With which program, as it says.
    pub agent: Option<&'a str>,
    /// The request's id.
    pub request: &'a str,
    /// The record's own id, where one request has several; else the request's.
    pub event: Option<String>,
    /// ARN of what it was done to.
    pub resource: &'a str,
    /// Name and message of why it was not done.
    pub error: Option<(&'a str, &'a str)>,
    /// What was asked for, without payload.
    pub parameters: Vec<(&'static str, Value)>,
    /// What else there is to say.
    pub more: Vec<(&'static str, Value)>,
    /// Whether it changes something.
    pub writes: bool,
    /// Whether it is about a resource itself rather than about what it is used for.
    pub manages: bool,
    /// Whether the service did it, asked by nobody.
    pub by_service: bool,
}

/// A stranger's text, of bounded length.
fn bounded(text: &str) -> String {
    text.chars().take(AUDIT_TEXT_CHARS_MAX).collect()
}

/// Any value, its texts of bounded length.
fn bounded_value(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(bounded(text)),
        Value::Array(list) => list.iter().map(bounded_value).collect(),
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| (bounded(key), bounded_value(value));
            Value::Object(map.iter().map(pair).collect())
        }
        other => other.clone(),
    }
}

fn object(pairs: &[(&'static str, Value)]) -> Value {
    let pair = |(key, value): &(&'static str, Value)| ((*key).to_owned(), bounded_value(value));
    Value::Object(pairs.iter().map(pair).collect())
}

fn account(arn: &str) -> String {
    bounded(arn.split(':').nth(4).unwrap_or_default())
}

fn identity(principal: Option<&str>) -> Value {
    match principal {
        None => json!({ "type": "Unknown" }),
        Some(arn) if arn.contains(":assumed-role/") => {
            json!({ "type": "AssumedRole", "arn": bounded(arn), "accountId": account(arn) })
        }
        Some(arn) if arn.starts_with("arn:") && arn.ends_with(":root") => {
            json!({ "type": "Root", "arn": bounded(arn), "accountId": account(arn) })
        }
        Some(arn) if arn.starts_with("arn:") => {
            let name = arn.rsplit('/').next().unwrap_or_default();
            json!({
                "type": "IAMUser", "arn": bounded(arn), "accountId": account(arn),
                "userName": bounded(name),
            })
        }
        Some(service) if service.ends_with(".amazonaws.com") => {
            json!({ "type": "AWSService", "invokedBy": bounded(service) })
        }
        Some(name) => json!({ "type": "Unknown", "userName": bounded(name) }),
    }
}

/// CloudFormation's name for what an ARN names.
fn type_of(arn: &str) -> &'static str {
    let mut parts = arn.splitn(6, ':').skip(2);
    let service = parts.next().unwrap_or_default();
    let resource = parts.nth(2).unwrap_or_default();
    let kind = resource.split(['/', ':']).next().unwrap_or_default();
    match (service, kind) {
        ("sagemaker", "endpoint") => "AWS::SageMaker::Endpoint",
        ("sagemaker", "training-job") => "AWS::SageMaker::TrainingJob",
        ("sagemaker", "transform-job") => "AWS::SageMaker::TransformJob",
        ("sagemaker", "model") => "AWS::SageMaker::Model",
        ("kms", "key") => "AWS::KMS::Key",
        ("kms", "alias") => "AWS::KMS::Alias",
        ("iam", "user") => "AWS::IAM::User",
        ("iam", "role") => "AWS::IAM::Role",
        ("iam", "policy") => "AWS::IAM::ManagedPolicy",
        _ => "",
    }
}

impl Record<'_> {
    /// As a line has it, without `prev`; never longer than a line may be.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let whole = self.serialized(object(&self.parameters), object(&self.more));
        match whole.len() < AUDIT_LINE_BYTES_MAX - PREV_BYTES {
            true => whole,
            // As CloudTrail does with what is too large.
            false => self.serialized(json!({ "omitted": true }), Value::Null),
        }
    }

    fn serialized(&self, parameters: Value, more: Value) -> Vec<u8> {
        let mut record = Map::new();
        let mut put = |key: &str, value: Value| drop(record.insert(key.into(), value));
        put("eventVersion", json!("1.09"));
        put("userIdentity", identity(self.principal));
        put("eventTime", json!(super::super::line::iso(self.time_s)));
        put("eventSource", json!(self.source));
        put("eventName", json!(bounded(self.name)));
        put("awsRegion", json!(bounded(self.region)));
        put("sourceIPAddress", json!(bounded(&self.address)));
        put("userAgent", json!(self.agent.map(bounded)));
        put("requestParameters", parameters);
        put("responseElements", Value::Null);
        if let Some((code, message)) = self.error {
            put("errorCode", json!(bounded(code)));
            put("errorMessage", json!(bounded(message)));
        }
        if more.as_object().is_some_and(|more| !more.is_empty()) {
            put("additionalEventData", more);
        }
        put("requestID", json!(bounded(self.request)));
        put("eventID", json!(self.event.as_deref().unwrap_or(self.request)));
        put("readOnly", json!(!self.writes));
        let resource = bounded(self.resource);
        match type_of(self.resource) {
            "" if resource.is_empty() => {}
            "" => put("resources", json!([{ "ARN": resource }])),
            kind => put("resources", json!([{ "type": kind, "ARN": resource }])),
        }
        put("eventType", json!(if self.by_service { "AwsServiceEvent" } else { "AwsApiCall" }));
        put("managementEvent", json!(self.manages));
        put("recipientAccountId", json!(account(self.resource)));
        put("eventCategory", json!(if self.manages { "Management" } else { "Data" }));
        ascii(serde_json::to_vec(&record).expect("keys are strings"))
    }
}

/// Bytes of what a line has behind its record.
const PREV_BYTES: usize = 96;

/// The same JSON without a letter beyond ASCII: outside of its texts there is none.
fn ascii(json: Vec<u8>) -> Vec<u8> {
    if json.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 64);
    for letter in String::from_utf8_lossy(&json).chars() {
        match letter {
            ' '..='~' => escaped.push(letter),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_31_no_text_of_a_stranger_leaves_its_line_or_its_quotes() {
        let hostile = [
            "a\r\n{\"eventVersion\":\"1.09\"}",
            "\u{1b}[31mred\u{1b}[0m\u{9b}2J",
            "\u{0}\u{7}\u{7f}\u{85}\u{2028}\u{2029}",
            "\u{202e}gnp.exe\u{2066}\u{200b}\u{feff}",
            "\",\"prev\":\"0000\",\"x\":\"",
            "\u{1f600} ümlaut \u{e0041}",
        ];
        for text in hostile {
            let record = Record {
                time_s: 1,
                source: SAGEMAKER,
                name: text,
                region: text,
                principal: Some(text),
                address: text.into(),
                agent: Some(text),
                request: text,
                event: Some(text.into()),
                resource: text,
                error: Some((text, text)),
                parameters: vec![("endpointName", json!({ text: [text] }))],
                more: vec![("note", json!(text))],
                ..Record::default()
            };
            let line = record.to_json();
            assert!(line.iter().all(|byte| (0x20..0x7f).contains(byte)), "{text:?}");
            let read: Value = serde_json::from_slice(&line).unwrap();
            for pointer in [
                "/eventName",
                "/awsRegion",
                "/userIdentity/userName",
                "/sourceIPAddress",
                "/userAgent",
                "/requestID",
                "/eventID",
                "/resources/0/ARN",
                "/errorCode",
                "/errorMessage",
                "/additionalEventData/note",
            ] {
                assert_eq!(read.pointer(pointer), Some(&json!(text)), "{pointer}");
            }
            assert_eq!(read["requestParameters"]["endpointName"][text][0], text);
            assert!(read.get("prev").is_none());
        }
    }

    #[test]
    fn threat_31_a_record_is_never_longer_than_a_line_may_be() {
        let many: Vec<Value> = (0..500).map(|_| json!("\u{9b}".repeat(10_000))).collect();
        let record = Record { parameters: vec![("list", json!(many))], ..Record::default() };
        let line = record.to_json();
        assert!(line.len() + PREV_BYTES < AUDIT_LINE_BYTES_MAX);
        let read: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(read["requestParameters"], json!({ "omitted": true }));
    }
}
