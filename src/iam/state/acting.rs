//! A service acts with a role: it was passed to it by somebody who may, the role trusts it, and
//! from then on everything is decided by the role's policies.
//!
//! Two doors, as in SageMaker: the caller needs the act itself and `iam:PassRole` on the role, for
//! this service; the role's trust policy must name the service, under `aws:SourceArn` and
//! `aws:SourceAccount`, which keep one's job from being the way to another's role. What the role
//! may is read anew when the state changes: what is taken from it is refused within a second.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::directory::{Directory, Identity};
use super::file::{Stamp, State};
use super::session::check;
use crate::iam::error::Error;
use crate::iam::policy::{
    Context, Decision, Layer, Policies, Policy, Principal, Request, decide, explain,
};
use crate::iam::time;
use crate::spec::problem::shortened;
use crate::spec::role::RoleArn;

/// Whom roles must trust.
const SERVICE: &str = "sagemaker.amazonaws.com";
/// As SageMaker names its sessions.
const SESSION: &str = "SageMaker";
/// Between two looks at the state file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a role is to be used for.
#[derive(Debug, Clone)]
pub struct Work<'a> {
    /// What starting it is, such as `sagemaker:CreateTrainingJob`.
    pub action: &'a str,
    /// Kind and name in its ARN, such as `training-job/churn`.
    pub resource: &'a str,
    /// In which region.
    pub region: &'a str,
    /// Condition keys of the action, such as `sagemaker:OutputKmsKey`.
    pub known: Context,
    /// Name of the user who starts it; `None` is the owner of the state, who may do everything.
    pub caller: Option<&'a str>,
}

/// Something acts with a role. Made only by [`Acting::begin`], which checks that it may.
#[derive(Debug)]
pub struct Acting {
    state: State,
    role: String,
    role_arn: String,
    role_id: String,
    region: String,
    source_arn: String,
    caller_arn: String,
    looked: Mutex<(Instant, Option<Stamp>)>,
    now: RwLock<Arc<Now>>,
}

#[derive(Debug)]
struct Now {
    /// `None` once the role is gone.
    identity: Option<Identity>,
    account: String,
}

/// One act with the role.
#[derive(Debug, Clone)]
pub struct Use<'a> {
    /// Such as `s3:GetObject`.
    pub action: &'a str,
    /// Its ARN.
    pub resource: &'a str,
    /// What is known of it, beside what is known of the role.
    pub known: Context,
    /// The resource's own policy, which must grant too, as a key's.
    pub own: Option<&'a Policy>,
    /// Whether a grant of the resource allows it.
    pub granted: bool,
}

impl Acting {
    /// Takes the role, if the caller may start the work and pass the role, and the role trusts
    /// SageMaker with this work.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] names who lacks what; [`Error::NoSuchEntity`] for a role or user that
    /// is not there; whatever keeps the state from being read.
    pub fn begin(state: State, role: &RoleArn, work: &Work<'_>) -> Result<Arc<Acting>, Error> {
        let stamp = state.stamp();
        let document = state.read()?;
        let directory = Directory::of(&document, time::now())?;
        let found = document.role(role.name())?;
        let role_arn = document.role_arn(role.name(), found);
        if role_arn != role.as_str() {
            return Err(Error::NoSuchEntity {
                what: format!("role {role} in {}", state.path().display()),
                help: Some(format!("did you mean {role_arn}?")),
            });
        }
        let account = document.account.clone();
        let source_arn = format!("arn:aws:sagemaker:{}:{account}:{}", work.region, work.resource);
        let caller_arn = match work.caller {
            None => format!("arn:aws:iam::{account}:root"),
            Some(name) => {
                let arn = document.user_arn(name, document.user(name)?);
                let caller =
                    document.user_of(&arn, &directory).expect("it was found a line before");
                may_start(caller, work, &source_arn, &role_arn)?;
                arn
            }
        };
        let known = Context::new()
            .with("aws:SourceArn", source_arn.as_str())
            .with("aws:SourceAccount", account.as_str())
            .with("sts:RoleSessionName", SESSION);
        check(SERVICE, None, &role_arn, &found.trust, &known)?;
        let role_id = found.holder.id.clone();
        let identity = directory.acting(role.name(), &role_id, SESSION);
        Ok(Arc::new(Acting {
            state,
            role: role.name().to_owned(),
            role_arn,
            role_id,
            region: work.region.to_owned(),
            source_arn,
            caller_arn,
            looked: Mutex::new((Instant::now(), stamp)),
            now: RwLock::new(Arc::new(Now { identity, account })),
        }))
    }

    /// ARN of the role.
    pub fn role_arn(&self) -> &str {
        &self.role_arn
    }

