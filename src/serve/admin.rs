//! What an operator asks of a running endpoint: how it stands, other weights, another model.
//!
//! | request | does |
//! |---|---|
//! | `GET /endpoints/NAME` | tells variants, weights and models, as SageMaker's DescribeEndpoint |
//! | `PUT /endpoints/NAME/weights` | moves traffic: `{"DesiredWeightsAndCapacities": [{"VariantName", "DesiredWeight"}]}` |
//! | `PUT /endpoints/NAME/variants/VARIANT` | puts in another model: `{"ModelDataUrl"}`, or looks again at its own place |
//!
//! The last two need `[admin]` in the endpoint's file, which also bounds where models may come from.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::codec::Refusal;
use super::endpoint::{Endpoint, Fleet};
use super::rollout::Progress;
use super::traffic::{Source, Traffic};
use crate::http::{Reply, Stage, reply};
use crate::spec::uri::Uri;

/// What a path below `/endpoints/NAME` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path<'a> {
    Describe,
    Weights,
    Variant(&'a str),
}

impl Path<'_> {
    /// Reads what follows the endpoint's name.
    pub(super) fn of(rest: &str) -> Option<Path<'_>> {
        match rest {
            "" => Some(Path::Describe),
            "/weights" => Some(Path::Weights),
            _ => {
                let name = rest.strip_prefix("/variants/")?;
                (!name.is_empty() && !name.contains('/')).then_some(Path::Variant(name))
            }
        }
    }

    pub(super) fn allow(&self) -> &'static str {
        match self {
            Path::Describe => "GET, HEAD",
            Path::Weights | Path::Variant(_) => "PUT",
        }
    }
}

/// Answers.
pub(super) async fn answer(
    endpoint: &Arc<Endpoint>,
    path: Path<'_>,
    body: &[u8],
    stage: Stage,
) -> Reply {
    let result = match (&endpoint.fleet, path) {
        (_, Path::Describe) => Ok(describe(endpoint, stage)),
        (Fleet::Variants(traffic), Path::Weights) => weights(traffic, body),
        (Fleet::Variants(traffic), Path::Variant(name)) => {
            replace(endpoint, traffic, name, body).await
        }
        (Fleet::Many(_), _) => {
            Err(Refusal::new(StatusCode::NOT_FOUND, "this endpoint has no variants")
                .help("POST /v2/repository/models/NAME/load loads a model anew"))
        }
    };
    match result {
        Ok(value) => reply::full(StatusCode::OK, "application/json", value.to_string().into()),
        Err(Refusal { status, message, help, .. }) => {
            reply::refusal(status, &message, help.as_deref())
        }
    }
}

fn describe(endpoint: &Endpoint, stage: Stage) -> Value {
    let mut told = json!({ "EndpointName": endpoint.name() });
    let mut status = if stage == Stage::Open { "InService" } else { "Deleting" };
    match &endpoint.fleet {
        Fleet::Many(hot) => {
            let (models, bytes) = hot.size();
            told["ModelDataUrl"] = json!(hot.place().to_string());
            told["LoadedModelCount"] = json!(models);
            told["LoadedModelBytes"] = json!(bytes);
        }
        Fleet::Variants(traffic) => {
            let table = traffic.table();
            let total: f64 = table.variants.iter().map(|variant| variant.weight).sum();
            let of = |name: &str, source: Option<&Source>, digest: &str| {
                json!({
                    "VariantName": name,
                    "ModelDataUrl": source.map(|source| source.object.uri.to_string()),
                    "ModelSha256": digest,
                })
            };
            let one = |variant: &super::traffic::Variant| {
                let digest = &variant.served.model.digest;
                let mut one = of(variant.name(), variant.source.as_ref(), digest);
                one["CurrentWeight"] = json!(variant.weight);
                one["TrafficPercentage"] = json!(100.0 * variant.weight / total);
                one
            };
            told["ProductionVariants"] = table.variants.iter().map(one).collect();
            if let Some(shadow) = &traffic.shadow {
                let served = shadow.served();
                let source = shadow.source.lock().map(|source| source.clone()).ok();
                let name = served.names.variant.to_str().unwrap_or_default();
                let mut one = of(name, source.as_ref(), &served.model.digest);
                let counts = shadow.counts();
                one["Compared"] = json!(counts.compared);
                one["Different"] = json!(counts.different);
                one["LargestDifference"] = json!(counts.largest);
                told["ShadowProductionVariants"] = json!([one]);
            }
            told["ModelSwaps"] = json!(traffic.swaps.load(Ordering::Relaxed));
            match traffic.progressed() {
                Some(Progress::Moved(percent)) => {
                    status = "Updating";
                    told["TrafficMovedPercentage"] = json!(percent);
                }
                Some(Progress::RolledBack(why)) => told["FailureReason"] = json!(why),
                Some(Progress::Done) | None => {}
            }
        }
    }
    told["EndpointStatus"] = json!(status);
    told
}

