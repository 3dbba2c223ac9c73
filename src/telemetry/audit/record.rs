//! One record. Source: CloudTrail User Guide, "CloudTrail record contents".

use serde_json::{Map, Value, json};

use crate::spec::limit::AUDIT_TEXT_CHARS_MAX;

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
    /// ARN of what it was done to.
    pub resource: &'a str,
    /// Name and message of why it was not done.
    pub error: Option<(&'a str, &'a str)>,
    /// What was asked for, without payload.
    pub parameters: Vec<(&'static str, Value)>,
    /// What else there is to say.
    pub more: Vec<(&'static str, Value)>,
}

/// A stranger's text, of bounded length.
fn bounded(text: &str) -> String {
    text.chars().take(AUDIT_TEXT_CHARS_MAX).collect()
}

impl Record<'_> {
    /// As a line has it, without `prev`.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let object = |pairs: &[(&'static str, Value)]| {
            let pair = |(key, value): &(&'static str, Value)| {
                let value = match value {
                    Value::String(text) => json!(bounded(text)),
                    other => other.clone(),
                };
                ((*key).to_owned(), value)
            };
            Value::Object(pairs.iter().map(pair).collect())
        };
        let account = |arn: &str| arn.split(':').nth(4).unwrap_or_default().to_owned();
        let identity = match self.principal {
            None => json!({ "type": "Unknown" }),
            Some(arn) if arn.contains(":assumed-role/") => {
                json!({ "type": "AssumedRole", "arn": arn, "accountId": account(arn) })
            }
            Some(arn) if arn.starts_with("arn:") => {
                let name = arn.rsplit('/').next().unwrap_or_default();
                json!({ "type": "IAMUser", "arn": arn, "accountId": account(arn), "userName": name })
            }
            Some(name) => json!({ "type": "Unknown", "userName": bounded(name) }),
        };
        let mut record = Map::new();
        let mut put = |key: &str, value: Value| drop(record.insert(key.into(), value));
        put("eventVersion", json!("1.09"));
        put("userIdentity", identity);
        put("eventTime", json!(super::super::line::iso(self.time_s)));
        put("eventSource", json!(self.source));
        put("eventName", json!(self.name));
        put("awsRegion", json!(self.region));
        put("sourceIPAddress", json!(self.address));
        put("userAgent", json!(self.agent.map(bounded)));
        put("requestParameters", object(&self.parameters));
        put("responseElements", Value::Null);
        if let Some((code, message)) = self.error {
            put("errorCode", json!(code));
            put("errorMessage", json!(bounded(message)));
        }
        if !self.more.is_empty() {
            put("additionalEventData", object(&self.more));
        }
        put("requestID", json!(self.request));
        put("eventID", json!(self.request));
        put("readOnly", json!(true));
        put("resources", json!([{ "type": "AWS::SageMaker::Endpoint", "ARN": self.resource }]));
        put("eventType", json!("AwsApiCall"));
        put("managementEvent", json!(false));
        put("recipientAccountId", json!(account(self.resource)));
        put("eventCategory", json!("Data"));
        serde_json::to_vec(&record).expect("keys are strings")
    }
}
