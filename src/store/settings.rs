//! Which server of a service, and as whom: the job file, then `AWS_*` variables, then the profile.
//!
//! Decides; opens no connection. Follows AWS's SDKs and Tools Reference Guide where that has a
//! rule: a profile the job names outright comes before key variables, `AWS_PROFILE` after them;
//! `AWS_ENDPOINT_URL_S3` comes before `AWS_ENDPOINT_URL`.

use std::path::PathBuf;

use super::environment::Environment;
use super::error::Error;
use super::profile::{self, Profile};
use crate::spec::train::{Hidden, S3};

/// A service that the settings are for: S3 or KMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Service {
    /// In messages.
    pub(super) name: &'static str,
    /// In host names and signatures.
    pub(super) id: &'static str,
    /// The table of the job file.
    pub(super) table: &'static str,
    /// The variable that names its server.
    pub(super) endpoint_variable: &'static str,
    /// The profile's key that does.
    endpoint_key: &'static str,
}

pub(super) const OBJECTS: Service = Service {
    name: "S3",
    id: "s3",
    table: "storage.s3",
    endpoint_variable: "AWS_ENDPOINT_URL_S3",
    endpoint_key: "s3.endpoint_url",
};
pub(super) const KEYS: Service = Service {
    name: "KMS",
    id: "kms",
    table: "storage.kms",
    endpoint_variable: "AWS_ENDPOINT_URL_KMS",
    endpoint_key: "kms.endpoint_url",
};

/// How to reach a service, decided.
#[derive(Debug)]
pub(super) struct Settings {
    /// Which.
    pub(super) service: Service,
    /// The server, without a slash at the end; none: Amazon's own.
    pub(super) endpoint: Option<String>,
    /// The region that requests are signed for.
    pub(super) region: String,
    /// Bucket in the host name rather than in the path.
    pub(super) virtual_host: bool,
    /// PEM file with further certificate authorities.
    pub(super) ca_bundle: Option<PathBuf>,
    /// Who asks.
    pub(super) identity: Identity,
    /// Where the identity came from, for messages.
    pub(super) origin: String,
}

/// Who asks.
#[derive(Debug)]
pub(super) enum Identity {
    /// An access key.
    Keys { access_key_id: String, secret_access_key: Hidden, session_token: Option<Hidden> },
    /// A token file exchanged for keys at AWS's token service (EKS).
    TokenFile { token_file: String, role_arn: String, session_name: Option<String> },
    /// The container's credential service (ECS).
    Container { relative_uri: String },
    /// The pod's credential agent (EKS).
    Pod { full_uri: String, token_file: String },
    /// The virtual machine's metadata service (EC2), at another address when one is given.
    Instance { endpoint: Option<String> },
    /// Requests are not signed: public data.
    Anonymous,
    /// Nobody said.
    Nobody,
}

/// Amazon's default.
const REGION: &str = "us-east-1";

impl Settings {
    /// Decides from the job's `[storage.s3]` and the environment.
    ///
    /// # Errors
    /// [`Error::Settings`] when what is there is incomplete or cannot be understood.
    pub(super) fn resolve(job: &S3, environment: &Environment) -> Result<Settings, Error> {
        Settings::of(OBJECTS, job, environment)
    }

    /// The same for any service, from the table that stands for it.
    ///
    /// # Errors
    /// As [`Settings::resolve`].
    pub(super) fn of(
        service: Service,
        job: &S3,
        environment: &Environment,
    ) -> Result<Settings, Error> {
        let asked = job.profile.as_deref().or_else(|| environment.value("AWS_PROFILE"));
        let profile = profile::read(environment, asked)?;
        let first = |names: &[&str]| names.iter().find_map(|name| environment.value(name));
        let endpoint = job
            .endpoint
            .as_deref()
            .or_else(|| first(&[service.endpoint_variable, "AWS_ENDPOINT_URL"]))
            .or_else(|| profile.value(service.endpoint_key))
            .or_else(|| profile.value("endpoint_url"));
        let region = job
            .region
            .as_deref()
            .or_else(|| first(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
            .or_else(|| profile.value("region"))
            .unwrap_or(REGION);
        let ca_bundle = job
            .ca_bundle
            .clone()
            .or_else(|| environment.value("AWS_CA_BUNDLE").map(PathBuf::from))
            .or_else(|| profile.value("ca_bundle").map(PathBuf::from));
        let (identity, origin) = identity(service.table, job, environment, &profile)?;
        let endpoint = endpoint.map(|text| check_endpoint(service.name, text));
        Ok(Settings {
            service,
            endpoint: endpoint.transpose()?,
            region: region.to_owned(),
            virtual_host: job.virtual_host
                || profile.value("s3.addressing_style") == Some("virtual"),
            ca_bundle,
            identity,
            origin,
        })
    }

    /// The server's address, for messages.
    pub(super) fn server(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => {
                let (id, region) = (self.service.id, &self.region);
                let china = if region.starts_with("cn-") { ".cn" } else { "" };
                format!("https://{id}.{region}.amazonaws.com{china}")
            }
        }
    }

    /// The address the client is given; with virtual hosts it begins with the bucket.
    pub(super) fn bucket_endpoint(&self, bucket: &str) -> Option<String> {
        let endpoint = self.endpoint.as_ref()?;
        Some(match (self.virtual_host, endpoint.split_once("://")) {
            (true, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
            _ => endpoint.clone(),
        })
    }
}

/// An endpoint that can be used and shown.
fn check_endpoint(service: &str, text: &str) -> Result<String, Error> {
    let help = "write http://host:port or https://host".to_owned();
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Error::Settings {
            what: format!("the {service} endpoint has no http:// or https://"),
            help,
        });
    };
    let scheme = scheme.to_ascii_lowercase();
    if rest.contains('@') {
        let what = format!("the {service} endpoint holds a user name or password");
        return Err(Error::Settings { what, help: format!("{help}, and give keys on their own") });
    }
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '"');
    let host = rest.split('/').next().unwrap_or_default();
    if !matches!(scheme.as_str(), "http" | "https") || host.is_empty() || rest.contains(bad) {
        let what = format!("{text:?} is not an endpoint of {service}");
        return Err(Error::Settings { what, help });
    }
    Ok(format!("{scheme}://{}", rest.trim_end_matches('/')))
}

