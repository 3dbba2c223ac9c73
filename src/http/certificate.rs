//! Who a client certificate names: as much of X.509 (RFC 5280) as holds the names.
//!
//! rustls has verified the certificate before this looks at it, so it is well-formed and signed by
//! a root the operator chose; this only finds the name for the log. A caller may still have put
//! anything into it that the root allowed: a name that is not plain text is not taken.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const NAME_EMAIL: u8 = 0x81;
const NAME_DNS: u8 = 0x82;
const NAME_URI: u8 = 0x86;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// Characters of a name.
const NAME_BYTES_MAX: usize = 256;

/// The URI (as SPIFFE has it), else the common name, else the DNS name, else the mail address.
pub(super) fn name(certificate: &[u8]) -> Option<String> {
    let (common, alternatives) = names(certificate)?;
    let of = |kind| alternatives.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name);
    [of(NAME_URI), common, of(NAME_DNS), of(NAME_EMAIL)].into_iter().flatten().find_map(plain)
}

fn plain(name: &[u8]) -> Option<String> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    let text = std::str::from_utf8(name).ok().filter(|_| fits)?;
    text.chars().all(|c| !c.is_control()).then(|| text.to_owned())
}

type Names<'a> = (Option<&'a [u8]>, Vec<(u8, &'a [u8])>);

/// The subject's last common name, and the alternative names with their kinds.
fn names(certificate: &[u8]) -> Option<Names<'_>> {
    let mut signed = Der(Der(certificate).take(SEQUENCE)?);
    let mut fields = Der(signed.take(SEQUENCE)?);
    fields.skip_if(VERSION);
    // Serial number, signature, issuer, validity.
    for _ in 0..4 {
        fields.next()?;
    }
    let mut subject = Der(fields.take(SEQUENCE)?);
    let mut common = None;
    while let Some(set) = subject.take(SET) {
        let mut pair = Der(Der(set).take(SEQUENCE)?);
        let is_common = pair.take(OBJECT)? == COMMON_NAME;
        let (kind, value) = pair.next()?;
        if is_common && matches!(kind, UTF8 | PRINTABLE | IA5) {
            common = Some(value);
        }
    }
    let mut alternatives = Vec::new();
    while let Some((kind, value)) = fields.next() {
        if kind == EXTENSIONS {
            let mut extensions = Der(Der(value).take(SEQUENCE)?);
            while let Some(extension) = extensions.take(SEQUENCE) {
                let mut extension = Der(extension);
                if extension.take(OBJECT)? == ALTERNATIVE_NAMES {
                    extension.skip_if(BOOLEAN);
                    let mut list = Der(Der(extension.take(OCTETS)?).take(SEQUENCE)?);
                    alternatives.extend(std::iter::from_fn(|| list.next()));
                }
            }
        }
    }
    Some((common, alternatives))
}

/// Elements of DER that are left: a tag of one byte, a definite length, the value.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, short], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match short {
            0..=0x7f => (usize::from(short), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The value of the next element, if it is of this kind.
    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let before = self.0;
        match self.next() {
            Some((kind, value)) if kind == wanted => Some(value),
            _ => {
                self.0 = before;
                None
            }
        }
    }

    fn skip_if(&mut self, kind: u8) {
        let _ = self.take(kind);
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn made(common: Option<&str>, alternatives: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "smrt");
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = alternatives;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_is_named_by_its_uri_its_common_name_or_its_host() {
        let uri = SanType::URI("spiffe://fraud/team".try_into().unwrap());
        let dns = SanType::DnsName("caller.example".try_into().unwrap());
        let mail = SanType::Rfc822Name("a@example.com".try_into().unwrap());
        let named = |common, alternatives| name(&made(common, alternatives));
        let all = named(Some("fraud-team"), vec![dns.clone(), uri]);
        assert_eq!(all.as_deref(), Some("spiffe://fraud/team"));
        let common = named(Some("fraud-team"), vec![dns.clone()]);
        assert_eq!(common.as_deref(), Some("fraud-team"));
        assert_eq!(named(None, vec![mail.clone(), dns]).as_deref(), Some("caller.example"));
        assert_eq!(named(None, vec![mail]).as_deref(), Some("a@example.com"));
        assert_eq!(named(None, Vec::new()), None);
        assert_eq!(named(Some("a\nlevel=error"), Vec::new()), None);
    }

    #[test]
    fn a_certificate_that_is_cut_or_changed_is_never_a_panic() {
        let whole = made(Some("fraud-team"), Vec::new());
        for at in 0..whole.len() {
            let _ = name(&whole[..at]);
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            let _ = name(&changed);
        }
    }
}
