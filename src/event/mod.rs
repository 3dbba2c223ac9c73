//! State changes in EventBridge's form, told to a file, a webhook or a command.
//!
//! ```text
//! {"version":"0","id":…,"detail-type":"SageMaker Training Job State Change","source":"aws.sagemaker",
//!  "account":…,"time":…,"region":…,"resources":[ARN],"detail":{…}}
//! ```
//! Telling never holds the work up: events wait in a bounded queue for a thread of their own, which
//! tries a webhook again and gives up in the end with a warning. As EventBridge, it delivers at least
//! once and in no promised order over tries. Source: SageMaker's "Events that SageMaker sends to
//! EventBridge".

mod error;
mod place;
mod webhook;

pub use error::Error;
pub use place::Place;

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::spec::limit::EVENTS_QUEUE_MAX;
use crate::telemetry::audit;
use crate::telemetry::date::now_s;

/// What changed.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// Such as `SageMaker Training Job State Change`.
    pub kind: &'a str,
    /// ARN of what changed.
    pub resource: &'a str,
    /// What there is to say, with SageMaker's names.
    pub detail: Value,
}

/// Tells events. Dropping it waits, for a bounded time, until what was told is delivered.
pub struct Teller {
    queue: Option<SyncSender<Vec<u8>>>,
    /// Shared with nobody; the lock lets a teller be.
    done: Mutex<Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How long the end of a program waits for its last events.
const LAST_WAIT: Duration = Duration::from_secs(10);

impl Teller {
    /// Tells these places.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn new(places: Vec<Place>) -> Result<Teller, Error> {
        let (queue, events) = sync_channel::<Vec<u8>>(EVENTS_QUEUE_MAX);
        let (ended, done) = sync_channel(0);
        let work = move || {
            for event in &events {
                for place in &places {
                    if let Err(why) = place.deliver(&event) {
                        tracing::warn!(%place, %why, "an event could not be delivered");
                    }
                }
            }
            drop(ended);
        };
        let thread = std::thread::Builder::new()
            .name("smrt-events".into())
            .spawn(work)
            .map_err(Error::Thread)?;
        Ok(Teller { queue: Some(queue), done: Mutex::new(done), thread: Some(thread) })
    }

    /// Tells an event, or drops it with a warning where too many wait.
    pub fn tell(&self, event: &Event<'_>) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(event.to_json()) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                tracing::warn!(kind = event.kind, "too many events wait: one is dropped");
            }
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        drop(self.queue.take());
        // It says nothing but that it has ended.
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        let ended = done.recv_timeout(LAST_WAIT);
        match (ended, self.thread.take()) {
            (Err(std::sync::mpsc::RecvTimeoutError::Timeout), _) => {
                tracing::warn!("some events were not delivered in time");
            }
            (_, Some(thread)) => drop(thread.join()),
            _ => {}
        }
    }
}

impl Event<'_> {
    /// The envelope, as one line.
    fn to_json(&self) -> Vec<u8> {
        let mut parts = self.resource.split(':').skip(3);
        let (region, account) = (parts.next(), parts.next());
        let event = json!({
            "version": "0",
            "id": Uuid::new_v4().to_string(),
            "detail-type": self.kind,
            "source": "aws.sagemaker",
            "account": account.unwrap_or_default(),
            "time": audit::time(now_s()),
            "region": region.unwrap_or_default(),
            "resources": [self.resource],
            "detail": self.detail,
        });
        event.to_string().into_bytes()
    }
}