fn weights(traffic: &Traffic, body: &[u8]) -> Result<Value, Refusal> {
    traffic.may_put(None)?;
    if matches!(traffic.progressed(), Some(Progress::Moved(_))) {
        let what = "the endpoint is being updated";
        return Err(Refusal::new(StatusCode::CONFLICT, what).help("wait until the rollout is over"));
    }
    let wrong = |what: &str| {
        Err(Refusal::new(StatusCode::BAD_REQUEST, what).help(
            "send {\"DesiredWeightsAndCapacities\": [{\"VariantName\": \"blue\", \"DesiredWeight\": 1}]}",
        ))
    };
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(list) = asked["DesiredWeightsAndCapacities"].as_array() else {
        return wrong("the body does not list weights");
    };
    let mut new: Vec<(&str, f64)> = Vec::new();
    for one in list {
        match (one["VariantName"].as_str(), one["DesiredWeight"].as_f64()) {
            (Some(name), Some(weight)) if weight >= 0.0 && weight.is_finite() => {
                new.push((name, weight));
            }
            _ => return wrong("a weight is a variant's name and a number that is not negative"),
        }
    }
    let table = traffic.table();
    if let Some((name, _)) =
        new.iter().find(|(name, _)| !table.variants.iter().any(|one| one.name() == *name))
    {
        return wrong(&format!("there is no variant {name:?}"));
    }
    let after = |variant: &super::traffic::Variant| {
        new.iter().find(|(name, _)| *name == variant.name()).map_or(variant.weight, |one| one.1)
    };
    if table.variants.iter().map(after).sum::<f64>() <= 0.0 {
        return wrong("no variant would have a weight");
    }
    traffic.set_weights(&new);
    tracing::info!(weights = ?new, "weights changed");
    Ok(json!({}))
}

async fn replace(
    endpoint: &Arc<Endpoint>,
    traffic: &Traffic,
    name: &str,
    body: &[u8],
) -> Result<Value, Refusal> {
    let asked: Value = match body.trim_ascii() {
        b"" => Value::Null,
        body => serde_json::from_slice(body).map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}"))
                .help("send {\"ModelDataUrl\": \"s3://…/model.tar.gz\"}, or nothing")
        })?,
    };
    let uri = match asked["ModelDataUrl"].as_str() {
        None => None,
        Some(text) => Some(Uri::parse(text, FilePath::new("/")).map_err(|(what, help)| {
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, what);
            Refusal { help, ..refusal }
        })?),
    };
    traffic.may_put(uri.as_ref())?;
    let (own, variant) = (Arc::clone(endpoint), name.to_owned());
    let task = move || match &own.fleet {
        Fleet::Variants(traffic) => traffic.replace(&variant, uri.as_ref()),
        Fleet::Many(_) => Ok(false),
    };
    let swapped = endpoint.background.ask(task).await.unwrap_or_else(|| {
        Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the endpoint is busy or stopping"))
    })?;
    Ok(json!({ "VariantName": name, "Swapped": swapped }))
}
