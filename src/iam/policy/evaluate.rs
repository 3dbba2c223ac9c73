//! May they? AWS's order of evaluation, over compiled policies, linear in their statements.
//!
//! 1. A Deny that applies, in any policy, decides.
//! 2. The resource's policy may grant: to a caller named itself at once, to everybody within what
//!    the session allows, to a role within what boundary and session allow, to an account what the
//!    caller's own policies grant.
//! 3. The caller's policies grant, within what the boundary and the session's policies allow.
//! 4. Between accounts, both sides must grant.
//!
//! Source: IAM User Guide, "Policy evaluation logic" and "Permissions boundaries for IAM entities".
//! Service and resource control policies do not exist here: there is no organisation.

use std::sync::Arc;

use super::arn::Arn;
use super::context::{Context, Named, Principal};
use super::document::{Any, Effect, Policy, Statement};

/// One act to decide on.
#[derive(Debug)]
pub struct Request<'a> {
    principal: &'a Principal,
    action: String,
    resource: &'a str,
    arn: Option<Arn<'a>>,
    context: &'a Context,
}

impl<'a> Request<'a> {
    /// `principal` wants to do `action` (`sagemaker:InvokeEndpoint`) to `resource`, an ARN, or `*`
    /// where the action has no resource.
    pub fn new(
        principal: &'a Principal,
        action: &str,
        resource: &'a str,
        context: &'a Context,
    ) -> Request<'a> {
        let action = action.to_ascii_lowercase();
        Request { principal, action, resource, arn: Arn::of(resource), context }
    }

    /// The resource, as given.
    pub fn resource(&self) -> &str {
        self.resource
    }

    /// Who wants it.
    pub fn principal(&self) -> &Principal {
        self.principal
    }

    /// What is known about it.
    pub(super) fn context(&self) -> &Context {
        self.context
    }

    fn is_within_account(&self, account: Option<&str>) -> bool {
        let resource = account.or_else(|| self.arn.and_then(|arn| arn.account()));
        match (self.principal.account(), resource) {
            (Some(one), Some(other)) => one == other,
            // A resource without an account is ours.
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// Everything that has a say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policies<'a> {
    /// Of the user or role.
    pub identity: &'a [Arc<Policy>],
    /// The most the user or role may be granted.
    pub boundary: Option<&'a Policy>,
    /// The most the session may: those given when the role was assumed.
    pub session: Option<&'a [Arc<Policy>]>,
    /// Of the resource.
    pub resource: Option<&'a Policy>,
    /// Whether the resource's policy must grant within the account, too: keys and roles.
    pub resource_must_grant: bool,
    /// The resource's account, where its ARN does not say.
    pub resource_account: Option<&'a str>,
}

/// Which kind of policy a statement is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Of the user or role.
    Identity,
    /// The permissions boundary.
    Boundary,
    /// Given with the session.
    Session,
    /// Of the resource.
    Resource,
}

/// One statement of one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which kind of policy.
    pub layer: Layer,
    /// Which of them, from 0.
    pub policy: usize,
    /// Which statement, from 0.
    pub statement: usize,
}

/// What was decided, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They may, by this statement.
    Allowed(Place),
    /// They may not: a statement forbids it.
    Forbidden(Place),
    /// They may not: this layer does not grant it.
    NotGranted(Layer),
}

impl Decision {
    /// Whether they may.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed(_))
    }
}

/// The part of a statement that a request does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    Action,
    Resource,
    Principal,
    /// The number of the condition.
    Condition(usize),
}

impl Statement {
    /// Whether the statement speaks of the request, and how it names the caller; the cheap and
    /// most telling parts first.
    pub(super) fn applies(&self, request: &Request<'_>, bounded: bool) -> Result<Named, Misfit> {
        let Request { action, arn, context, .. } = request;
        let fits = self.actions.of.iter().any(|pattern| pattern.fits(action, context));
        if fits == self.actions.negated {
            return Err(Misfit::Action);
        }
        if let Some(Any { negated, of }) = &self.resources {
            let fits = of.iter().any(|pattern| pattern.fits(*arn, context));
            // A variable that is not known may have named this very resource: then the statement
            // says nothing of it, negated or not.
            let unknown = || *negated && of.iter().any(|pattern| pattern.might_fit(*arn, context));
            if fits == *negated || unknown() {
                return Err(Misfit::Resource);
            }
        }
        let named = self.names(request.principal, bounded);
        if named == Named::No {
            return Err(Misfit::Principal);
        }
        match self.conditions.iter().position(|condition| !condition.holds(context)) {
            Some(number) => Err(Misfit::Condition(number)),
            None => Ok(named),
        }
    }

