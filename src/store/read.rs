//! Remote objects as plain [`Read`]: ranges fetched ahead, in order, in bounded memory.
//!
//! Every answer is compared with the object that was listed, so what comes out is one version of
//! it from the first byte to the last, or an error. `http(s)://` is read in one stream, since not
//! every web server answers ranges.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult};

use super::connect::Bucket;
use super::error::Error;
use super::object::Object;
use super::remote;
use super::runtime::{self, Pending};
use crate::spec::limit;
use crate::spec::uri::Uri;

/// Opens `range` of a remote object.
pub(super) fn open(
    bucket: Arc<Bucket>,
    object: Object,
    range: Range<u64>,
) -> Result<Box<dyn Read + Send>, Error> {
    let path = remote::object_path(&object.uri)?;
    if let Uri::Http(_) = object.uri {
        let whole = Stream {
            bucket,
            path,
            object,
            stream: None,
            pieces: Pieces::new(),
            read: 0,
            failed: false,
        };
        return Ok(skip(whole, range));
    }
    let mut reader = Ranged {
        bucket,
        path,
        object,
        next: range.start,
        end: range.end,
        ahead: VecDeque::new(),
        pieces: Pieces::new(),
        failed: false,
    };
    reader.fetch_ahead();
    Ok(Box::new(reader))
}

/// A range of something that can only be read from its beginning.
fn skip(whole: Stream, range: Range<u64>) -> Box<dyn Read + Send> {
    if range.start == 0 {
        return Box::new(whole.take(range.end));
    }
    Box::new(Skipping { whole, skip: range.start }.take(range.end - range.start))
}

struct Skipping {
    whole: Stream,
    skip: u64,
}

impl Read for Skipping {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.skip > 0 {
            self.skip -= io::copy(&mut (&mut self.whole).take(self.skip), &mut io::sink())?;
        }
        self.whole.read(out)
    }
}

/// A range in the pieces it came in: joining them would copy every byte once more.
type Pieces = VecDeque<Bytes>;
/// One range as it arrived, and what the server said the object is by then.
type Arrived = Result<(Pieces, Object), Error>;

struct Ranged {
    bucket: Arc<Bucket>,
    path: Path,
    /// As it was listed; the tag is filled in by the first answer if the listing had none.
    object: Object,
    next: u64,
    end: u64,
    ahead: VecDeque<Pending<Arrived>>,
    pieces: Pieces,
    failed: bool,
}

impl Ranged {
    fn fetch_ahead(&mut self) {
        while self.next < self.end && self.ahead.len() < limit::READ_RANGES_AHEAD {
            let until = self.end.min(self.next + limit::READ_RANGE_BYTES);
            let (bucket, path) = (self.bucket.clone(), self.path.clone());
            let fetch = fetch_in_time(bucket, path, self.object.clone(), self.next..until);
            self.ahead.push_back(runtime::start(fetch));
            self.next = until;
        }
    }

    fn advance(&mut self) -> Result<(), Error> {
        let Some(pending) = self.ahead.pop_front() else { return Ok(()) };
        let (pieces, now) = pending.wait()?;
        // Requests already under way did not know a tag that the first answer brought.
        self.object.same_as(&now)?;
        self.object.tag = self.object.tag.take().or(now.tag);
        self.pieces = pieces;
        self.fetch_ahead();
        Ok(())
    }
}

async fn fetch(bucket: Arc<Bucket>, path: Path, object: Object, range: Range<u64>) -> Arrived {
    let options = GetOptions {
        range: Some(GetRange::Bounded(range.clone())),
        if_match: object.if_match(),
        ..Default::default()
    };
    let found = match bucket.objects.get_opts(&path, options).await {
        Ok(found) => found,
        Err(e) => return Err(remote::explain_read(e, &bucket, &object).await),
    };
    let now = Object::remote(object.uri.clone(), found.meta.clone());
    object.same_as(&now)?;
    let wanted = range.end - range.start;
    match gather(&mut body(found), wanted + 1).await {
        Ok((pieces, bytes)) if bytes == wanted => Ok((pieces, now)),
        Ok((_, bytes)) => {
            let detail = format!("{bytes} bytes came where {wanted} were asked for");
            Err(Error::Changed { uri: object.uri, detail })
        }
        Err(e) => Err(remote::explain_read(e, &bucket, &object).await),
    }
}

/// The bytes of an answer, without empty pieces: a reader would take one for the end.
fn body(found: GetResult) -> Body {
    found.into_stream().try_filter(|piece| std::future::ready(!piece.is_empty())).boxed()
}

