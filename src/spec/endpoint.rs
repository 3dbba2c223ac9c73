//! `endpoint.toml`, read into values that cannot be wrong. All mistakes are found in one pass.
//!
//! The types stand here; [`read`] makes them from text, one file for each table.

use std::time::Duration;

mod access;
mod listener;
mod models;
mod read;
mod rollout;
#[cfg(test)]
mod tests;
mod variant;

pub use access::{Auth, Tls};
pub use listener::Listener;
pub use models::Models;
pub use rollout::{Rollback, Rollout, Shift};
pub use variant::{Shadow, Variant};

use super::name::JobName;
use super::network::Network;
use super::role::RoleArn;
use super::train::Storage;
use super::uri::Uri;

/// An endpoint whose keys are checked.
#[derive(Debug, Clone)]
pub struct EndpointFile {
    /// `[endpoint]`
    pub general: General,
    /// `[listener]`
    pub listener: Listener,
    /// `[tls]`; in the clear without.
    pub tls: Option<Tls>,
    /// `[auth]`
    pub auth: Auth,
    /// `[variants.*]` or `[models]`.
    pub serves: Serves,
    /// `[admin]`
    pub admin: Admin,
    /// `[storage]`
    pub storage: Storage,
    /// `[network]`; its `allow` stands in [`Storage::network`] too, where connections are made.
    pub network: Network,
}

/// `[endpoint]`: its name and its bounds. What is absent is as on the command line.
#[derive(Debug, Clone)]
pub struct General {
    /// In `/endpoints/NAME/invocations`.
    pub name: JobName,
    /// The endpoint acts with this role and nothing else.
    pub role: Option<RoleArn>,
    /// Threads that read, answer and run small models; 0 is one per core.
    pub threads: usize,
    /// Threads that run larger models and requests; 0 is one per core.
    pub workers: usize,
    /// The largest request body that is held.
    pub body_bytes_max: usize,
    /// The largest one that is answered while it arrives, where its format can be; 0: none is.
    pub streamed_bytes_max: u64,
    /// How long a request may take once its body is there.
    pub timeout: Duration,
    /// What 99 of 100 requests are to be answered within, once their body is there.
    pub target_p99: Option<Duration>,
    /// How long a request may wait for others to share its batch.
    pub queue_delay: Duration,
    /// What requests under way are given when the server stops.
    pub drain_timeout: Duration,
    /// Whether each invocation has a line in the log.
    pub access_log: bool,
    /// `require_signature`: public keys (PEM files), one of which must have signed every artifact
    /// that is opened; empty: none need be signed.
    pub require_signature: Vec<std::path::PathBuf>,
}

/// What is behind the endpoint's door.
#[derive(Debug, Clone)]
pub enum Serves {
    /// One model, or several that share its traffic.
    Variants {
        /// In the order of their names; never empty, and some weight is above 0.
        variants: Vec<Variant>,
        /// Gets a copy of the traffic; nobody sees its answers.
        shadow: Option<Shadow>,
        /// Moves the traffic from one variant to another after the start.
        rollout: Option<Rollout>,
    },
    /// Every artifact below one place, each under its own name.
    Models(Models),
}

/// `[admin]`: which changes callers may make while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admin {
    /// Artifacts below this place may be put in for a variant's; `None`: nobody may change
    /// anything.
    pub models: Option<Uri>,
}
