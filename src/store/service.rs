//! A service of AWS's that holds no bytes of ours: where it is, who asks it, and one bounded request.
//!
//! KMS is asked through it by [`crate::keyring`]. What is sent and what an answer means is decided
//! there; here stand the server, the identity (the same ways as for `s3://`) and the client: TLS
//! over rustls, no redirects (a data key must not follow one), no answer longer than a bound.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::AwsCredentialProvider;
use url::Url;

use super::client::{Reach, Resolver};
use super::connect::credentials;
use super::environment::Environment;
use super::error::Error;
use super::profile::read_small;
use super::runtime;
use super::settings::{KEYS, Settings};
use crate::spec::limit;
use crate::spec::train::{Hidden, Kms, S3, Storage};

/// A server that is asked by `POST`.
pub struct Service {
    client: reqwest::Client,
    settings: Settings,
    url: Url,
    /// Made at the first request: a cloud's own credential service may have to be asked.
    provider: Mutex<Option<AwsCredentialProvider>>,
}

/// Who asks, for a signature.
pub struct Credentials {
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Hidden,
    /// The token of a session.
    pub session_token: Option<Hidden>,
}

/// An answer, of whatever status.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Its body, whole.
    pub body: Vec<u8>,
}

impl Service {
    /// Whether the job or the environment names a key service elsewhere.
    pub fn is_named(kms: &Kms, environment: &Environment) -> bool {
        kms.endpoint.is_some()
            || kms.region.is_some()
            || kms.profile.is_some()
            || environment.value(KEYS.endpoint_variable).is_some()
    }

    /// The key service that `kms` and the environment describe; nothing is asked yet. `region` is
    /// that of the key, where its ARN says one: AWS has a server for each.
    ///
    /// # Errors
    /// [`Error::Settings`], for one beyond this machine without TLS too.
    pub fn kms(
        storage: &Storage,
        environment: &Environment,
        region: Option<&str>,
    ) -> Result<Service, Error> {
        let kms = &storage.kms;
        let access = S3 {
            endpoint: kms.endpoint.clone(),
            region: kms.region.clone(),
            profile: kms.profile.clone(),
            access_key_id: kms.access_key_id.clone(),
            secret_access_key: kms.secret_access_key.clone(),
            session_token: kms.session_token.clone(),
            virtual_host: false,
            ca_bundle: kms.ca_bundle.clone(),
        };
        let mut settings = Settings::of(KEYS, &access, environment)?;
        if let Some(region) = region
            && (settings.endpoint.is_none() || kms.region.is_none())
        {
            settings.region = region.to_owned();
        }
        let url = server(&settings.server())?;
        let reach = Reach::of(&storage.network);
        reach.check_host(url.host_str().unwrap_or_default()).map_err(|refused| {
            Error::Settings {
                what: format!("{}: {refused}", settings.server()),
                help: "name a key service that [network] allows".to_owned(),
            }
        })?;
        let client = client(&settings, url.scheme() == "http", &reach)?;
        Ok(Service { client, settings, url, provider: Mutex::default() })
    }

    /// The server, for messages.
    pub fn server(&self) -> String {
        self.settings.server()
    }

    /// Where the credentials came from, for messages.
    pub fn origin(&self) -> &str {
        &self.settings.origin
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        &self.settings.region
    }

    /// As it stands in the header `Host`.
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// The path of every request.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// Who asks, as of now: those of a cloud's service are renewed.
    ///
    /// # Errors
    /// [`Error::Settings`] when nobody said who asks; the credential service's failure.
    pub fn credentials(&self) -> Result<Credentials, Error> {
        let provider = self.provider()?;
        let limit = Duration::from_secs(limit::CREDENTIAL_SERVICE_TIMEOUT_S);
        let found = runtime::wait(async move {
            tokio::time::timeout(limit, provider.get_credential()).await.ok()?.ok()
        });
        let found = found.ok_or_else(|| self.nobody("no answer"))?;
        Ok(Credentials {
            access_key_id: found.key_id.clone(),
            secret_access_key: Hidden(found.secret_key.clone()),
            session_token: found.token.clone().map(Hidden),
        })
    }

    fn provider(&self) -> Result<AwsCredentialProvider, Error> {
        let mut held = self.provider.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(provider) = held.as_ref() {
            return Ok(provider.clone());
        }
        let provider = credentials(&self.settings, |why| self.nobody(why))?;
        *held = Some(provider.clone());
        Ok(provider)
    }

    fn nobody(&self, why: &str) -> Error {
        Error::Settings {
            what: format!("no credentials for {} ({why})", self.settings.server()),
            help: format!(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or access_key_id in [{}]",
                self.settings.service.table
            ),
        }
    }

