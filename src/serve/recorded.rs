//! What an invocation leaves in the audit log, where there is one: who, what, with which outcome,
//! and never a payload.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::codec::Refusal;
use super::endpoint::Endpoint;
use crate::http::Caller;
use crate::spec::name::LOCAL_ACCOUNT;
use crate::telemetry::audit::{Audit, Record, SAGEMAKER};
use crate::telemetry::date::now_s;

/// One invocation, or what was refused before it was one.
#[derive(Debug)]
pub(super) struct Act<'a> {
    pub(super) name: &'a str,
    pub(super) request: &'a [u8; 36],
    pub(super) caller: &'a Caller,
    /// With which program, as it says.
    pub(super) agent: Option<&'a str>,
    pub(super) status: u16,
    pub(super) error: Option<(&'a str, &'a str)>,
    pub(super) parameters: Vec<(&'static str, Value)>,
    pub(super) more: Vec<(&'static str, Value)>,
}

impl Endpoint {
    /// Refuses what could not be recorded.
    pub(super) fn may_act(&self) -> Result<(), Refusal> {
        match &self.audit {
            Some(audit) if !audit.is_open() => {
                let what = "invocations cannot be recorded now";
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, what))
            }
            _ => Ok(()),
        }
    }

    /// Records what came of it, where anybody wants to know.
    pub(super) fn record(&self, act: Act<'_>) {
        if let Some(audit) = &self.audit {
            self.record_in(audit, act);
        }
    }

    fn record_in(&self, audit: &Audit, act: Act<'_>) {
        let (resource, region) = match &self.door {
            Some(door) => (door.endpoint_arn(self.name()), door.region().to_owned()),
            None => {
                let arn =
                    format!("arn:aws:sagemaker:local:{LOCAL_ACCOUNT}:endpoint/{}", self.name());
                (arn, "local".to_owned())
            }
        };
        let failed = format!("HTTP status {}", act.status);
        let error = match (act.error, act.status) {
            (Some(error), _) => Some(error),
            (None, 200..=299) => None,
            (None, 424) => Some(("ModelError", failed.as_str())),
            (None, 400..=499) => Some(("ValidationError", failed.as_str())),
            (None, _) => Some(("InternalFailure", failed.as_str())),
        };
        let mut parameters = vec![("endpointName", json!(self.name()))];
        parameters.extend(act.parameters);
        let mut more = vec![("status", json!(act.status))];
        more.extend(act.more);
        let mut record = Record {
            time_s: now_s(),
            source: SAGEMAKER,
            name: act.name,
            region: &region,
            principal: act.caller.principal.as_deref(),
            address: act.caller.remote.ip().to_string(),
            agent: act.agent,
            request: std::str::from_utf8(act.request).unwrap_or_default(),
            resource: &resource,
            error,
            parameters,
            more,
            writes: act.name == "UpdateEndpoint",
            manages: act.name != "InvokeEndpoint",
            ..Record::default()
        };
        match act.name {
            "InvokeEndpoint" => audit.sampled(&mut record),
            _ => audit.record(&record),
        }
    }
}
