//! `[network]`: which process may reach what, for jobs and endpoints alike.
//!
//! Only what is written is read here. The kernel's part is in `sandbox`, the part of smrt's own
//! connections in `store`, that of callers in `http`.

use std::fmt;
use std::net::IpAddr;

use super::cursor::{Cursor, Wrong};
use super::limit;
use super::problem::shortened;

/// How much of the network the work may see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// One process does everything. The default: it needs nothing of the kernel, and nobody's job
    /// changes by an update.
    #[default]
    Open,
    /// As [`Full`](Isolation::Full), and smrt's own connections, to stores and from callers, stay
    /// within `allow`.
    Private,
    /// What computes is a process without network, files, keys and credentials; another brings it
    /// the bytes and takes the result.
    Full,
}

impl Isolation {
    /// Whether what computes is a process of its own.
    pub fn is_apart(self) -> bool {
        self != Isolation::Open
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isolation::Open => "open",
            Isolation::Private => "private",
            Isolation::Full => "full",
        })
    }
}

/// `[network]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// `isolation`
    pub isolation: Isolation,
    /// `allow`: the networks that smrt's own connections stay within; empty: any but
    /// [`is_never`] ones.
    pub allow: Vec<Range>,
}

impl Network {
    /// Whether smrt may connect to `address`, or be asked from there: within `allow`, and never to
    /// what only a machine itself should be asked from, unless `allow` names it.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self.allow.as_slice() {
            [] => !is_never(address),
            ranges => ranges.iter().any(|range| range.contains(address)),
        }
    }

    /// The ranges, for messages.
    pub fn shown(&self) -> String {
        self.allow.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// Link-local addresses and the places where clouds hand credentials to whoever asks: no store
/// lies there, and a name or a redirect that leads there means harm.
pub fn is_never(address: IpAddr) -> bool {
    /// Azure's and Alibaba's; the others' are link-local.
    const METADATA: [[u8; 4]; 2] = [[168, 63, 129, 16], [100, 100, 100, 200]];
    /// `fd00:ec2::254`, and `fd20:ce::254` of Google.
    const METADATA_6: [[u16; 8]; 2] =
        [[0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]];
    match address.to_canonical() {
        IpAddr::V4(four) => four.is_link_local() || METADATA.contains(&four.octets()),
        IpAddr::V6(six) => {
            let segments = six.segments();
            // NAT64 and 6to4 carry an IPv4 address inside.
            let inside = match segments {
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                    Some(std::net::Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
                }
                // "IPv4-compatible", long withdrawn and still parsed.
                [0, 0, 0, 0, 0, 0, high, low] => {
                    Some(std::net::Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
                }
                _ => None,
            };
            six.is_unicast_link_local()
                || METADATA_6.contains(&segments)
                || inside.is_some_and(|four| is_never(four.into()))
        }
    }
}

/// A network: an address and how many of its first bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    address: IpAddr,
    bits: u8,
}

impl Range {
    /// Reads `10.0.0.0/8`, `fd00::/8` or one address.
    ///
    /// # Errors
    /// A sentence saying what is wrong, and one saying how to mend it.
    pub fn parse(text: &str) -> Result<Range, Wrong> {
        let shown = shortened(&format!("{text:?}"));
        let wrong = || {
            let help =
                "write an address and how many of its bits count: \"10.0.0.0/8\", \"fd00::/8\"";
            (format!("{shown} is not a network"), Some(help.to_owned()))
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok());
        let bits = match bits {
            None => most,
            Some(text) => digits(text).flatten().filter(|bits| *bits <= most).ok_or_else(wrong)?,
        };
        let range = Range { address, bits };
        let first = range.first();
        if first != address {
            let what = format!("{shown} has bits behind the first {bits}");
            return Err((what, Some(format!("did you mean \"{first}/{bits}\"?"))));
        }
        Ok(range)
    }

    /// Whether `address` lies in it. An IPv4 address in IPv6's clothes is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        Range { address: address.to_canonical(), bits: self.bits }.first() == self.address
            && address.to_canonical().is_ipv4() == self.address.is_ipv4()
    }

    /// The address with all bits behind the first set to 0.
    fn first(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(four) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                std::net::Ipv4Addr::from(u32::from(four) & mask).into()
            }
            IpAddr::V6(six) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                std::net::Ipv6Addr::from(u128::from(six) & mask).into()
            }
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

