//! The door of an endpoint: a request becomes a caller, and a caller may or may not.
//!
//! ```text
//! request ─► ask ─► Asked ─► (its body) ─► prove ─► Known ─► may ─► the answer
//! ```
//! A request is from whoever signed it; without a signature, from the user whom a token or a
//! certificate names. The state is read anew when its file changes: a key that is deleted is refused
//! from the next second on.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::error::Error;
use super::policy::{Context, Decision, Layer, Policies, Request, decide};
use super::sigv4::{self, Claim, Payload, Refusal, Rules};
use super::state::{Directory, Identity, Stamp, State};
use super::time;

/// The region of an endpoint whose operator named none.
pub const DEFAULT_REGION: &str = "us-east-1";
/// Between two looks at the state file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who may come in, and for what.
#[derive(Debug)]
pub struct Door {
    state: State,
    region: String,
    stamp: Mutex<Option<Stamp>>,
    directory: RwLock<Arc<Directory>>,
}

/// A request at the door.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// As it was on the wire.
    pub request: sigv4::Request<'a>,
    /// Whom its token or its certificate names, already proved.
    pub named: Option<&'a str>,
    /// Whether nobody could change it on its way.
    pub private: bool,
    /// Where it came from.
    pub source: IpAddr,
}

/// A request that says whose it is.
#[derive(Debug)]
pub struct Asked<'a> {
    who: Who<'a>,
    directory: Arc<Directory>,
    now_s: i64,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack, nearly always signed")]
enum Who<'a> {
    Signed(Claim<'a>),
    Named(Arc<Identity>),
}

/// A caller who has proved to be who it is. Made only by [`Asked::prove`].
#[derive(Debug)]
pub struct Known {
    identity: Arc<Identity>,
    account: Arc<Directory>,
    now_s: i64,
}

/// A caller may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Forbidden {
    /// As AWS tells it: who, what, on what, and which kind of policy stands in the way.
    pub message: String,
}

impl Door {
    /// Opens a door for the callers of `state` in one region.
    ///
    /// # Errors
    /// As [`State::read`]; and when nobody is in it, since nobody could come in.
    pub fn open(state: State, region: &str) -> Result<Arc<Door>, Error> {
        let stamp = state.stamp();
        let directory = Directory::of(&state.read()?, time::now())?;
        if directory.is_empty() {
            return Err(Error::NoSuchEntity {
                what: format!("user or role in {}", state.path().display()),
                help: Some("make one: smrt iam create-user --user-name NAME".into()),
            });
        }
        let door = Arc::new(Door {
            state,
            region: region.into(),
            stamp: Mutex::new(stamp),
            directory: RwLock::new(Arc::new(directory)),
        });
        let watched = Arc::downgrade(&door);
        std::thread::Builder::new()
            .name("smrt-iam".into())
            .spawn(move || {
                loop {
                    std::thread::sleep(LOOK_EVERY);
                    let Some(door) = watched.upgrade() else { return };
                    door.look();
                }
            })
            .map_err(|source| Error::File {
                path: door.state.path().to_owned(),
                what: "cannot be watched",
                source,
            })?;
        Ok(door)
    }

    /// Reads the state anew if its file is another. What cannot be read leaves the former.
    pub fn look(&self) {
        let now = self.state.stamp();
        let mut known = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == now {
            return;
        }
        *known = now;
        let read = self.state.read().and_then(|all| Directory::of(&all, time::now()));
        match read {
            Ok(directory) => {
                let directory = Arc::new(directory);
                *self.directory.write().unwrap_or_else(PoisonError::into_inner) = directory;
                tracing::info!("identities read anew");
            }
            Err(why) => tracing::warn!(%why, "identities changed but unusable: the former stay"),
        }
    }

    /// `arn:aws:sagemaker:REGION:ACCOUNT:endpoint/NAME`.
    pub fn endpoint_arn(&self, name: &str) -> String {
        let directory = self.directory();
        format!("arn:aws:sagemaker:{}:{}:endpoint/{name}", self.region, directory.account())
    }

    /// The region that callers sign for.
    pub fn region(&self) -> &str {
        &self.region
    }

    fn directory(&self) -> Arc<Directory> {
        // A reader cannot leave it half-written.
        Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn rules(&self, private: bool, now_s: i64) -> Rules<'_> {
        Rules { private, ..Rules::sagemaker(&self.region, now_s) }
    }

