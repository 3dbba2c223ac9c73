//! Writing an object so that it is there whole or not at all.
//!
//! A small one is a single request at the end; a larger one goes in parts while it is written, and
//! becomes visible when the last is in. Whatever ends an upload early, an error, a panic or a
//! dropped value, also takes its parts away.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload, PutResult};

use super::connect::Bucket;
use super::elsewhere;
use super::error::Error;
use super::local::Draft;
use super::remote;
use super::runtime::{self, Pending};
use crate::spec::limit;
use crate::spec::uri::Uri;

/// An object being written. It becomes visible by [`Upload::finish`]; dropped before, nothing
/// remains.
#[must_use = "nothing is stored until `finish`"]
pub struct Upload(Kind);

enum Kind {
    Local(Draft),
    Remote(Parts),
    Elsewhere(Box<dyn elsewhere::Draft>),
}

impl Upload {
    pub(super) fn local(draft: Draft) -> Upload {
        Upload(Kind::Local(draft))
    }

    pub(super) fn elsewhere(draft: Box<dyn elsewhere::Draft>) -> Upload {
        Upload(Kind::Elsewhere(draft))
    }

    pub(super) fn remote(bucket: Arc<Bucket>, uri: Uri) -> Result<Upload, Error> {
        let path = remote::object_path(&uri)?;
        Ok(Upload(Kind::Remote(Parts {
            bucket,
            uri,
            path,
            buffer: Vec::new(),
            upload: None,
            ahead: VecDeque::new(),
            count: 0,
            bytes: 0,
            failed: false,
        })))
    }

    /// Makes the object visible, replacing what was there. Returns its size in bytes.
    ///
    /// # Errors
    /// Whatever kept it from being stored; nothing remains of it then.
    pub fn finish(self) -> Result<u64, Error> {
        match self.0 {
            Kind::Local(draft) => draft.finish(),
            Kind::Remote(parts) => parts.finish(),
            Kind::Elsewhere(draft) => draft.finish(),
        }
    }

    /// Gives the upload up; nothing remains. Dropping it does the same.
    pub fn abort(self) {
        drop(self);
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Local(draft) => draft.write(bytes),
            Kind::Remote(parts) => parts.write(bytes),
            Kind::Elsewhere(draft) => draft.write(bytes),
        }
    }

    /// Hands on what is complete; a remote part that is not full waits for more.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Local(draft) => draft.flush(),
            Kind::Remote(_) => Ok(()),
            Kind::Elsewhere(draft) => draft.flush(),
        }
    }
}

/// A remote object on its way.
struct Parts {
    bucket: Arc<Bucket>,
    uri: Uri,
    path: Path,
    buffer: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
    ahead: VecDeque<Pending<object_store::Result<()>>>,
    count: usize,
    bytes: u64,
    failed: bool,
}

impl Parts {
    fn part_bytes(&self) -> usize {
        match self.count < limit::UPLOAD_SMALL_PARTS {
            true => limit::UPLOAD_PART_BYTES,
            false => 8 * limit::UPLOAD_PART_BYTES,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other(format!("{} could not be written before", self.uri)));
        }
        // A full buffer goes out only when more comes: an object of one part needs no parts.
        if self.buffer.len() == self.part_bytes() && !bytes.is_empty() {
            self.send_part().inspect_err(|_| self.give_up())?;
        }
        let count = bytes.len().min(self.part_bytes() - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn send_part(&mut self) -> Result<(), Error> {
        if self.upload.is_none() {
            self.upload = Some(self.begin()?);
        }
        while self.ahead.len() >= limit::UPLOAD_PARTS_AHEAD
            || self.ahead.front().is_some_and(Pending::is_done)
        {
            self.settle_one()?;
        }
        let part = PutPayload::from(std::mem::take(&mut self.buffer));
        let upload = self.upload.as_mut().expect("begun above");
        self.ahead.push_back(runtime::start(upload.put_part(part)));
        self.count += 1;
        self.buffer.reserve_exact(self.part_bytes());
        Ok(())
    }

    fn settle_one(&mut self) -> Result<(), Error> {
        match self.ahead.pop_front() {
            Some(part) => part.wait().map_err(|e| self.explain(&e)),
            None => Ok(()),
        }
    }

    fn begin(&self) -> Result<Box<dyn MultipartUpload>, Error> {
        let (bucket, path) = (self.bucket.clone(), self.path.clone());
        runtime::wait(async move { bucket.objects.put_multipart(&path).await })
            .map_err(|e| self.explain(&e))
    }

    fn finish(mut self) -> Result<u64, Error> {
        if self.failed {
            let what = "it could not be written before".to_owned();
            let help = "see the first error".to_owned();
            return Err(Error::Place { uri: self.uri.clone(), what, help });
        }
        let done = match self.upload {
            None => self.put_whole(),
            Some(_) => self.complete(),
        };
        match done {
            Ok(()) => {
                self.upload = None;
                Ok(self.bytes)
            }
            Err(error) => {
                self.give_up();
                Err(error)
            }
        }
    }

    fn put_whole(&mut self) -> Result<(), Error> {
        let payload = PutPayload::from(std::mem::take(&mut self.buffer));
        let (bucket, path) = (self.bucket.clone(), self.path.clone());
        runtime::wait(async move { bucket.objects.put(&path, payload).await })
            .map(|_: PutResult| ())
            .map_err(|e| self.explain(&e))
    }

    fn complete(&mut self) -> Result<(), Error> {
        self.send_part()?;
        while !self.ahead.is_empty() {
            self.settle_one()?;
        }
        let mut upload = self.upload.take().expect("called only when there are parts");
        let (done, upload) = runtime::wait(async move { (upload.complete().await, upload) });
        self.upload = Some(upload);
        done.map(|_| ()).map_err(|e| self.explain(&e))
    }

    fn explain(&self, error: &object_store::Error) -> Error {
        remote::explain(error, &self.bucket, &self.uri, "write")
    }

    /// Takes away what was sent. The server may be what failed, so this may fail as well: then a
    /// bucket's own rule for stale uploads has the last word.
    fn give_up(&mut self) {
        self.failed = true;
        self.buffer = Vec::new();
        // A part that arrives after the abort would stay, so those under way may land first.
        let deadline = Instant::now() + Duration::from_secs(limit::UPLOAD_SETTLE_S);
        for part in self.ahead.drain(..) {
            part.wait_until(deadline);
        }
        let Some(mut upload) = self.upload.take() else { return };
        if let Err(error) = runtime::wait(async move { upload.abort().await }) {
            let cause = remote::innermost(&error);
            tracing::warn!(uri = %self.uri, cause, "parts of an abandoned upload may remain");
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.give_up();
    }
}