fn identity(
    table: &str,
    job: &S3,
    environment: &Environment,
    profile: &Profile,
) -> Result<(Identity, String), Error> {
    if let Some(id) = &job.access_key_id {
        return job_keys(table, job, id, environment);
    }
    if job.secret_access_key.is_some() || job.session_token.is_some() {
        return Err(half(table, "secret_access_key or session_token", "access_key_id"));
    }
    let from_profile = || profile_keys(profile);
    let from_variables = || variable_keys(environment);
    let found = match job.profile {
        Some(_) => from_profile()?.or(from_variables()?),
        None => match from_variables()? {
            Some(keys) => Some(keys),
            None => from_profile()?,
        },
    };
    Ok(found.unwrap_or_else(|| service(environment)))
}

/// The job's own key; the secret may stand in the variables when those are about the same key.
fn job_keys(
    table: &str,
    job: &S3,
    id: &str,
    environment: &Environment,
) -> Result<(Identity, String), Error> {
    let same = environment.value("AWS_ACCESS_KEY_ID").is_none_or(|other| other == id);
    let variable = |name| environment.value(name).filter(|_| same).map(|v| Hidden(v.to_owned()));
    let (secret, token) = match &job.secret_access_key {
        Some(secret) => (Some(secret.clone()), job.session_token.clone()),
        None => (
            variable("AWS_SECRET_ACCESS_KEY"),
            job.session_token.clone().or_else(|| variable("AWS_SESSION_TOKEN")),
        ),
    };
    let secret = secret.ok_or_else(|| half(table, "access_key_id", "secret_access_key"))?;
    Ok((keys(id, secret, token), format!("[{table}] of the job file")))
}

