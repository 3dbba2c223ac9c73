//! The paths that SageMaker's platform manages a multi-model container by: `/models`,
//! `/models/NAME` and `/models/NAME/invoke`.
//!
//! | what happened | status |
//! |---|---|
//! | loaded, listed, told, unloaded | 200 |
//! | a body that is no `{"model_name", "url"}`, a place outside the endpoint's | 400 |
//! | no model of this name is loaded, nothing is at that place | 404 |
//! | a model of this name is loaded already | 409 |
//! | it takes more memory than there may be | 507 |
//!
//! `/models/NAME/invoke` is an invocation and is answered by [`super::routes`].

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::codec::Refusal;
use super::endpoint::{Endpoint, Fleet};
use super::hot::Hot;
use crate::http::{Reply, reply};

/// What a path below `/models` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path<'a> {
    All,
    One(&'a str),
    Invoke(&'a str),
}

impl Path<'_> {
    /// Reads what follows `/models`.
    pub(super) fn of(rest: &str) -> Option<Path<'_>> {
        if rest.is_empty() {
            return Some(Path::All);
        }
        let name = rest.strip_prefix('/')?;
        let (name, invoke) = match name.strip_suffix("/invoke") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let fine = !name.is_empty() && !name.contains('/');
        fine.then_some(if invoke { Path::Invoke(name) } else { Path::One(name) })
    }

    /// The model it names.
    pub(super) fn model(&self) -> Option<&str> {
        match self {
            Path::All => None,
            Path::One(name) | Path::Invoke(name) => Some(name),
        }
    }

    pub(super) fn allow(&self) -> &'static str {
        match self {
            Path::All => "GET, HEAD, POST",
            Path::One(_) => "GET, HEAD, DELETE",
            Path::Invoke(_) => "POST",
        }
    }

    pub(super) fn allows(&self, method: &Method) -> bool {
        self.allow().split(", ").any(|known| known == method.as_str())
    }
}

/// A percent-encoded part of a path as text.
pub(super) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| (*byte as char).to_digit(16));
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Answers everything but an invocation. `body` is what was sent.
pub(super) async fn answer(
    endpoint: &Endpoint,
    path: Path<'_>,
    method: &Method,
    query: &str,
    body: &[u8],
) -> Reply {
    let result = match (&endpoint.fleet, path) {
        (Fleet::Many(hot), Path::All) if method == Method::POST => load(hot, body).await,
        (Fleet::Many(hot), Path::All) => page(&hot.names(), query),
        (Fleet::Many(hot), Path::One(name)) => {
            let name = decoded(name);
            match method == Method::DELETE {
                true => unload(hot, &name),
                false => about(hot, &name),
            }
        }
        (Fleet::Variants(_), _) | (_, Path::Invoke(_)) => {
            Err(Refusal::new(StatusCode::NOT_FOUND, "this endpoint does not serve many models")
                .help("start it with a folder or prefix of artifacts: smrt serve DIR"))
        }
    };
    match result {
        Ok(value) => reply::full(StatusCode::OK, "application/json", value.to_string().into()),
        Err(Refusal { status, message, help, .. }) => {
            reply::refusal(status, &message, help.as_deref())
        }
    }
}

async fn load(hot: &std::sync::Arc<Hot>, body: &[u8]) -> Result<Value, Refusal> {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let (Some(name), Some(url)) = (asked["model_name"].as_str(), asked["url"].as_str()) else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the body does not name a model")
            .help("send {\"model_name\": \"a\", \"url\": \"a.tar.gz\"}"));
    };
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "model_name is no name"));
    }
    let Some(key) = hot.key_of(url) else {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "url lies outside this endpoint's models",
        )
        .help("name an artifact below the place the endpoint was started with"));
    };
    if hot.loaded(name).is_some() {
        let what = format!("model {name:?} is loaded already");
        return Err(Refusal::new(StatusCode::CONFLICT, what).help("DELETE /models/NAME unloads it"));
    }
    hot.load_as(name, &key).await?;
    Ok(json!({"modelName": name, "modelUrl": url}))
}

fn unload(hot: &Hot, name: &str) -> Result<Value, Refusal> {
    match hot.unload(name)? {
        true => Ok(json!({"status": format!("model {name:?} is unloaded")})),
        false => Err(not_loaded(name)),
    }
}

fn about(hot: &Hot, name: &str) -> Result<Value, Refusal> {
    let found = hot.names().into_iter().find(|(known, _)| **known == *name);
    let (name, url) = found.ok_or_else(|| not_loaded(name))?;
    Ok(json!({"modelName": &*name, "modelUrl": url}))
}

pub(super) fn not_loaded(name: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("model {name:?} is not loaded"))
        .help("POST /models loads it")
        .runtime("ValidationError")
}

/// One page of the loaded models, in the order of their names.
fn page(names: &[(std::sync::Arc<str>, String)], query: &str) -> Result<Value, Refusal> {
    const LIMIT: usize = 100;
    let value = |key: &str| {
        let pair = |pair: &&str| pair.split('=').next() == Some(key);
        query.split('&').find(pair).and_then(|pair| pair.split_once('=')).map(|(_, v)| decoded(v))
    };
    let limit = match value("limit").map(|text| text.parse::<usize>()) {
        None => LIMIT,
        Some(Ok(limit)) if limit > 0 => limit.min(1_000),
        Some(_) => {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "limit is not a number above 0"));
        }
    };
    // The token is the last name of the page before: models may come and go in between.
    let after = value("next_page_token").unwrap_or_default();
    let mut rest = names.iter().filter(|(name, _)| **name > *after);
    let models: Vec<&(std::sync::Arc<str>, String)> = rest.by_ref().take(limit).collect();
    let mut page = json!({
        "models": models.iter().map(|(name, url)| {
            json!({"modelName": &**name, "modelUrl": url})
        }).collect::<Vec<_>>(),
    });
    if let (Some((last, _)), Some(_)) = (models.last(), rest.next()) {
        page["nextPageToken"] = json!(&**last);
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_platform() {
        assert_eq!(Path::of(""), Some(Path::All));
        assert_eq!(Path::of("/a.tar.gz"), Some(Path::One("a.tar.gz")));
        assert_eq!(Path::of("/a/invoke"), Some(Path::Invoke("a")));
        for wrong in ["/", "x", "/a/b", "/a/invoke/x", "//invoke"] {
            assert_eq!(Path::of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_in_paths_may_be_encoded() {
        assert_eq!(decoded("team%2Fa.tar.gz"), "team/a.tar.gz");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%C3%A9%zz"), "é%zz");
    }

    #[test]
    fn pages_follow_one_another() {
        let names: Vec<_> =
            ["a", "b", "c"].map(|name| (name.into(), format!("{name}.tar.gz"))).into();
        let first = page(&names, "limit=2").unwrap();
        assert_eq!(first["models"][1]["modelName"], "b");
        let token = first["nextPageToken"].as_str().unwrap();
        let second = page(&names, &format!("limit=2&next_page_token={token}")).unwrap();
        assert_eq!(second["models"][0]["modelName"], "c");
        assert!(second.get("nextPageToken").is_none());
        assert!(page(&names, "limit=0").is_err());
    }
}
