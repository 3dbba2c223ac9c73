//! The Open Inference Protocol over HTTP, besides inference itself: health, metadata, the model
//! repository and statistics, as KServe's and Triton's clients ask for them.
//!
//! Sources: <https://github.com/kserve/open-inference-protocol>, and Triton's extensions
//! `binary_tensor_data`, `model_repository` and `statistics`. There is one version of each model,
//! "1". Errors are `{"error": "..."}`.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::codec::Refusal;
use super::container::{self, decoded};
use super::endpoint::{Endpoint, Fleet};
use super::hot::{Hot, Listed, State};
use super::served::Served;
use super::stats::Count;
use crate::data::oip::{DataType, INPUT, Tensor};
use crate::http::{Denied, Reply, Stage, reply};

/// What a path below `/v2` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path<'a> {
    Server,
    Live,
    Ready,
    Model(&'a str, About),
    Infer(&'a str),
    Statistics,
    Index,
    Load(&'a str),
    Unload(&'a str),
    Unknown,
}

/// What is asked about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Metadata,
    Ready,
    Config,
    Statistics,
}

pub(super) const VERSION: &str = "1";

impl Path<'_> {
    /// The model it names.
    pub(super) fn model(&self) -> Option<&str> {
        match self {
            Path::Model(name, _) | Path::Infer(name) | Path::Load(name) | Path::Unload(name) => {
                Some(name)
            }
            _ => None,
        }
    }

    /// Whether it changes which models are loaded.
    pub(super) fn is_managing(&self) -> bool {
        matches!(self, Path::Load(_) | Path::Unload(_))
    }

    /// Reads what follows `/v2`.
    pub(super) fn of(rest: &str) -> Path<'_> {
        let mut parts = rest.trim_start_matches('/').split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let path = match (next(), next(), next()) {
            (None, None, None) => Path::Server,
            (Some("health"), Some("live"), None) => Path::Live,
            (Some("health"), Some("ready"), None) => Path::Ready,
            (Some("models"), Some("stats"), None) => Path::Statistics,
            (Some("repository"), Some("index"), None) => Path::Index,
            (Some("repository"), Some("models"), Some(name)) => match next() {
                Some("load") => Path::Load(name),
                Some("unload") => Path::Unload(name),
                _ => Path::Unknown,
            },
            (Some("models"), Some(name), more) => {
                let about = match more {
                    Some("versions") if next() == Some(VERSION) => next(),
                    Some("versions") => return Path::Unknown,
                    other => other,
                };
                match about {
                    None => Path::Model(name, About::Metadata),
                    Some("infer") => Path::Infer(name),
                    Some("ready") => Path::Model(name, About::Ready),
                    Some("config") => Path::Model(name, About::Config),
                    Some("stats") => Path::Model(name, About::Statistics),
                    Some(_) => Path::Unknown,
                }
            }
            _ => Path::Unknown,
        };
        if next().is_some() { Path::Unknown } else { path }
    }

    /// The methods it knows, as the `Allow` header names them.
    pub(super) fn allow(&self) -> &'static str {
        match self {
            Path::Infer(_) | Path::Index | Path::Load(_) | Path::Unload(_) => "POST",
            _ => "GET, HEAD",
        }
    }

    pub(super) fn allows(&self, method: &Method) -> bool {
        match self.allow() {
            "POST" => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// Answers everything but an inference.
pub(super) async fn answer(endpoint: &Endpoint, path: Path<'_>, stage: Stage) -> Reply {
    match (&endpoint.fleet, path) {
        (_, Path::Server) => ok(&server()),
        (_, Path::Live) => reply::empty(StatusCode::OK),
        (_, Path::Ready | Path::Model(_, About::Ready)) if stage != Stage::Open => {
            error(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
        }
        (_, Path::Ready) => reply::empty(StatusCode::OK),
        (_, Path::Infer(_) | Path::Unknown) => {
            error(StatusCode::NOT_FOUND, "there is nothing here; see GET /v2")
        }
        (_, Path::Statistics) => statistics_of(&endpoint.loaded()),
        (Fleet::Variants(_), path) => of_variants(endpoint, path),
        (Fleet::Many(hot), path) => match of_many(hot, path).await {
            Ok(reply) => reply,
            Err(why) => refusal(&why),
        },
    }
}

/// What is asked about one of many models.
async fn of_many(hot: &Arc<Hot>, path: Path<'_>) -> Result<Reply, Refusal> {
    let is_loaded = |name: &str| hot.loaded(name).ok_or_else(|| container::not_loaded(name));
    Ok(match path {
        Path::Model(name, about) => {
            let name = decoded(name);
            match about {
                About::Metadata => ok(&metadata(&*hot.find(&name).await?)),
                About::Config => ok(&config(&*hot.find(&name).await?)),
                About::Statistics => statistics_of(&[is_loaded(&name)?]),
                About::Ready => match hot.loaded(&name) {
                    Some(_) => reply::empty(StatusCode::OK),
                    None => error(StatusCode::BAD_REQUEST, "the model is not loaded"),
                },
            }
        }
        Path::Index => {
            let line = |listed: Listed| {
                let (state, reason) = match listed.state {
                    State::Ready => ("READY", String::new()),
                    State::Unloaded => ("UNAVAILABLE", "unloaded".to_owned()),
                    State::Broken(why) => ("UNAVAILABLE", why),
                };
                json!({"name": listed.name, "version": VERSION, "state": state, "reason": reason})
            };
            ok(&hot.list().await?.into_iter().map(line).collect())
        }
        Path::Load(name) => {
            let name = decoded(name);
            match hot.loaded(&name) {
                Some(_) => drop(hot.ask_refresh(&name).await?),
                None => drop(hot.find(&name).await?),
            }
            reply::empty(StatusCode::OK)
        }
        Path::Unload(name) => {
            hot.unload(&decoded(name))?;
            reply::empty(StatusCode::OK)
        }
        _ => error(StatusCode::NOT_FOUND, "there is nothing here; see GET /v2"),
    })
}

/// What is asked about the only model there is.
fn of_variants(endpoint: &Endpoint, path: Path<'_>) -> Reply {
    let known = |name: &str| name == endpoint.name();
    match path {
        Path::Model(name, _) | Path::Load(name) | Path::Unload(name) if !known(name) => {
            refusal(&unknown(name))
        }
        Path::Model(_, About::Ready) => reply::empty(StatusCode::OK),
        Path::Model(_, About::Metadata) => of_first(endpoint, metadata),
        Path::Model(_, About::Config) => of_first(endpoint, config),
        Path::Model(_, About::Statistics) => statistics_of(&endpoint.loaded()),
        Path::Index => ok(&json!([{
            "name": endpoint.name(), "version": VERSION, "state": "READY", "reason": "",
        }])),
        // It is loaded already, and stays so: this endpoint serves one model.
        Path::Load(_) => reply::empty(StatusCode::OK),
        Path::Unload(_) => error(
            StatusCode::BAD_REQUEST,
            "this endpoint serves one model and cannot unload it; stop the server instead",
        ),
        _ => error(StatusCode::NOT_FOUND, "there is nothing here; see GET /v2"),
    }
}

fn statistics_of(loaded: &[Arc<Served>]) -> Reply {
    let all: Vec<Value> = loaded.iter().map(|served| statistics(served)).collect();
    ok(&json!({"model_stats": all}))
}

/// What a caller who names another model is told.
pub(super) fn unknown(name: &str) -> Refusal {
    let shown: String = name.chars().take(100).collect();
    let what = format!("Request for unknown model: '{shown}' is not found");
    Refusal::new(StatusCode::NOT_FOUND, what).runtime("ValidationError")
}

/// A refused inference in the protocol's form.
pub(super) fn refusal(refusal: &Refusal) -> Reply {
    let text = match &refusal.help {
        Some(help) => format!("{}: {help}", refusal.message),
        None => refusal.message.clone(),
    };
    let reply = error(refusal.status, &text);
    match refusal.retry_after_s {
        Some(seconds) => reply::retry_after(reply, seconds),
        None => reply,
    }
}

/// What a caller without a token is told.
pub(super) fn denied(why: Denied) -> Reply {
    error(StatusCode::UNAUTHORIZED, &format!("{}: {}", why.message(), why.help()))
}

/// Variants of one model are told apart by nobody here: the first speaks for all.
fn of_first(endpoint: &Endpoint, tell: fn(&Served) -> Value) -> Reply {
    match endpoint.loaded().first() {
        Some(served) => ok(&tell(served)),
        None => error(StatusCode::NOT_FOUND, "no model is loaded"),
    }
}

fn ok(value: &Value) -> Reply {
    reply::full(StatusCode::OK, "application/json", value.to_string().into())
}

fn error(status: StatusCode, text: &str) -> Reply {
    reply::full(status, "application/json", json!({ "error": text }).to_string().into())
}

fn server() -> Value {
    json!({
        "name": "smrt",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data", "model_repository", "statistics"],
    })
}

/// The model's tensors: one of all features, or one for each column where some hold words.
fn inputs(served: &Served) -> Vec<Value> {
    let signature = served.signature();
    if signature.categories.is_empty() {
        return vec![json!({
            "name": INPUT, "datatype": DataType::Fp(4).name(), "shape": [-1, signature.features],
        })];
    }
    let column = |(at, name): (usize, &String)| {
        let words = signature.categories.contains_key(&at);
        let kind = if words { DataType::Bytes } else { DataType::Fp(4) };
        json!({"name": name, "datatype": kind.name(), "shape": [-1, 1]})
    };
    signature.columns.iter().enumerate().map(column).collect()
}

fn outputs(served: &Served) -> Vec<Value> {
    let one = |Tensor { name, datatype, width }: &Tensor| {
        let shape = width.map_or(json!([-1]), |width| json!([-1, width]));
        json!({"name": name, "datatype": datatype.name(), "shape": shape})
    };
    served.outputs.iter().map(one).collect()
}

fn metadata(served: &Served) -> Value {
    json!({
        "name": served.name(),
        "versions": [VERSION],
        "platform": platform(served),
        "inputs": inputs(served),
        "outputs": outputs(served),
    })
}

fn platform(served: &Served) -> String {
    format!("smrt_{}", served.model.manifest.algorithm.replace('-', "_"))
}

/// As much of Triton's configuration as means something here.
fn config(served: &Served) -> Value {
    let typed = |tensors: Vec<Value>| -> Vec<Value> {
        let one = |tensor: Value| {
            let kind = tensor["datatype"].as_str().unwrap_or_default();
            let kind = if kind == "BYTES" { "STRING" } else { kind };
            let dims: Vec<Value> =
                tensor["shape"].as_array().map_or(Vec::new(), |shape| shape[1..].to_vec());
            json!({"name": tensor["name"], "data_type": format!("TYPE_{kind}"), "dims": dims})
        };
        tensors.into_iter().map(one).collect()
    };
    json!({
        "name": served.name(),
        "platform": platform(served),
        "max_batch_size": served.pace.rows(),
        "input": typed(inputs(served)),
        "output": typed(outputs(served)),
    })
}

/// As much of Triton's statistics as is counted: what is not (times in the queue, when the last
/// request came) is left out rather than told as zero.
fn statistics(served: &Served) -> Value {
    let totals = served.sheet.total();
    let failed = totals.invocations_4xx.get() + totals.invocations_5xx.get();
    let succeeded = totals.invocations.get().saturating_sub(failed);
    let model_ns = totals.model.sum.get();
    let batches: u64 = totals.batch.counts.iter().map(Count::get).sum();
    json!({
        "name": served.name(),
        "version": VERSION,
        "inference_count": totals.rows.get(),
        "execution_count": batches,
        "inference_stats": {
            "success": {"count": succeeded, "ns": model_ns + totals.overhead.sum.get()},
            "fail": {"count": failed},
            "compute_infer": {"count": succeeded, "ns": model_ns},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_protocol() {
        for (rest, path) in [
            ("", Path::Server),
            ("/health/live", Path::Live),
            ("/health/ready", Path::Ready),
            ("/models/a", Path::Model("a", About::Metadata)),
            ("/models/a/versions/1", Path::Model("a", About::Metadata)),
            ("/models/a/versions/1/infer", Path::Infer("a")),
            ("/models/a/infer", Path::Infer("a")),
            ("/models/a/ready", Path::Model("a", About::Ready)),
            ("/models/a/stats", Path::Model("a", About::Statistics)),
            ("/models/stats", Path::Statistics),
            ("/repository/index", Path::Index),
            ("/repository/models/a/load", Path::Load("a")),
            ("/repository/models/a/unload", Path::Unload("a")),
            ("/models/a/versions/2/infer", Path::Unknown),
            ("/models/a/infer/x", Path::Unknown),
            ("/health", Path::Unknown),
            ("/models", Path::Unknown),
        ] {
            assert_eq!(Path::of(rest), path, "{rest}");
        }
    }
}
