//! A webhook: an event is posted with a signature that only who has the secret can make, and
//! posted again when the receiver does not answer or has no time.
//!
//! `X-Smrt-Signature: t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY` under the secret. The time is
//! in it so that a receiver can refuse what is old.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::Error;
use crate::telemetry::date::now_s;

/// Between two tries.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];
/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A receiver of events.
pub struct Webhook {
    url: String,
    secret: Zeroizing<String>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Webhook {
    pub(super) fn new(url: &str, secret: &str) -> Result<Webhook, Error> {
        // One provider for the process; whoever was first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|why| Error::Refused { what: why.without_url().to_string() })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        Ok(Webhook { url: url.into(), secret: Zeroizing::new(secret.into()), client, runtime })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn post(&self, event: &[u8]) -> Result<(), Error> {
        let mut pauses = PAUSES.iter();
        loop {
            match self.once(event) {
                Ok(()) => return Ok(()),
                Err((why, again)) => match pauses.next().filter(|_| again) {
                    Some(pause) => std::thread::sleep(*pause),
                    None => return Err(why),
                },
            }
        }
    }

    /// One try; whether another may do better.
    fn once(&self, event: &[u8]) -> Result<(), (Error, bool)> {
        let now = now_s();
        let request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("x-smrt-signature", self.signature(now, event))
            .body(event.to_vec());
        // Sending sets its clock at once, and needs to know whose.
        let _inside = self.runtime.enter();
        let answer = self.runtime.block_on(request.send());
        let answer =
            answer.map_err(|why| (Error::Refused { what: why.without_url().to_string() }, true))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let again = status.is_server_error() || status.as_u16() == 429;
        Err((Error::Refused { what: format!("it answered {status}") }, again))
    }

    fn signature(&self, now: u64, event: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any length is a key");
        mac.update(format!("{now}.").as_bytes());
        mac.update(event);
        format!("t={now},v1={}", hex::encode(mac.finalize().into_bytes()))
    }
}
