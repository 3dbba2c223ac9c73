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
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange};

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
        let whole = Stream { bucket, path, object, stream: None, chunk: Bytes::new(), read: 0 };
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
    match gather(found.into_stream(), wanted).await {
        Ok((pieces, bytes)) if bytes == wanted => Ok((pieces, now)),
        Ok((_, bytes)) => {
            let detail = format!("{bytes} bytes came where {wanted} were asked for");
            Err(Error::Changed { uri: object.uri, detail })
        }
        Err(e) => Err(remote::explain_read(e, &bucket, &object).await),
    }
}

/// Everything that comes, until it is more than was `wanted`; and how much it was.
async fn gather(mut body: Body, wanted: u64) -> object_store::Result<(Pieces, u64)> {
    let (mut pieces, mut bytes) = (Pieces::new(), 0);
    while let Some(piece) = body.next().await.transpose()? {
        bytes += piece.len() as u64;
        pieces.push_back(piece);
        if bytes > wanted {
            break;
        }
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
    let (uri, endpoint) = (object.uri.clone(), bucket.endpoint.clone());
    let limit = Duration::from_secs(limit::READ_RANGE_TIMEOUT_S);
    match tokio::time::timeout(limit, fetch(bucket, path, object, range)).await {
        Ok(arrived) => arrived,
        Err(_) => {
            let cause = format!("one range took more than {limit:?}");
            Err(Error::Unreachable { uri, endpoint, cause })
        }
    }
}

impl Read for Ranged {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other(format!("{} could not be read before", self.object.uri)));
        }
        if self.pieces.is_empty() && !out.is_empty() {
            self.advance().inspect_err(|_| {
                self.failed = true;
                self.ahead.clear();
            })?;
        }
        let Some(piece) = self.pieces.front_mut() else { return Ok(0) };
        let count = take(piece, out);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(count)
    }
}

fn take(chunk: &mut Bytes, out: &mut [u8]) -> usize {
    let count = chunk.len().min(out.len());
    chunk.copy_to_slice(&mut out[..count]);
    count
}

/// A body of the client library's, as it arrives.
type Body = BoxStream<'static, object_store::Result<Bytes>>;

/// One answer from first byte to last.
struct Stream {
    bucket: Arc<Bucket>,
    path: Path,
    object: Object,
    stream: Option<Body>,
    chunk: Bytes,
    read: u64,
}

impl Stream {
    fn advance(&mut self) -> Result<(), Error> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.begin()?,
        };
        let (bucket, uri) = (self.bucket.clone(), self.object.uri.clone());
        let (item, stream) = runtime::wait(async move {
            let mut stream = stream;
            let item = stream.next().await.transpose();
            (item.map_err(|e| remote::explain(e, &bucket, &uri, "read")), stream)
        });
        self.stream = Some(stream);
        self.chunk = item?.unwrap_or_default();
        self.read += self.chunk.len() as u64;
        if self.chunk.is_empty() && self.read != self.object.bytes {
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
            Ok(found.into_stream())
        })
    }
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty()
            && !out.is_empty()
            && (self.read < self.object.bytes || self.read == 0)
        {
            self.advance()?;
        }
        Ok(take(&mut self.chunk, out))
    }
}
