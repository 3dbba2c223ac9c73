//! The gate's settings, each with its default from [`crate::spec::limit`].

use std::time::Duration;

use super::listen::Remote;
use crate::spec::limit;
use crate::spec::network::Range;

/// Bounds on what a stranger may send and how long that may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one body that is held. Default 6 MiB, as SageMaker.
    pub body_bytes_max: usize,
    /// Bytes of one body that is answered while it arrives, where its format can be; 0: none is.
    pub streamed_bytes_max: u64,
    /// Bytes of all bodies held at once.
    pub bodies_bytes_max: usize,
    /// Bytes of one request's head.
    pub header_bytes_max: usize,
    /// Connections open at once; more are told 503 and closed.
    pub connections_max: usize,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// Between two pieces of a body.
    pub body_stall_timeout: Duration,
    /// For a whole body.
    pub body_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// For a caller who does not read the answer.
    pub write_timeout: Duration,
    /// Between the order to stop and the moment new connections are refused: health checks
    /// fail meanwhile, so that a load balancer looks elsewhere.
    pub drain_delay: Duration,
    /// For requests under way after that.
    pub drain_timeout: Duration,
    /// Networks that connections may come from; none: every network. Over a Unix socket, whoever may
    /// open it.
    pub callers: Vec<Range>,
}

impl Limits {
    /// Whether a connection may come from there.
    pub(super) fn lets_in(&self, remote: &Remote) -> bool {
        let Remote::Tcp(address) = remote else { return true };
        self.callers.is_empty() || self.callers.iter().any(|range| range.contains(address.ip()))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: limit::BODY_BYTES_MAX,
            streamed_bytes_max: limit::STREAMED_BYTES_MAX,
            bodies_bytes_max: limit::BODIES_BYTES_MAX,
            header_bytes_max: limit::HEADER_BYTES_MAX,
            connections_max: limit::CONNECTIONS_MAX,
            header_timeout: Duration::from_secs(limit::HEADER_TIMEOUT_S),
            body_stall_timeout: Duration::from_secs(limit::BODY_STALL_TIMEOUT_S),
            body_timeout: Duration::from_secs(limit::BODY_TIMEOUT_S),
            idle_timeout: Duration::from_secs(limit::IDLE_TIMEOUT_S),
            write_timeout: Duration::from_secs(limit::WRITE_TIMEOUT_S),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(limit::DRAIN_TIMEOUT_S),
            callers: Vec::new(),
        }
    }
}

impl Limits {
    /// How often a thread looks at its connections. Timeouts are kept to within this.
    pub(super) fn sweep_every(&self) -> Duration {
        let shortest = [
            self.header_timeout,
            self.body_stall_timeout,
            self.body_timeout,
            self.idle_timeout,
            self.write_timeout,
        ]
        .into_iter()
        .min()
        .unwrap_or_default();
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_millis(500))
    }
}