    /// Sends one request and waits for the whole answer; what kept it from coming, in words.
    ///
    /// # Errors
    /// The innermost cause: nobody is there, the name is unknown, its certificate is not trusted,
    /// the answer is too long or too late.
    pub fn post(
        &self,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let mut request = self
            .client
            .post(self.url.clone())
            .timeout(Duration::from_secs(limit::KEY_SERVICE_TIMEOUT_S))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        runtime::wait(async move {
            let mut reply = request.send().await.map_err(|error| innermost(&error))?;
            let status = reply.status().as_u16();
            let mut body = Vec::new();
            while let Some(part) = reply.chunk().await.map_err(|error| innermost(&error))? {
                body.extend_from_slice(&part);
                if body.len() > limit::KEY_SERVICE_ANSWER_BYTES_MAX {
                    return Err("its answer is too long to be one".to_owned());
                }
            }
            Ok(Answer { status, body })
        })
    }
}

fn server(text: &str) -> Result<Url, Error> {
    let wrong = |what: String, help: &str| Error::Settings { what, help: help.to_owned() };
    let url = Url::parse(text)
        .map_err(|_| wrong(format!("{text:?} is not an endpoint of KMS"), "write https://host"))?;
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_matches(['[', ']']);
    let here = bare == "localhost"
        || bare.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() == "https" || here {
        true => Ok(url),
        false => Err(wrong(
            format!("{text}: data keys would cross the network in the clear"),
            "write https://, or let the key service be on this machine",
        )),
    }
}

fn client(settings: &Settings, plain: bool, reach: &Reach) -> Result<reqwest::Client, Error> {
    // The client takes its cipher suites from the process. An embedder's own choice stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let unusable = |what: String| Error::Settings {
        what: format!("the connection to {} cannot be set up: {what}", settings.server()),
        help: "storage.kms.ca_bundle and AWS_CA_BUNDLE name a PEM file of certificates".to_owned(),
    };
    let mut authorities = Vec::new();
    if let Some(path) = settings.ca_bundle.as_deref().filter(|_| !plain) {
        let pem = read_small(path)?
            .ok_or_else(|| unusable(format!("there is no file {}", path.display())))?;
        authorities = reqwest::Certificate::from_pem_bundle(&pem)
            .ok()
            .filter(|list| !list.is_empty())
            .ok_or_else(|| unusable(format!("there is no certificate in {}", path.display())))?;
    }
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("smrt/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(limit::CONNECT_TIMEOUT_S))
        .dns_resolver(Arc::new(Resolver(reach.clone())));
    builder = match plain {
        // On this machine: nothing is to pass through a proxy, nor authorities be read.
        true => builder.no_proxy().tls_certs_only([]),
        false => builder.tls_certs_merge(authorities),
    };
    builder.build().map_err(|error| unusable(innermost(&error)))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("server", &self.server()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)], kms: &Kms, region: Option<&str>) -> Result<Service, Error> {
        let storage = Storage { kms: kms.clone(), ..Storage::default() };
        Service::kms(&storage, &pairs.iter().copied().collect(), region)
    }

    #[test]
    fn a_key_of_aws_is_asked_of_the_server_of_its_region() {
        let service = of(&[("AWS_REGION", "us-east-1")], &Kms::default(), Some("eu-west-1"));
        let service = service.unwrap();
        assert_eq!(service.server(), "https://kms.eu-west-1.amazonaws.com");
        assert_eq!((service.region(), service.path()), ("eu-west-1", "/"));
        assert_eq!(service.host(), "kms.eu-west-1.amazonaws.com");
        let china = of(&[], &Kms::default(), Some("cn-north-1")).unwrap();
        assert_eq!(china.host(), "kms.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn an_endpoint_of_ones_own_is_signed_for_the_region_that_was_named() {
        let variables = [("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:8081")];
        let kms = Kms { region: Some("local".into()), ..Kms::default() };
        let service = of(&variables, &kms, Some("eu-west-1")).unwrap();
        assert_eq!((service.host().as_str(), service.region()), ("127.0.0.1:8081", "local"));
        let service = of(&variables, &Kms::default(), Some("eu-west-1")).unwrap();
        assert_eq!(service.region(), "eu-west-1");
    }

    #[test]
    fn keys_cross_the_network_under_tls_alone() {
        for (endpoint, fine) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://kms.localhost:1", true),
            ("https://keys.example", true),
            ("http://keys.example", false),
            ("http://10.0.0.1:1", false),
            ("http://169.254.169.254", false),
            ("http://localhost.example", false),
        ] {
            let kms = Kms { endpoint: Some(endpoint.into()), ..Kms::default() };
            assert_eq!(of(&[], &kms, None).is_ok(), fine, "{endpoint}");
        }
    }

    #[test]
    fn only_who_names_a_key_service_has_one() {
        let named = |kms: &Kms, pairs: &[(&str, &str)]| {
            Service::is_named(kms, &pairs.iter().copied().collect())
        };
        assert!(!named(&Kms::default(), &[("AWS_ENDPOINT_URL", "http://x"), ("AWS_REGION", "r")]));
        assert!(named(&Kms::default(), &[("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")]));
        assert!(named(&Kms { region: Some("r".into()), ..Kms::default() }, &[]));
    }
}
