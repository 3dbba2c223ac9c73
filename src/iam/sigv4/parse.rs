//! The claim in its two places: the `Authorization` header, or the query of a presigned URL.

use std::borrow::Cow;

use super::canonical::decode;
use super::error::{Refusal, incomplete};
use super::{ALGORITHM, EXPIRES_S_MAX, Request, TERMINATOR};
use crate::spec::problem::shortened;

/// What a signature says about itself, not yet believed.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) access_key: Cow<'a, str>,
    pub(super) day: Cow<'a, str>,
    pub(super) region: Cow<'a, str>,
    pub(super) service: Cow<'a, str>,
    pub(super) signed: Cow<'a, str>,
    pub(super) signature: [u8; 32],
    /// `20150830T123600Z`.
    pub(super) date: Cow<'a, str>,
    pub(super) token: Option<Cow<'a, str>>,
    /// Seconds a presigned request lives; `None` for one signed in its header.
    pub(super) expires_s: Option<i64>,
}

/// The one value of a header.
pub(super) fn header<'a>(request: &Request<'a>, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut found = request.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
    let Some((_, value)) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(incomplete(format!("there are two headers {name}")));
    }
    let text = std::str::from_utf8(value).map_err(|_| incomplete(format!("{name} is not text")))?;
    Ok(Some(text.trim()))
}

/// Whether the query says it is signed. One that only looks so is caught by the names that follow.
pub(super) fn is_presigned(request: &Request<'_>) -> bool {
    request.query.contains("X-Amz-Signature") || request.query.contains("X-Amz-Algo")
}

/// Reads the claim where it stands.
pub(super) fn parts<'a>(request: &Request<'a>) -> Result<Parts<'a>, Refusal> {
    let authorization = header(request, "authorization")?;
    let presigned = is_presigned(request);
    match (authorization, presigned) {
        (Some(_), true) => {
            Err(incomplete("the request is signed twice, in its header and in its query"))
        }
        (Some(text), false) => in_header(request, text),
        (None, true) => in_query(request),
        (None, false) => Err(Refusal::Missing),
    }
}

fn in_header<'a>(request: &Request<'a>, text: &'a str) -> Result<Parts<'a>, Refusal> {
    let (algorithm, rest) = text.split_once(' ').unwrap_or((text, ""));
    if algorithm != ALGORITHM {
        let what = format!("Authorization begins with {:?}, not {ALGORITHM}", shortened(algorithm));
        return Err(incomplete(what));
    }
    let (mut credential, mut signed, mut signature) = (None, None, None);
    for part in rest.split(',') {
        let (name, value) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed,
            "Signature" => &mut signature,
            other => {
                return Err(incomplete(format!("Authorization has {:?}", shortened(other))));
            }
        };
        if place.replace(value).is_some() {
            return Err(incomplete(format!("Authorization has {name} twice")));
        }
    }
    let need = |value: Option<&'a str>, name: &str| {
        value.ok_or_else(|| incomplete(format!("Authorization has no {name}")))
    };
    let [access_key, day, region, service] = scope(need(credential, "Credential")?)?;
    let date = header(request, "x-amz-date")?;
    Ok(Parts {
        access_key: access_key.into(),
        day: day.into(),
        region: region.into(),
        service: service.into(),
        signed: need(signed, "SignedHeaders")?.into(),
        signature: digest(need(signature, "Signature")?)?,
        date: date.ok_or_else(|| incomplete("there is no header X-Amz-Date"))?.into(),
        token: header(request, "x-amz-security-token")?.map(Cow::from),
        expires_s: None,
    })
}

fn in_query<'a>(request: &Request<'a>) -> Result<Parts<'a>, Refusal> {
    let names = ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"];
    let mut values: [Option<String>; 7] = Default::default();
    for pair in request.query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = decode(name) else { continue };
        let Some(name) = name.strip_prefix("X-Amz-") else { continue };
        let at = match name {
            "Security-Token" => 6,
            _ => match names.iter().position(|known| *known == name) {
                Some(at) => at,
                None => continue,
            },
        };
        let value =
            decode(value).ok_or_else(|| incomplete(format!("X-Amz-{name} is not UTF-8")))?;
        if values[at].replace(value).is_some() {
            return Err(incomplete(format!("the query has X-Amz-{name} twice")));
        }
    }
    let [algorithm, credential, date, expires, signed, signature, token] = values;
    let need = |value: Option<String>, at: usize| {
        value.ok_or_else(|| incomplete(format!("the query has no X-Amz-{}", names[at])))
    };
    if need(algorithm, 0)? != ALGORITHM {
        return Err(incomplete(format!("X-Amz-Algorithm is not {ALGORITHM}")));
    }
    let credential = need(credential, 1)?;
    let [access_key, day, region, service] = scope(&credential)?.map(|part| part.to_owned().into());
    let expires = need(expires, 3)?;
    let digits = !expires.is_empty() && expires.bytes().all(|byte| byte.is_ascii_digit());
    let expires_s = expires.parse().ok().filter(|s| digits && (1..=EXPIRES_S_MAX).contains(s));
    let expires_s = expires_s.ok_or_else(|| {
        incomplete(format!("X-Amz-Expires is not a whole number from 1 to {EXPIRES_S_MAX}"))
    })?;
    Ok(Parts {
        access_key,
        day,
        region,
        service,
        signed: need(signed, 4)?.into(),
        signature: digest(&need(signature, 5)?)?,
        date: need(date, 2)?.into(),
        token: token.map(Cow::from),
        expires_s: Some(expires_s),
    })
}

/// Access key, day, region and service of `key/day/region/service/aws4_request`.
fn scope(credential: &str) -> Result<[&str; 4], Refusal> {
    let mut parts = credential.rsplitn(5, '/');
    let mut next = || parts.next().unwrap_or_default();
    let [terminator, service, region, day, access_key] = [next(), next(), next(), next(), next()];
    let whole = [service, region, day, access_key].iter().all(|part| !part.is_empty());
    match whole && terminator == TERMINATOR {
        true => Ok([access_key, day, region, service]),
        false => {
            Err(incomplete(format!("Credential is not ACCESSKEY/DAY/REGION/SERVICE/{TERMINATOR}")))
        }
    }
}

/// 64 lower-case hexadecimal digits, the one spelling there is.
pub(super) fn digest(text: &str) -> Result<[u8; 32], Refusal> {
    let mut bytes = [0; 32];
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    match lower && hex::decode_to_slice(text, &mut bytes).is_ok() {
        true => Ok(bytes),
        false => Err(incomplete("a signature or digest is not 64 hexadecimal digits")),
    }
}