    /// `arn:aws:sts::…:assumed-role/ROLE/SageMaker`: who acts.
    pub fn arn(&self) -> String {
        let account = self.now().account.clone();
        format!("arn:aws:sts::{account}:assumed-role/{}/{SESSION}", self.role)
    }

    /// ARN of the job or endpoint that acts.
    pub fn source_arn(&self) -> &str {
        &self.source_arn
    }

    /// ARN of who started it.
    pub fn caller_arn(&self) -> &str {
        &self.caller_arn
    }

    /// Where it acts.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether the role may.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] names the action, the resource, and the statement that is missing or
    /// forbids it.
    pub fn may(&self, act: &Use<'_>) -> Result<(), Error> {
        self.look();
        let now = self.now();
        let Some(identity) = &now.identity else {
            return Err(Error::AccessDenied {
                what: format!("role {} may not {}: it was deleted", self.role, act.action),
                help: None,
            });
        };
        let now_s = time::now();
        let mut context = identity.context();
        context.set("aws:CurrentTime", time::iso(now_s));
        context.set("aws:EpochTime", now_s.to_string());
        context.set("aws:RequestedRegion", self.region.as_str());
        for (key, values) in act.known.iter() {
            context.set_all(key, values.to_vec());
        }
        let request = Request::new(&identity.principal, act.action, act.resource, &context);
        let policies = Policies {
            resource: act.own,
            resource_must_grant: act.own.is_some(),
            resource_account: Some(&now.account),
            ..identity.policies()
        };
        match decide(&request, &policies) {
            Decision::Allowed(_) => Ok(()),
            Decision::NotGranted(_) if act.granted => Ok(()),
            _ => {
                let who = format!("role {}", self.role);
                Err(refused(&who, &request, act.action, act.resource, &policies))
            }
        }
    }

    fn now(&self) -> Arc<Now> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the role anew if the state's file is another, once a second at most. What cannot be
    /// read leaves what was known.
    fn look(&self) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.0.elapsed() < LOOK_EVERY {
            return;
        }
        looked.0 = Instant::now();
        let stamp = self.state.stamp();
        if looked.1 == stamp {
            return;
        }
        let read = self.state.read().and_then(|document| {
            let directory = Directory::of(&document, time::now())?;
            // One of the same name made later is another.
            let same = document.roles.get(&self.role);
            let same = same.filter(|role| role.holder.id == self.role_id);
            let identity = same.and_then(|_| directory.acting(&self.role, &self.role_id, SESSION));
            Ok(Now { identity, account: document.account.clone() })
        });
        match read {
            Ok(now) => {
                looked.1 = stamp;
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(now);
                tracing::info!(role = self.role, "role read anew");
            }
            Err(why) => tracing::warn!(%why, "the role changed but is unusable: the former stays"),
        }
    }
}

/// The caller's side: the act itself, and passing the role to the service.
fn may_start(
    caller: &Identity,
    work: &Work<'_>,
    source_arn: &str,
    role_arn: &str,
) -> Result<(), Error> {
    let mut known = work.known.clone();
    known.set("aws:RequestedRegion", work.region);
    let pass = Context::new()
        .with("iam:PassedToService", SERVICE)
        .with("iam:AssociatedResourceArn", source_arn);
    for (action, resource, known) in
        [(work.action, source_arn, &known), ("iam:PassRole", role_arn, &pass)]
    {
        let mut context = caller.context();
        for (key, values) in known.iter() {
            context.set_all(key, values.to_vec());
        }
        let request = Request::new(&caller.principal, action, resource, &context);
        let policies = caller.policies();
        if !decide(&request, &policies).is_allowed() {
            return Err(refused(caller.principal.arn(), &request, action, resource, &policies));
        }
    }
    Ok(())
}

/// Who may not do what to what, by which statement or for want of which.
fn refused(
    who: &str,
    request: &Request<'_>,
    action: &str,
    resource: &str,
    policies: &Policies<'_>,
) -> Error {
    let told = explain(request, action, policies);
    let owner = Principal::new(who);
    let whose = if owner.account().is_some() { "the caller's" } else { "the role's" };
    let because = told.because.replace("the caller's", whose);
    let what = format!("{} may not {action} on {resource}: {because}", shortened(who));
    let help = told.missing.map(|(layer, statement)| {
        let place = match layer {
            Layer::Identity => format!("{whose} policies need"),
            Layer::Boundary => format!("{whose} permissions boundary needs"),
            Layer::Session => "the session's policies need".to_owned(),
            Layer::Resource => "the resource's own policy needs".to_owned(),
        };
        format!("{place} {statement}")
    });
    let help = help.or_else(|| Some("take that statement away, or narrow it".into()));
    Error::AccessDenied { what, help }
}
