//! Starting and stopping the key service from a program.

use std::sync::Arc;

use super::authority::ReadPolicies;
use super::callers::Callers;
use super::error::Error;
use super::front::{Access, Front};
use crate::http::{self, Limits, Running, Stop, TlsFiles, gate};
use crate::iam::door::Door;
use crate::seal::LocalKeys;
use crate::telemetry::audit::Audit;

/// Bytes of one request's body: the largest that KMS's bounds allow, with room for base64.
const BODY_BYTES_MAX: usize = 128 << 10;

/// A key service that can be started: see [`Server::builder`].
#[derive(Debug)]
pub struct Server {
    _private: (),
}

/// Settings before it starts.
#[must_use = "nothing is served before start()"]
pub struct Builder {
    keys: LocalKeys,
    callers: Callers,
    door: Option<Arc<Door>>,
    audit: Option<Arc<Audit>>,
    listen: String,
    threads: usize,
    tls: Option<TlsFiles>,
    signals: bool,
}

impl Server {
    /// Serves `keys` on port 8081 of this machine alone.
    pub fn builder(keys: LocalKeys) -> Builder {
        Builder {
            keys,
            callers: Callers::new(),
            door: None,
            audit: None,
            listen: "127.0.0.1:8081".into(),
            threads: 0,
            tls: None,
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

    /// Who may call, for what their policies, the keys' policies and grants allow, instead of
    /// [`Builder::callers`]. The door is one [of the service](Door::of_service) `kms`.
    pub fn door(mut self, door: Arc<Door>) -> Builder {
        self.door = Some(door);
        self
    }

    /// Records every request before it is answered, and answers none that cannot be recorded.
    pub fn audit(mut self, audit: Arc<Audit>) -> Builder {
        self.audit = Some(audit);
        self
    }

    /// Who may call, for everything.
    pub fn callers(mut self, callers: Callers) -> Builder {
        self.callers = callers;
        self
    }

    /// Encrypted, with these files. Plaintext keys travel in the answers: without it, serve this
    /// machine alone.
    pub fn tls(mut self, files: TlsFiles) -> Builder {
        self.tls = Some(files);
        self
    }

    /// Threads; 0 is one per core.
    pub fn threads(mut self, threads: usize) -> Builder {
        self.threads = threads;
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
    /// [`Error::Nobody`] without callers, [`Error::Clear`] beyond this machine without TLS,
    /// [`Error::Gate`] when the address cannot be used.
    pub fn start(self) -> Result<Running, Error> {
        if self.callers.is_empty() && self.door.is_none() {
            return Err(Error::Nobody);
        }
        let place = http::place(&self.listen)?;
        // Plaintext data keys stand in the answers.
        if self.tls.is_none() && !place.is_this_machine() {
            return Err(Error::Clear { place: place.to_string() });
        }
        let threads = match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let settings = gate::Settings {
            place,
            threads,
            limits: Limits { body_bytes_max: BODY_BYTES_MAX, ..Limits::default() },
            signals: self.signals,
            tls: self.tls,
            tokens: None,
        };
        let access = match self.door {
            Some(door) => Access::Door(door),
            None => Access::Callers(Arc::new(self.callers)),
        };
        let (keys, audit) = (self.keys, self.audit);
        let policies = Arc::<ReadPolicies>::default();
        let gate = gate::open(&settings, Stop::default(), move |_| Front {
            keys: keys.clone(),
            access: access.clone(),
            policies: Arc::clone(&policies),
            audit: audit.clone(),
        })?;
        Ok(gate.running())
    }
}