pub(in crate::spec) const TABLE: &str = "[network] with isolation = \"full\" below it";

pub(in crate::spec) fn read_network(table: &mut Cursor<'_>) -> Network {
    let isolation = table
        .parsed("isolation", |text| match text {
            "open" => Ok(Isolation::Open),
            "private" => Ok(Isolation::Private),
            "full" => Ok(Isolation::Full),
            other => Err((
                format!("{} is not an isolation", shortened(&format!("{other:?}"))),
                Some("write \"full\", \"private\" or \"open\"".into()),
            )),
        })
        .unwrap_or_default();
    let there = table.has("allow");
    let mut allow = Vec::new();
    if let Some(found) = table.texts("allow") {
        if found.value.is_empty() {
            let help = "leave it out to allow every network";
            table.wrong("allow", found.line, "names no network".into(), Some(help.into()));
        }
        if found.value.len() > limit::NETWORKS_MAX {
            let what = format!("{} networks are too many", found.value.len());
            let help = format!("at most {}", limit::NETWORKS_MAX);
            table.wrong("allow", found.line, what, Some(help));
        }
        for text in found.value.iter().take(limit::NETWORKS_MAX) {
            match Range::parse(text) {
                Ok(range) => allow.push(range),
                Err((what, help)) => table.wrong("allow", found.line, what, help),
            }
        }
    }
    if isolation == Isolation::Private && !there {
        let what = "says \"private\" and allows no network".to_owned();
        let help = "name the networks of stores and callers: allow = [\"10.0.0.0/8\"]".to_owned();
        table.wrong("isolation", None, what, Some(help));
    }
    Network { isolation, allow }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn range(text: &str) -> Range {
        Range::parse(text).unwrap()
    }

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let ten = range("10.0.0.0/8");
        assert!(ten.contains(ip("10.255.0.1")) && ten.contains(ip("::ffff:10.1.2.3")));
        assert!(!ten.contains(ip("11.0.0.0")) && !ten.contains(ip("::a00:1")));
        let one = range("192.168.7.9");
        assert!(one.contains(ip("192.168.7.9")) && !one.contains(ip("192.168.7.8")));
        let all = range("0.0.0.0/0");
        assert!(all.contains(ip("255.255.255.255")) && !all.contains(ip("::1")));
        let six = range("fd00::/8");
        assert!(six.contains(ip("fdff::1")) && !six.contains(ip("fe00::1")));
        assert!(range("::/0").contains(ip("2001:db8::1")));
    }

    #[test]
    fn what_is_no_range_is_refused_with_a_way_out() {
        for text in ["", "10", "10.0.0.0/33", "10.0.0.0/+8", "::/129", "x/8", "10.0.0.0/"] {
            let (what, help) = Range::parse(text).unwrap_err();
            assert!(what.contains("is not a network") && help.is_some(), "{text}");
        }
        let (_, help) = Range::parse("10.1.2.3/8").unwrap_err();
        assert_eq!(help.unwrap(), "did you mean \"10.0.0.0/8\"?");
    }

    #[test]
    fn metadata_and_link_local_are_refused_in_every_dress_unless_they_are_named() {
        let any = Network::default();
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::a9fe:a9fe",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "168.63.129.16",
            "100.100.100.200",
        ] {
            assert!(!any.permits(ip(text)), "{text}");
        }
        for text in ["127.0.0.1", "::1", "10.0.0.1", "8.8.8.8", "fd00::1", "2001:db8::1"] {
            assert!(any.permits(ip(text)), "{text}");
        }
        let named = Network { allow: vec![range("169.254.0.0/16")], ..Network::default() };
        assert!(named.permits(ip("::ffff:169.254.169.254")) && !named.permits(ip("127.0.0.1")));
    }
}