    fn names(&self, principal: &Principal, bounded: bool) -> Named {
        let Some(Any { negated, of }) = &self.principals else { return Named::Itself };
        let named = of.iter().map(|rule| rule.names(principal)).max().unwrap_or(Named::No);
        match (negated, named) {
            (false, named) => named,
            // AWS: NotPrincipal with Deny denies whoever has a boundary, whatever it names.
            (true, _) if bounded && self.effect == Effect::Deny => Named::Itself,
            (true, Named::No) => Named::Everybody,
            (true, _) => Named::No,
        }
    }
}

/// The first statement of `policies` that grants, or the first that forbids.
struct Verdict {
    granted: Option<(Place, Named)>,
    forbidden: Option<Place>,
}

fn judge<'p>(
    request: &Request<'_>,
    layer: Layer,
    policies: impl Iterator<Item = &'p Policy>,
    bounded: bool,
) -> Verdict {
    let mut verdict = Verdict { granted: None, forbidden: None };
    for (policy, of) in policies.enumerate() {
        for (statement, of) in of.statements.iter().enumerate() {
            // Only a stronger grant than the one there is of interest.
            let strongest = |(_, named): &(Place, Named)| *named == Named::Itself;
            if of.effect == Effect::Allow && verdict.granted.as_ref().is_some_and(strongest) {
                continue;
            }
            let Ok(named) = of.applies(request, bounded) else { continue };
            let place = Place { layer, policy, statement };
            match of.effect {
                Effect::Deny => {
                    verdict.forbidden = Some(place);
                    return verdict;
                }
                Effect::Allow if verdict.granted.is_none_or(|(_, other)| named > other) => {
                    verdict.granted = Some((place, named));
                }
                Effect::Allow => {}
            }
        }
    }
    verdict
}

/// Decides.
pub fn decide(request: &Request<'_>, policies: &Policies<'_>) -> Decision {
    let bounded = policies.boundary.is_some();
    let of = |layer, all: &mut dyn Iterator<Item = &Policy>| judge(request, layer, all, bounded);
    let identity = of(Layer::Identity, &mut policies.identity.iter().map(Arc::as_ref));
    let boundary = of(Layer::Boundary, &mut policies.boundary.into_iter());
    let session = policies.session.unwrap_or_default();
    let session = of(Layer::Session, &mut session.iter().map(Arc::as_ref));
    let resource = of(Layer::Resource, &mut policies.resource.into_iter());
    let all = [&identity, &boundary, &session, &resource];
    if let Some(place) = all.iter().find_map(|verdict| verdict.forbidden) {
        return Decision::Forbidden(place);
    }
    // The most the caller may be granted by anybody but one who names it itself.
    let capped = if policies.boundary.is_some() && boundary.granted.is_none() {
        Some(Layer::Boundary)
    } else if policies.session.is_some() && session.granted.is_none() {
        Some(Layer::Session)
    } else {
        None
    };
    let within = |place: Place| match capped {
        Some(layer) => Decision::NotGranted(layer),
        None => Decision::Allowed(place),
    };
    let own = || match identity.granted {
        Some((place, _)) => within(place),
        None => Decision::NotGranted(Layer::Identity),
    };
    let same = request.is_within_account(policies.resource_account);
    // A service has no account and no policies of its own.
    let is_service = request.principal.account().is_none();
    let in_session = policies.session.is_none() || session.granted.is_some();
    match resource.granted {
        Some((place, Named::Everybody)) if same && in_session => Decision::Allowed(place),
        Some((place, Named::Itself)) if same || is_service => Decision::Allowed(place),
        Some((place, Named::Everybody)) if is_service => Decision::Allowed(place),
        Some((_, Named::Everybody)) if same => Decision::NotGranted(Layer::Session),
        Some((place, Named::Role)) if same => within(place),
        Some(_) => own(),
        None if is_service || !same || policies.resource_must_grant => {
            Decision::NotGranted(Layer::Resource)
        }
        None => own(),
    }
}