/// What comes next, at least `enough` bytes unless the body ends; and how much it was.
async fn gather(body: &mut Body, enough: u64) -> object_store::Result<(Pieces, u64)> {
    let (mut pieces, mut bytes) = (Pieces::new(), 0);
    while bytes < enough
        && let Some(piece) = body.next().await.transpose()?
    {
        bytes += piece.len() as u64;
        pieces.push_back(piece);
    }
    Ok((pieces, bytes))
}

/// [`fetch`], but not for ever.
async fn fetch_in_time(
    bucket: Arc<Bucket>,
    path: Path,
    object: Object,
    range: Range<u64>,
) -> Arrived {
    let (uri, asked) = (object.uri.clone(), bucket.clone());
    let limit = Duration::from_secs(limit::READ_RANGE_TIMEOUT_S);
    let arrived = tokio::time::timeout(limit, fetch(bucket, path, object, range)).await;
    arrived.unwrap_or_else(|_| Err(too_slow(uri, &asked, limit)))
}

impl Read for Ranged {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(failed_before(&self.object.uri));
        }
        if self.pieces.is_empty() && !out.is_empty() {
            self.advance().inspect_err(|_| {
                self.failed = true;
                self.ahead.clear();
            })?;
        }
        Ok(take(&mut self.pieces, out))
    }
}

/// A body of the client library's, as it arrives.
type Body = BoxStream<'static, object_store::Result<Bytes>>;

/// One answer from first byte to last.
struct Stream {
    bucket: Arc<Bucket>,
    path: Path,
    object: Object,
    stream: Option<Body>,
    pieces: Pieces,
    read: u64,
    failed: bool,
}

/// Bytes of a stream that are waited for at once.
const STREAM_BYTES: u64 = 256 << 10;

impl Stream {
    fn advance(&mut self) -> Result<(), Error> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.begin()?,
        };
        let (bucket, uri) = (self.bucket.clone(), self.object.uri.clone());
        let (arrived, stream) = runtime::wait(async move {
            let limit = Duration::from_secs(limit::READ_RANGE_TIMEOUT_S);
            let arrived = match tokio::time::timeout(limit, gather(&mut stream, STREAM_BYTES)).await
            {
                Ok(arrived) => arrived.map_err(|e| remote::explain(&e, &bucket, &uri, "read")),
                Err(_) => Err(too_slow(uri, &bucket, limit)),
            };
            (arrived, stream)
        });
        self.stream = Some(stream);
        let (pieces, bytes) = arrived?;
        self.pieces = pieces;
        self.read += bytes;
        if bytes == 0 && self.read != self.object.bytes {
            let detail = format!("it had {} bytes, {} came", self.object.bytes, self.read);
            return Err(Error::Changed { uri: self.object.uri.clone(), detail });
        }
        Ok(())
    }

    fn begin(&self) -> Result<Body, Error> {
        let (bucket, path, object) = (self.bucket.clone(), self.path.clone(), self.object.clone());
        runtime::wait(async move {
            let options = GetOptions { if_match: object.if_match(), ..Default::default() };
            let found = match bucket.objects.get_opts(&path, options).await {
                Ok(found) => found,
                Err(e) => return Err(remote::explain_read(e, &bucket, &object).await),
            };
            object.same_as(&Object::remote(object.uri.clone(), found.meta.clone()))?;
            Ok(body(found))
        })
    }
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(failed_before(&self.object.uri));
        }
        let more = self.read < self.object.bytes || self.read == 0;
        if self.pieces.is_empty() && !out.is_empty() && more {
            self.advance().inspect_err(|_| self.failed = true)?;
        }
        Ok(take(&mut self.pieces, out))
    }
}

/// Moves bytes from the front of what has arrived.
fn take(pieces: &mut Pieces, out: &mut [u8]) -> usize {
    let Some(piece) = pieces.front_mut() else { return 0 };
    let count = piece.len().min(out.len());
    piece.copy_to_slice(&mut out[..count]);
    if piece.is_empty() {
        pieces.pop_front();
    }
    count
}

fn failed_before(uri: &Uri) -> io::Error {
    io::Error::other(format!("{uri} could not be read before"))
}

fn too_slow(uri: Uri, bucket: &Bucket, limit: Duration) -> Error {
    let cause = format!("too little came within {limit:?}");
    Error::Unreachable { uri, endpoint: bucket.endpoint.clone(), cause }
}