fn variable_keys(environment: &Environment) -> Result<Option<(Identity, String)>, Error> {
    let value = |name| environment.value(name);
    match (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => {
            let token = value("AWS_SESSION_TOKEN").map(|t| Hidden(t.to_owned()));
            let identity = keys(id, Hidden(secret.to_owned()), token);
            Ok(Some((identity, "the variable AWS_ACCESS_KEY_ID".to_owned())))
        }
        (Some(_), None) => {
            Err(half("the environment", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        }
        (None, Some(_)) => {
            Err(half("the environment", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"))
        }
        (None, None) => Ok(None),
    }
}

fn profile_keys(profile: &Profile) -> Result<Option<(Identity, String)>, Error> {
    match (profile.value("aws_access_key_id"), profile.value("aws_secret_access_key")) {
        (Some(id), Some(secret)) => {
            let token = profile.value("aws_session_token").map(|t| Hidden(t.to_owned()));
            let identity = keys(id, Hidden(secret.to_owned()), token);
            Ok(Some((identity, profile.origin.clone())))
        }
        (Some(_), None) => Err(half(&profile.origin, "aws_access_key_id", "aws_secret_access_key")),
        (None, Some(_)) => Err(half(&profile.origin, "aws_secret_access_key", "aws_access_key_id")),
        (None, None) => match profile.unsupported() {
            Some(way) => Err(Error::Settings {
                what: format!("{} gets its keys by {way}, which smrt does not do", profile.origin),
                help: "let AWS's tool do it: eval \"$(aws configure export-credentials --format env)\""
                    .to_owned(),
            }),
            None => Ok(None),
        },
    }
}

/// What a cloud hands to the machines and containers it runs.
fn service(environment: &Environment) -> (Identity, String) {
    let value = |name| environment.value(name);
    let owned = |name| environment.value(name).map(str::to_owned);
    if environment.is_true("AWS_SKIP_SIGNATURE") {
        return (Identity::Anonymous, "AWS_SKIP_SIGNATURE (requests are not signed)".to_owned());
    }
    if let (Some(token_file), Some(role_arn)) =
        (owned("AWS_WEB_IDENTITY_TOKEN_FILE"), owned("AWS_ROLE_ARN"))
    {
        let session_name = owned("AWS_ROLE_SESSION_NAME");
        let identity = Identity::TokenFile { token_file, role_arn, session_name };
        return (identity, "the variable AWS_WEB_IDENTITY_TOKEN_FILE".to_owned());
    }
    if let Some(relative_uri) = owned("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let origin = "the variable AWS_CONTAINER_CREDENTIALS_RELATIVE_URI".to_owned();
        return (Identity::Container { relative_uri }, origin);
    }
    if let (Some(full_uri), Some(token_file)) = (
        owned("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        owned("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ) {
        let origin = "the variable AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned();
        return (Identity::Pod { full_uri, token_file }, origin);
    }
    if environment.is_true("AWS_EC2_METADATA_DISABLED") {
        return (Identity::Nobody, String::new());
    }
    let endpoint = value("AWS_EC2_METADATA_SERVICE_ENDPOINT")
        .map(|endpoint| endpoint.trim_end_matches('/').to_owned());
    (Identity::Instance { endpoint }, "the machine's metadata service".to_owned())
}

fn keys(id: &str, secret_access_key: Hidden, session_token: Option<Hidden>) -> Identity {
    Identity::Keys { access_key_id: id.to_owned(), secret_access_key, session_token }
}

fn half(origin: &str, has: &str, lacks: &str) -> Error {
    Error::Settings {
        what: format!("{origin} has {has} but no {lacks}"),
        help: "a key has two halves: give both, or neither".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> S3 {
        S3::default()
    }

    fn variables(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().copied().collect()
    }

    fn id(settings: &Settings) -> &str {
        match &settings.identity {
            Identity::Keys { access_key_id, .. } => access_key_id,
            other => panic!("{other:?}"),
        }
    }

    const PAIR: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "env"), ("AWS_SECRET_ACCESS_KEY", "s")];

    #[test]
    fn the_job_file_comes_before_variables() {
        let mut s3 = job();
        s3.access_key_id = Some("job".into());
        s3.secret_access_key = Some(Hidden("hunter2".into()));
        s3.region = Some("eu-1".into());
        s3.endpoint = Some("HTTP://h:9000/".into());
        let mut env = PAIR.to_vec();
        env.extend([("AWS_REGION", "r"), ("AWS_ENDPOINT_URL", "http://other")]);
        let settings = Settings::resolve(&s3, &variables(&env)).unwrap();
        assert_eq!(id(&settings), "job");
        assert_eq!(settings.region, "eu-1");
        assert_eq!(settings.server(), "http://h:9000");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn the_s3_endpoint_variable_comes_before_the_general_one() {
        let env = [("AWS_ENDPOINT_URL", "http://all"), ("AWS_ENDPOINT_URL_S3", "http://s3")];
        let settings = Settings::resolve(&job(), &variables(&env)).unwrap();
        assert_eq!(settings.server(), "http://s3");
        let settings = Settings::resolve(&job(), &variables(&[])).unwrap();
        assert_eq!(settings.server(), "https://s3.us-east-1.amazonaws.com");
    }

    #[test]
    fn half_a_key_is_a_mistake_and_not_an_anonymous_request() {
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            let error = Settings::resolve(&job(), &variables(&[(name, "hunter2")])).unwrap_err();
            assert!(error.to_string().contains(name));
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        let mut s3 = job();
        s3.access_key_id = Some("other".into());
        assert!(Settings::resolve(&s3, &variables(&PAIR)).is_err(), "the secret is another key's");
        s3.access_key_id = Some("env".into());
        assert_eq!(id(&Settings::resolve(&s3, &variables(&PAIR)).unwrap()), "env");
    }

    #[test]
    fn endpoints_that_cannot_be_are_refused_without_showing_a_password() {
        for text in ["localhost:9000", "ftp://h", "http://", "http://a b", "https:///x"] {
            let mut s3 = job();
            s3.endpoint = Some(text.into());
            assert!(Settings::resolve(&s3, &variables(&[])).is_err(), "{text}");
        }
        let mut s3 = job();
        s3.endpoint = Some("http://me:hunter2@h".into());
        let error = Settings::resolve(&s3, &variables(&[])).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn without_any_key_the_machine_is_asked_unless_that_is_forbidden() {
        let settings = Settings::resolve(&job(), &variables(&[])).unwrap();
        assert!(matches!(settings.identity, Identity::Instance { endpoint: None }));
        let off = variables(&[("AWS_EC2_METADATA_DISABLED", "true")]);
        let settings = Settings::resolve(&job(), &off).unwrap();
        assert!(matches!(settings.identity, Identity::Nobody));
    }

    #[test]
    fn a_virtual_host_begins_with_the_bucket() {
        let mut s3 = job();
        s3.endpoint = Some("https://s3.example:1".into());
        let env = variables(&[]);
        let path = Settings::resolve(&s3, &env).unwrap();
        assert_eq!(path.bucket_endpoint("b").unwrap(), "https://s3.example:1");
        s3.virtual_host = true;
        let virtual_host = Settings::resolve(&s3, &env).unwrap();
        assert_eq!(virtual_host.bucket_endpoint("b").unwrap(), "https://b.s3.example:1");
    }
}