    /// Reads whose a request says it is.
    ///
    /// # Errors
    /// [`Refusal`]: it says nothing, or not well.
    pub fn ask<'a>(&self, arrival: &Arrival<'a>) -> Result<Asked<'a>, Refusal> {
        let (directory, now_s) = (self.directory(), time::now());
        let rules = self.rules(arrival.private, now_s);
        // A bearer token is no signature; a signature that is wrong is not made good by a name.
        let is_signed = sigv4::is_signed(&arrival.request);
        let who = match (Claim::read(&arrival.request, &rules), arrival.named) {
            (Err(_), Some(name)) if !is_signed => {
                Who::Named(directory.user(name).map(Arc::clone).ok_or(Refusal::Mismatch)?)
            }
            (Err(_), None) if !is_signed => return Err(Refusal::Missing),
            (Ok(claim), _) if matches!(claim.payload(), Payload::Chunked { .. }) => {
                let what = "a body in signed chunks is not taken here: sign it whole".into();
                return Err(Refusal::Incomplete { what });
            }
            (Ok(claim), _) => Who::Signed(claim),
            (Err(why), _) => return Err(why),
        };
        Ok(Asked { who, directory, now_s })
    }
}

impl Asked<'_> {
    /// Whether the body has to be there for the proof.
    pub fn needs_body(&self) -> bool {
        matches!(&self.who, Who::Signed(claim) if claim.payload() != Payload::Unsigned)
    }

    /// Proves who it is, by the body that came.
    ///
    /// # Errors
    /// [`Refusal::Mismatch`] for a wrong signature and an unknown key alike; [`Refusal::Body`].
    pub fn prove(&self, door: &Door, arrival: &Arrival<'_>, body: &[u8]) -> Result<Known, Refusal> {
        let identity = match &self.who {
            Who::Named(identity) => Arc::clone(identity),
            Who::Signed(claim) => {
                let key = self.directory.key(claim.access_key(), claim.token(), self.now_s);
                let secret = key.map(|key| key.secret);
                let rules = door.rules(arrival.private, self.now_s);
                claim.verify(&arrival.request, &rules, secret, &sigv4::sha256(body))?;
                // There is a key, or there would be no proof.
                key.map(|key| Arc::clone(key.who)).ok_or(Refusal::Mismatch)?
            }
        };
        Ok(Known { identity, account: Arc::clone(&self.directory), now_s: self.now_s })
    }
}

impl Known {
    /// Who.
    pub fn arn(&self) -> Arc<str> {
        self.identity.principal.shared()
    }

    /// What is known of every request of this caller, and of this one.
    pub fn context(&self, door: &Door, arrival: &Arrival<'_>) -> Context {
        let mut context = self.identity.context();
        context.add("aws:sourceip", arrival.source.to_canonical().to_string());
        context.add("aws:securetransport", arrival.private.to_string());
        context.add("aws:currenttime", time::iso(self.now_s));
        context.add("aws:epochtime", self.now_s.to_string());
        context.add("aws:requestedregion", door.region.clone());
        context
    }

    /// Whether the caller may do `action` to `resource`.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn may(&self, action: &str, resource: &str, context: &Context) -> Result<(), Forbidden> {
        let principal = &self.identity.principal;
        let request = Request::new(principal, action, resource, context);
        let policies =
            Policies { resource_account: Some(self.account.account()), ..self.identity.policies() };
        let why = match decide(&request, &policies) {
            Decision::Allowed(_) => return Ok(()),
            Decision::Forbidden(place) => {
                format!("with an explicit deny in {}", named(place.layer, true))
            }
            Decision::NotGranted(layer) => {
                format!("because no {} allows the {action} action", named(layer, false))
            }
        };
        let arn = principal.arn();
        let message = format!(
            "User: {arn} is not authorized to perform: {action} on resource: {resource} {why}"
        );
        Err(Forbidden { message })
    }
}

fn named(layer: Layer, article: bool) -> &'static str {
    match (layer, article) {
        (Layer::Identity, true) => "an identity-based policy",
        (Layer::Identity, false) => "identity-based policy",
        (Layer::Boundary, true) => "a permissions boundary",
        (Layer::Boundary, false) => "permissions boundary",
        (Layer::Session, true) => "a session policy",
        (Layer::Session, false) => "session policy",
        (Layer::Resource, true) => "a resource-based policy",
        (Layer::Resource, false) => "resource-based policy",
    }
}
