//! The HTTP client of the stores: how it connects, where to, and where never.
//!
//! An address is judged when it is about to be connected to, after names were resolved, so that a
//! name that is resolved anew to something else is judged anew. A host that is written as an
//! address asks no resolver; it is judged with the request and with each redirect.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder};

use super::bounded::Bounded;
use crate::spec::limit;
use crate::spec::network::Network;

/// Where connections may lead.
#[derive(Debug, Clone)]
pub(super) enum Reach {
    /// As `[network]` says.
    Within(Arc<Network>),
    /// A cloud's own credential service, which lies on a link-local address.
    Anywhere,
}

impl Reach {
    pub(super) fn of(network: &Network) -> Reach {
        Reach::Within(Arc::new(network.clone()))
    }

    pub(super) fn credentials() -> Reach {
        Reach::Anywhere
    }

    fn check(&self, address: IpAddr) -> Result<(), Refused> {
        match self {
            Reach::Within(network) if !network.permits(address) => {
                let within = (!network.allow.is_empty()).then(|| network.shown());
                Err(Refused { address, within })
            }
            _ => Ok(()),
        }
    }

    /// Judges a host that is an address; a name is judged when it is resolved.
    pub(super) fn check_host(&self, host: &str) -> Result<(), Refused> {
        // As the client will read it: 2852039166 and 0xa9fea9fe are 169.254.169.254 too.
        match url::Host::parse(host) {
            Ok(url::Host::Ipv4(address)) => self.check(address.into()),
            Ok(url::Host::Ipv6(address)) => self.check(address.into()),
            _ => Ok(()),
        }
    }
}

/// A connection that is not made.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    address: IpAddr,
    within: Option<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.within {
            Some(within) => write!(f, "{REFUSED} {}, which is not in {within}", self.address),
            None => write!(f, "{REFUSED} {}, a link-local or metadata address", self.address),
        }
    }
}

/// How the text begins: the help looks for it.
pub(super) const REFUSED: &str = "network.allow forbids";

impl std::error::Error for Refused {}

/// Makes clients over rustls with ring, with bounded patience and bounded answers.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) plain: bool,
    pub(super) reach: Reach,
    /// Whether the system's certificates count.
    pub(super) system_authorities: bool,
    /// Those that count besides.
    pub(super) authorities: Vec<Certificate>,
    /// Whether a redirect to another host is followed: not with credentials.
    pub(super) follows: bool,
}

impl Connector {
    /// `plain` also allows `http://`.
    pub(super) fn new(plain: bool, reach: &Reach) -> Connector {
        Connector {
            plain,
            reach: reach.clone(),
            system_authorities: true,
            authorities: Vec::new(),
            follows: true,
        }
    }

    fn client(&self) -> reqwest::Result<reqwest::Client> {
        // The client takes its cipher suites from the process. An embedder's own choice stands.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = ClientBuilder::new()
            .user_agent(concat!("smrt/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .https_only(!self.plain)
            .connect_timeout(Duration::from_secs(limit::CONNECT_TIMEOUT_S))
            .read_timeout(Duration::from_secs(limit::SILENCE_TIMEOUT_S))
            .redirect(self.redirects())
            .dns_resolver(Arc::new(Resolver(self.reach.clone())))
            // An object's length is that of its bytes as they are stored.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate();
        match self.system_authorities {
            true => builder.tls_certs_merge(self.authorities.clone()),
            false => builder.tls_certs_only(self.authorities.clone()),
        }
        .build()
    }

    fn redirects(&self) -> Policy {
        let (reach, follows) = (self.reach.clone(), self.follows);
        Policy::custom(move |attempt| {
            let before = attempt.previous().last().and_then(|url| url.host_str());
            let elsewhere = before != attempt.url().host_str();
            if elsewhere && !follows {
                return attempt.stop();
            }
            match reach.check_host(attempt.url().host_str().unwrap_or_default()) {
                Err(refused) => attempt.error(refused),
                Ok(()) if attempt.previous().len() > limit::REDIRECTS_MAX => {
                    attempt.error("it redirects again and again")
                }
                Ok(()) => attempt.follow(),
            }
        })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = self.client().map_err(|source| object_store::Error::Generic {
            store: "HTTP client",
            source: Box::new(source),
        })?;
        let client = HttpClient::new(client);
        Ok(HttpClient::new(Bounded { client, reach: self.reach.clone() }))
    }
}

/// The system's names, and RFC 6761's rule that `localhost` and all below it are this machine:
/// virtual-host buckets of a local server work without an entry in any table.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<IpAddr> = match host == "localhost" || host.ends_with(".localhost") {
                true => {
                    vec![std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()]
                }
                false => {
                    tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect()
                }
            };
            // What is handed on here is what is connected to: nothing is resolved in between.
            let refused = found.iter().find_map(|address| reach.check(*address).err());
            let allowed: Vec<_> = found.into_iter().filter(|a| reach.check(*a).is_ok()).collect();
            match refused {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                _ => {
                    let addresses = allowed.into_iter().map(|address| SocketAddr::new(address, 0));
                    Ok(Box::new(addresses.collect::<Vec<_>>().into_iter()) as Addrs)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::network::Range;

    #[test]
    fn a_host_that_is_an_address_is_judged_and_a_name_waits_for_its_addresses() {
        let reach = Reach::of(&Network::default());
        for host in [
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "[fe80::1]",
            "[::ffff:169.254.169.254]",
            "[fd00:ec2::254]",
        ] {
            let refused = reach.check_host(host).unwrap_err();
            assert!(refused.to_string().contains("link-local or metadata"), "{refused}");
        }
        assert!(reach.check_host("s3.amazonaws.com").is_ok());
        assert!(Reach::credentials().check_host("169.254.169.254").is_ok());
        let allow = vec![Range::parse("10.0.0.0/8").unwrap()];
        let reach = Reach::of(&Network { allow, ..Network::default() });
        let refused = reach.check_host("127.0.0.1").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "network.allow forbids 127.0.0.1, which is not in 10.0.0.0/8"
        );
        assert!(reach.check_host("10.1.1.1").is_ok());
    }
}
