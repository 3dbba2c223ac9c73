//! A bound on what a server's answer may make the client hold, and for how long.
//!
//! The client library reads listings and error texts whole and believes the length that the server
//! announces. Here such answers are read first, up to a limit and within a time. The body of an
//! object passes untouched: its reader asks for ranges and counts what comes.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt;
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};

use super::client::{Reach, Refused};
use crate::spec::limit;

/// A client whose answers are bounded, and whose requests go nowhere that is forbidden.
#[derive(Debug)]
pub(super) struct Bounded {
    pub(super) client: HttpClient,
    pub(super) reach: Reach,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Bounded {
    // What `#[async_trait]` would write; the crate is not worth one function.
    fn call<'client, 'answer>(&'client self, request: HttpRequest) -> Answer<'answer>
    where
        'client: 'answer,
    {
        Box::pin(async move {
            let asks_for_object = is_for_object(&request);
            let host = request.uri().host().unwrap_or_default();
            self.reach.check_host(host).map_err(refused)?;
            let answer = self.client.execute(request).await.map_err(never_again)?;
            match asks_for_object && answer.status().is_success() {
                true => Ok(answer),
                false => read_whole(answer).await,
            }
        })
    }
}

/// A kind of error that is not tried again.
fn refused(refused: Refused) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, refused)
}

/// A connection that was refused while it was being made would be tried again as one that failed.
fn never_again(error: HttpError) -> HttpError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<Refused>() {
            return refused(found.clone());
        }
        cause = inner.source();
    }
    error
}

/// Whether a successful answer is an object's own bytes.
fn is_for_object(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let lists = query.split('&').any(|pair| matches!(pair, "list-type=2" | "comp=list"));
    request.method() == "GET" && !lists
}

async fn read_whole(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = answer.into_parts();
    let limit = Duration::from_secs(limit::SILENCE_TIMEOUT_S);
    let whole = tokio::time::timeout(limit, gather(body))
        .await
        .map_err(|_| error(HttpErrorKind::Timeout, "its answer did not come to an end"))??;
    Ok(HttpResponse::from_parts(head, whole))
}

async fn gather(body: HttpResponseBody) -> Result<HttpResponseBody, HttpError> {
    let mut frames = body.bytes_stream();
    let mut whole = BytesMut::new();
    while let Some(frame) = frames.next().await {
        whole.extend_from_slice(&frame?);
        if whole.len() > limit::STORE_ANSWER_BYTES_MAX {
            return Err(error(HttpErrorKind::Decode, "its answer is too long to be one"));
        }
    }
    Ok(whole.freeze().into())
}

#[derive(Debug)]
struct Unbounded(&'static str);

impl fmt::Display for Unbounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unbounded {}

fn error(kind: HttpErrorKind, why: &'static str) -> HttpError {
    HttpError::new(kind, Unbounded(why))
}
