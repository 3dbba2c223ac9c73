//! What changes about an endpoint and its models while it runs, told to whoever asked: an audit
//! log, a state-change event.

use std::fmt;
use std::sync::Arc;

/// One change, after it has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// The endpoint answers from now on.
    InService,
    /// It answers no more.
    Stopped,
    /// A model was loaded, by its name and its artifact's SHA-256.
    Loaded {
        /// Name.
        model: &'a str,
        /// Hexadecimal.
        sha256: &'a str,
    },
    /// A model was taken out of memory.
    Unloaded {
        /// Name.
        model: &'a str,
    },
    /// A variant has another model.
    Swapped {
        /// Name of the variant.
        variant: &'a str,
        /// SHA-256 of the artifact before.
        from: &'a str,
        /// And now.
        to: &'a str,
    },
    /// The variants' shares of the traffic are others.
    Weighted,
}

/// Is told of a change by the endpoint's name.
type Listener = dyn Fn(&str, &Change<'_>) + Send + Sync;

/// Whom changes are told; nobody by default.
#[derive(Clone, Default)]
pub(super) struct Told(Option<Arc<Listener>>);

impl Told {
    pub(super) fn to(who: impl Fn(&str, &Change<'_>) + Send + Sync + 'static) -> Told {
        Told(Some(Arc::new(who)))
    }

    pub(super) fn tell(&self, endpoint: &str, change: &Change<'_>) {
        if let Some(who) = &self.0 {
            who(endpoint, change);
        }
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Told(somebody)" } else { "Told(nobody)" })
    }
}
