//! Who calls: bearer tokens (RFC 6750) from a file, each with the name of whoever holds it.
//!
//! ```text
//! # NAME TOKEN, or NAME sha256:DIGEST so that the file holds no secret
//! fraud-team  jCjbEJ0Oy9KYGyTW0ho1gXqUO1bnzOPn
//! grafana     sha256:5f6e3b…
//! ```
//! Two tokens of one name are how one is replaced by the next. What each may do is not told apart:
//! whoever has a token may ask everything. AWS signatures are not looked at.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::header::{self, HeaderMap};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::error::Error;
use super::fresh::Fresh;
use super::tls;
use crate::fault::Finding;
use crate::spec::limit::{TOKEN_BYTES_MIN, TOKENS_MAX};

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There is no token.
    Missing,
    /// There is one, and it is nobody's.
    Unknown,
}

impl Denied {
    /// For people.
    pub fn message(self) -> &'static str {
        match self {
            Denied::Missing => "this endpoint asks for a token",
            Denied::Unknown => "this token is not known here",
        }
    }

    /// What to do about it.
    pub fn help(self) -> &'static str {
        "send Authorization: Bearer TOKEN"
    }
}

/// The tokens of one file.
pub(super) struct Tokens {
    /// Digests and names.
    known: Vec<([u8; 32], Arc<str>)>,
}

impl Tokens {
    /// Reads them, and again whenever the file changes.
    pub(super) fn open(path: PathBuf) -> Result<Fresh<Tokens>, Error> {
        Fresh::new("tokens", vec![path.clone()], move || Tokens::read(&path))
    }

    fn read(path: &Path) -> Result<Tokens, Error> {
        let text = String::from_utf8_lossy(&tls::bytes(path)?).into_owned();
        Tokens::parse(&text).map_err(|findings| Error::Tokens { path: path.to_owned(), findings })
    }

    pub(super) fn parse(text: &str) -> Result<Tokens, Vec<Finding>> {
        let (mut known, mut findings) = (Vec::new(), Vec::new());
        let mut is_empty = true;
        let mut wrong = |line: usize, what: &str, help: &str| {
            findings.push(Finding {
                what: format!("line {line}: {what}"),
                help: Some(help.to_owned()),
            });
        };
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            is_empty = false;
            let mut words = line.split_whitespace();
            let (Some(name), Some(token), None) = (words.next(), words.next(), words.next()) else {
                wrong(number, "is not a name and a token", "write NAME TOKEN");
                continue;
            };
            if name.len() > 64
                || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            {
                wrong(number, "the name is not one", "use 1 to 64 of letters, digits, . _ -");
                continue;
            }
            match digest(token) {
                Err((what, help)) => wrong(number, what, help),
                Ok(digest) if known.iter().any(|(other, _)| *other == digest) => {
                    wrong(number, "the token stands there twice", "give each name its own");
                }
                Ok(digest) => known.push((digest, name.into())),
            }
        }
        if is_empty {
            wrong(1, "there is no token in it", "write NAME TOKEN, one a line");
        }
        if known.len() > TOKENS_MAX {
            wrong(
                TOKENS_MAX,
                "more tokens than are compared",
                "give one to each caller, not each call",
            );
        }
        if findings.is_empty() { Ok(Tokens { known }) } else { Err(findings) }
    }

    /// Whose token a request has.
    pub(super) fn identify(&self, headers: &HeaderMap) -> Result<Arc<str>, Denied> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Err(Denied::Missing) };
        let (scheme, token) = value.as_bytes().split_at_checked(7).ok_or(Denied::Unknown)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Err(Denied::Missing);
        }
        let given: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
        // Every one is compared to its end: the time tells nothing of which it was like.
        let (mut found, mut at) = (Choice::from(0), 0_u32);
        for (number, (digest, _)) in self.known.iter().enumerate() {
            let same = digest.ct_eq(&given);
            at = u32::conditional_select(&at, &(number as u32), same);
            found |= same;
        }
        match bool::from(found) {
            true => Ok(Arc::clone(&self.known[at as usize].1)),
            false => Err(Denied::Unknown),
        }
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tokens", self.known.len())
    }
}

fn digest(token: &str) -> Result<[u8; 32], (&'static str, &'static str)> {
    if let Some(digits) = token.strip_prefix("sha256:") {
        let mut digest = [0; 32];
        return match hex::decode_to_slice(digits, &mut digest) {
            Ok(()) => Ok(digest),
            Err(_) => Err((
                "the digest is not a SHA-256",
                "write sha256: and 64 hexadecimal digits: printf %s TOKEN | sha256sum",
            )),
        };
    }
    if token.len() < TOKEN_BYTES_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err((
            "the token is too easy to guess, or no ASCII",
            "use 16 characters or more: openssl rand -base64 32",
        ));
    }
    Ok(Sha256::digest(token).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tokens: &Tokens, authorization: &str) -> Result<Arc<str>, Denied> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        tokens.identify(&headers)
    }

    #[test]
    fn a_token_says_who_calls_also_by_its_digest_alone() {
        let digest = hex::encode(Sha256::digest("the-second-token-of-all"));
        let text =
            format!("# a\n\na the-first-token-of-all\nb sha256:{digest}\na another-token-of-a\n");
        let tokens = Tokens::parse(&text).unwrap();
        assert_eq!(asked(&tokens, "Bearer the-first-token-of-all").as_deref(), Ok("a"));
        assert_eq!(asked(&tokens, "bearer the-second-token-of-all").as_deref(), Ok("b"));
        assert_eq!(asked(&tokens, "Bearer another-token-of-a").as_deref(), Ok("a"));
        for wrong in ["Bearer ", "Bearer the-first-token-of-al", "Bearer", &digest] {
            assert!(asked(&tokens, wrong).is_err(), "{wrong}");
        }
        assert_eq!(asked(&tokens, "AWS4-HMAC-SHA256 Credential=a"), Err(Denied::Missing));
        assert_eq!(tokens.identify(&HeaderMap::new()), Err(Denied::Missing));
        assert_eq!(format!("{tokens:?}"), "3 tokens");
    }

    #[test]
    fn all_mistakes_of_a_file_are_told_with_their_lines_and_none_of_its_secrets() {
        let text = "a short\nb\nc/d the-third-token-of-all\ne sha256:12\nf the-token-of-f-and-g\ng the-token-of-f-and-g\n";
        let findings = Tokens::parse(text).unwrap_err();
        let lines: Vec<&str> = findings.iter().map(|finding| &finding.what[..7]).collect();
        assert_eq!(lines, ["line 1:", "line 2:", "line 3:", "line 4:", "line 6:"]);
        let told = format!("{findings:?}");
        assert!(!told.contains("short") && !told.contains("the-t"), "{told}");
        assert!(Tokens::parse("# nothing\n").is_err());
    }
}
