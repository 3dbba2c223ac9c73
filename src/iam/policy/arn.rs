//! Amazon Resource Names, compared part by part: `arn:partition:service:region:account:resource`.

use super::context::Context;
use super::pattern::{Grammar, Pattern};

/// The six parts; the last may hold colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arn<'a>([&'a str; 6]);

impl<'a> Arn<'a> {
    /// Cuts a text; `None` where it has fewer than six parts.
    pub(super) fn of(text: &'a str) -> Option<Arn<'a>> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next();
        let cut = [next()?, next()?, next()?, next()?, next()?, next()?];
        (cut[0] == "arn").then_some(Arn(cut))
    }

    /// The account, where the name has one.
    pub(super) fn account(&self) -> Option<&'a str> {
        Some(self.0[4]).filter(|account| !account.is_empty())
    }
}

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ArnPattern {
    /// `*`.
    Any,
    /// A pattern for each part: no wildcard reaches over a colon but in the last.
    Parts(Box<[Pattern; 6]>),
}

impl ArnPattern {
    /// Compiles `text`, or says what is wrong with it.
    pub(super) fn compile(text: &str, variables: bool) -> Result<ArnPattern, String> {
        let pattern =
            Pattern::compile(text, Grammar { wildcards: true, variables, caseless: false })?;
        if pattern.is_any() {
            return Ok(ArnPattern::Any);
        }
        let parts: Result<[Pattern; 6], _> = pattern.split(5).try_into();
        let parts = parts.ok().filter(|parts| parts[0].fits("arn", &Context::new()));
        let parts = parts.ok_or("is not an ARN (arn:partition:service:region:account:resource)")?;
        Ok(ArnPattern::Parts(Box::new(parts)))
    }

    /// Whether the text, cut where it is an ARN, fits.
    pub(super) fn fits(&self, arn: Option<Arn<'_>>, context: &Context) -> bool {
        match (self, arn) {
            (ArnPattern::Any, _) => true,
            (ArnPattern::Parts(_), None) => false,
            (ArnPattern::Parts(parts), Some(Arn(cut))) => {
                // The last differs most often.
                parts.iter().zip(cut).rev().all(|(pattern, text)| pattern.fits(text, context))
            }
        }
    }

    /// Whether it has a variable that is not known.
    pub(super) fn is_open(&self, context: &Context) -> bool {
        match self {
            ArnPattern::Any => false,
            ArnPattern::Parts(parts) => parts.iter().any(|pattern| pattern.is_open(context)),
        }
    }

    /// Whether the name does not fit but might, if a variable that is not known had the right
    /// value.
    pub(super) fn might_fit(&self, arn: Option<Arn<'_>>, context: &Context) -> bool {
        let (ArnPattern::Parts(parts), Some(Arn(cut))) = (self, arn) else { return false };
        let mut unknown = false;
        let mut pairs = parts.iter().zip(cut);
        pairs.all(|(pattern, text)| {
            let might = pattern.might_fit(text, context);
            unknown |= might;
            might || pattern.fits(text, context)
        }) && unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_does_not_reach_over_a_colon_but_in_the_resource() {
        let fits = |pattern: &str, text: &str| {
            ArnPattern::compile(pattern, true).unwrap().fits(Arn::of(text), &Context::new())
        };
        let endpoint = "arn:aws:sagemaker:us-east-1:111122223333:endpoint/fraud";
        assert!(fits("arn:aws:sagemaker:*:*:endpoint/*", endpoint));
        assert!(fits("arn:*:sagemaker:us-????-1:*:endpoint/fr?ud", endpoint));
        assert!(!fits("arn:aws:*:endpoint/fraud:*:x", endpoint));
        assert!(!fits("arn:aws:sagemaker:us-east-1:*:model/*", endpoint));
        assert!(fits("arn:aws:logs:*:*:*", "arn:aws:logs:us-east-1:1:log-group:a:b"));
        assert!(fits("*", "no arn"));
        assert!(!fits("arn:aws:s3:::*", "no arn"));
    }

    #[test]
    fn what_is_no_arn_is_told() {
        for text in ["", "fraud", "arn:aws:s3", "arn:aws:s3:*", "urn:a:b:c:d:e"] {
            assert!(ArnPattern::compile(text, true).is_err(), "{text}");
        }
    }
}
