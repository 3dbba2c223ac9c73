//! What changes about an endpoint, put on the record.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::{Failure, audited, events};
use crate::event::Teller;
use crate::serve::Change;
use crate::telemetry::audit::{Audit, Record, SAGEMAKER};
use crate::telemetry::date::now_s;

/// Whose endpoint it is.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) region: String,
    pub(super) account: String,
    /// ARN of its role, where it has one.
    pub(super) role: Option<String>,
}

/// Puts changes on the record and tells them.
pub(super) struct Told {
    owner: Owner,
    log: Option<Arc<Audit>>,
    teller: Option<Arc<Teller>>,
}

impl Told {
    pub(super) fn new(owner: Owner, teller: Option<Teller>) -> Result<Told, Failure> {
        Ok(Told { owner, log: audited::log(None)?, teller: teller.map(Arc::new) })
    }

    pub(super) fn tell(&self, endpoint: &str, change: &Change<'_>) {
        let Owner { region, account, .. } = &self.owner;
        let arn = format!("arn:aws:sagemaker:{region}:{account}:endpoint/{endpoint}");
        if let Some(log) = &self.log {
            record(log, &self.owner, &arn, endpoint, change);
        }
        if let Some(teller) = &self.teller {
            events::of_endpoint(teller, &arn, endpoint, change);
        }
    }
}

fn record(log: &Arc<Audit>, owner: &Owner, arn: &str, endpoint: &str, change: &Change<'_>) {
    let Owner { region, role, .. } = owner;
    let mut parameters: Vec<(&'static str, Value)> = vec![("endpointName", endpoint.into())];
    let (name, by_service) = match change {
        Change::InService => ("CreateEndpoint", false),
        Change::Stopped => ("DeleteEndpoint", false),
        Change::Loaded { model, sha256 } => {
            parameters.push(("modelName", (*model).into()));
            parameters.push(("modelSha256", (*sha256).into()));
            ("ModelLoaded", true)
        }
        Change::Unloaded { model } => {
            parameters.push(("modelName", (*model).into()));
            ("ModelUnloaded", true)
        }
        Change::Swapped { variant, from, to } => {
            parameters.push(("variantName", (*variant).into()));
            parameters.push(("modelSha256Before", (*from).into()));
            parameters.push(("modelSha256", (*to).into()));
            ("ModelSwapped", true)
        }
        Change::Weighted => ("UpdateEndpointWeightsAndCapacities", true),
    };
    if let Some(role) = role {
        parameters.push(("roleArn", role.as_str().into()));
    }
    let (user, request) = (audited::user(), Uuid::new_v4().to_string());
    let record = Record {
        time_s: now_s(),
        source: SAGEMAKER,
        name,
        region,
        principal: Some(if by_service { SAGEMAKER } else { &user }),
        address: "local".into(),
        request: &request,
        resource: arn,
        parameters,
        writes: true,
        manages: true,
        by_service,
        ..Record::default()
    };
    // The endpoint refuses what comes after it if the log has failed.
    log.record(&record);
}
