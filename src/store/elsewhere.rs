//! A store whose every act somebody else does: what a process uses that has no network, no files and
//! no credentials. Which objects there are for it is decided at the other end.

use std::io::{Read, Write};
use std::ops::Range;

use super::error::Error;
use super::object::Object;
use crate::spec::uri::Uri;

/// Does the acts of a [`Store`](super::Store) made by [`through`](super::Store::through).
pub trait Elsewhere: Send + Sync {
    /// As [`Store::list`](super::Store::list).
    ///
    /// # Errors
    /// As there.
    fn list(&self, uri: &Uri) -> Result<Vec<Object>, Error>;
    /// As [`Store::head`](super::Store::head).
    ///
    /// # Errors
    /// As there.
    fn head(&self, uri: &Uri) -> Result<Object, Error>;
    /// As [`Store::open_range`](super::Store::open_range), with a range that lies within the object.
    /// What is sealed and may be read open comes open; then it has other bytes than the object.
    ///
    /// # Errors
    /// As there.
    fn open(&self, object: &Object, range: Range<u64>) -> Result<Box<dyn Read + Send>, Error>;
    /// As [`Store::create`](super::Store::create).
    ///
    /// # Errors
    /// As there.
    fn create(&self, uri: &Uri) -> Result<Box<dyn Draft>, Error>;
    /// As [`Store::delete`](super::Store::delete).
    ///
    /// # Errors
    /// As there.
    fn delete(&self, uri: &Uri) -> Result<(), Error>;
    /// Size and SHA-256 (lower-case hex) of an object as it is stored, after it came open.
    fn as_stored(&self, uri: &Uri) -> Option<(u64, String)>;
}

/// An object that is being written elsewhere. Dropped before it is finished, nothing remains.
pub trait Draft: Write + Send {
    /// As [`Upload::finish`](super::Upload::finish).
    ///
    /// # Errors
    /// As there.
    fn finish(self: Box<Self>) -> Result<u64, Error>;
}
