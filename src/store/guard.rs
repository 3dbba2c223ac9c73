//! The seam to whoever says what a store may be used for: it is asked before every touch, and a
//! store without one may be used for everything.

use crate::spec::uri::Uri;

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Names and sizes below a prefix are looked up.
    List,
    /// An object, or what is known of it, is read.
    Read,
    /// An object is made or replaced; its parts are taken away where that fails.
    Write,
    /// An object is removed.
    Delete,
}

/// Decides on every touch of a [`Store`](super::Store).
pub trait Guard: Send + Sync {
    /// Whether `act` may be done to what stands at `uri`, or, for [`Act::List`], below it.
    ///
    /// # Errors
    /// [`Forbidden`] says why not; nothing has been done then.
    fn may(&self, act: Act, uri: &Uri) -> Result<(), Forbidden>;
}

/// Why something may not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    /// Who may not do what to what.
    pub what: String,
    /// What is missing.
    pub help: Option<String>,
}
