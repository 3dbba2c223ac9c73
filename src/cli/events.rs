//! `--events PLACE`: what happens to a job or an endpoint is told as EventBridge would.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use crate::event::{Event, Place, Teller};
use crate::fault::Kind;
use crate::serve::Change;
use crate::spec::train::TrainingJob;
use crate::train::Report;

/// Where events go.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct EventOptions {
    /// Tell state changes to a file, a webhook (https://…, signed with SMRT_EVENTS_SECRET), or a
    /// command (exec:PROGRAM, the event on its standard input); may be given several times
    #[arg(long, value_name = "PLACE")]
    events: Vec<String>,
}

impl EventOptions {
    /// The teller, where there is a place.
    pub(super) fn teller(&self) -> Result<Option<Teller>, Failure> {
        if self.events.is_empty() {
            return Ok(None);
        }
        let secret = std::env::var("SMRT_EVENTS_SECRET").ok();
        let read = self.events.iter().map(|text| Place::read(text, secret.as_deref()));
        Ok(Some(Teller::new(read.collect::<Result<_, _>>()?)?))
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Tells how a training job goes. SageMaker writes its times as texts.
pub(super) struct JobEvents<'a> {
    teller: Option<&'a Teller>,
    job: &'a TrainingJob,
    arn: &'a str,
    begun_ms: u64,
}

impl<'a> JobEvents<'a> {
    pub(super) fn begin(
        teller: Option<&'a Teller>,
        job: &'a TrainingJob,
        arn: &'a str,
    ) -> JobEvents<'a> {
        let events = JobEvents { teller, job, arn, begun_ms: now_ms() };
        events.tell("InProgress", "Starting", json!({}));
        events
    }

    pub(super) fn end(&self, outcome: &Result<Report, Failure>) {
        match outcome {
            Ok(report) => {
                let metric = |metric: &crate::algorithm::Metric| json!({ "MetricName": metric.name, "Value": metric.value });
                let metrics: Vec<Value> = report.metrics.iter().map(metric).collect();
                let artifact = report.artifact.to_string();
                self.tell(
                    "Completed",
                    "Completed",
                    json!({
                        "ModelArtifacts": { "S3ModelArtifacts": artifact },
                        "FinalMetricDataList": metrics,
                        "TrainingEndTime": now_ms().to_string(),
                    }),
                );
            }
            Err(why) => {
                let status = if why.kind() == Kind::Stopped { "Stopped" } else { "Failed" };
                let reason = format!("{}: {why}", why.kind().party());
                self.tell(
                    status,
                    status,
                    json!({
                        "FailureReason": reason,
                        "TrainingEndTime": now_ms().to_string(),
                    }),
                );
            }
        }
    }

    fn tell(&self, status: &str, secondary: &str, more: Value) {
        let Some(teller) = self.teller else { return };
        let job = self.job;
        let mut detail = json!({
            "TrainingJobName": job.name.as_str(),
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": status,
            "SecondaryStatus": secondary,
            "AlgorithmSpecification": { "AlgorithmName": job.algorithm, "TrainingInputMode": "File" },
            "OutputDataConfig": {
                "S3OutputPath": job.output.uri.to_string(), "KmsKeyId": job.output.key.to_string(),
            },
            "StoppingCondition": { "MaxRuntimeInSeconds": job.stopping.max_runtime.as_secs() },
            "CreationTime": self.begun_ms.to_string(),
            "TrainingStartTime": self.begun_ms.to_string(),
            "LastModifiedTime": now_ms().to_string(),
            "Tags": {},
        });
        if let Some(role) = &job.role {
            detail["RoleArn"] = json!(role.as_str());
        }
        if let (Some(detail), Value::Object(more)) = (detail.as_object_mut(), more) {
            detail.extend(more);
        }
        let kind = "SageMaker Training Job State Change";
        teller.tell(&Event { kind, resource: self.arn, detail });
    }
}

/// Tells what changes about an endpoint whose ARN is `arn`.
pub(super) fn of_endpoint(teller: &Arc<Teller>, arn: &str, endpoint: &str, change: &Change<'_>) {
    let now = now_ms();
    let model_arn = |model: &str| {
        let head = arn.split(":endpoint/").next().unwrap_or_default();
        format!("{head}:model/{model}")
    };
    let model = |name: &str, status: &str, sha256: Option<&str>| {
        json!({
            "ModelName": name, "ModelArn": model_arn(name), "ModelStatus": status,
            "ModelSha256": sha256, "EndpointName": endpoint, "LastModifiedTime": now, "Tags": {},
        })
    };
    let of_endpoint = |status: &str| {
        json!({
            "EndpointName": endpoint, "EndpointArn": arn, "EndpointStatus": status,
            "LastModifiedTime": now, "Tags": {},
        })
    };
    let (kind, resource, detail) = match change {
        Change::InService | Change::Weighted => {
            ("Endpoint", arn.to_owned(), of_endpoint("IN_SERVICE"))
        }
        Change::Stopped => ("Endpoint", arn.to_owned(), of_endpoint("DELETING")),
        Change::Loaded { model: name, sha256 } => {
            ("Model", model_arn(name), model(name, "LOADED", Some(sha256)))
        }
        Change::Unloaded { model: name } => {
            ("Model", model_arn(name), model(name, "UNLOADED", None))
        }
        Change::Swapped { variant, to, .. } => {
            ("Model", model_arn(variant), model(variant, "SWAPPED", Some(to)))
        }
    };
    let kind = format!("SageMaker {kind} State Change");
    teller.tell(&Event { kind: &kind, resource: &resource, detail });
}
