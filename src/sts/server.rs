//! Starting and stopping the identity service from a program.

use std::sync::Arc;

use super::front::Front;
use crate::fault::{Fault, Kind};
use crate::http::{self, Limits, Running, Stop, TlsFiles, gate};
use crate::iam::door::Door;
use crate::iam::state::State;
use crate::telemetry::audit::Audit;

/// Bytes of one request's body: a session policy and its like, form-encoded.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Why the identity service cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be used.
    #[error(transparent)]
    Gate(#[from] http::Error),
    /// The state cannot be used.
    #[error(transparent)]
    Iam(#[from] crate::iam::Error),
    /// Credentials stand in the answers.
    #[error(
        "{place} can be reached from other machines, and nothing encrypts what is answered there"
    )]
    Clear {
        /// Where.
        place: String,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Gate(source) => source.kind(),
            Error::Iam(source) => source.kind(),
            Error::Clear { .. } => Kind::Caller,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Error::Gate(source) => source.help(),
            Error::Iam(source) => source.help(),
            Error::Clear { .. } => {
                Some("give --tls-cert and --tls-key, or listen on 127.0.0.1".into())
            }
        }
    }
}

/// An identity service that can be started: see [`Server::builder`].
#[derive(Debug)]
pub struct Server {
    _private: (),
}

/// Settings before it starts.
#[must_use = "nothing is served before start()"]
pub struct Builder {
    state: State,
    region: String,
    listen: String,
    tls: Option<TlsFiles>,
    audit: Option<Arc<Audit>>,
    signals: bool,
}

impl Server {
    /// Serves the callers of `state` who sign for `region`, on port 8082 of this machine alone.
    pub fn builder(state: State, region: &str) -> Builder {
        Builder {
            state,
            region: region.into(),
            listen: "127.0.0.1:8082".into(),
            tls: None,
            audit: None,
            signals: false,
        }
    }
}

impl Builder {
    /// Where to listen, as `host:port`; port 0 takes any free one.
    pub fn listen(mut self, address: impl Into<String>) -> Builder {
        self.listen = address.into();
        self
    }

    /// Encrypted, with these files.
    pub fn tls(mut self, files: TlsFiles) -> Builder {
        self.tls = Some(files);
        self
    }

    /// Records every request before it is answered, and answers none that cannot be recorded.
    pub fn audit(mut self, audit: Arc<Audit>) -> Builder {
        self.audit = Some(audit);
        self
    }

    /// Stop at SIGTERM and SIGINT.
    pub fn stop_on_signals(mut self, wanted: bool) -> Builder {
        self.signals = wanted;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When nobody is in the state, the address cannot be used, or it is beyond this machine without
    /// TLS.
    pub fn start(self) -> Result<Running, Error> {
        let place = http::place(&self.listen)?;
        if self.tls.is_none() && !place.is_this_machine() {
            return Err(Error::Clear { place: place.to_string() });
        }
        let door = Door::of_service(self.state.clone(), "sts", &self.region)?;
        let settings = gate::Settings {
            place,
            threads: 1,
            limits: Limits { body_bytes_max: BODY_BYTES_MAX, ..Limits::default() },
            signals: self.signals,
            tls: self.tls,
            tokens: None,
        };
        let (state, audit) = (self.state, self.audit);
        let gate = gate::open(&settings, Stop::default(), move |_| Front {
            door: Arc::clone(&door),
            state: state.clone(),
            audit: audit.clone(),
        })?;
        Ok(gate.running())
    }
}
