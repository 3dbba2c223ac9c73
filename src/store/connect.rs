//! Makes the clients: one per bucket, over rustls with ring, with bounded patience.
//!
//! Whole requests have no time limit, since a body may be large and a line slow; silence has one
//! (dependencies, section 4). Retries happen in the client and nowhere else.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use object_store::http::HttpBuilder;
use object_store::list::PaginatedListStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use reqwest::Certificate;

use super::client::{Connector, Reach};
use super::environment::Environment;
use super::error::Error;
use super::profile::read_small;
use super::runtime;
use super::settings::{Identity, Settings};
use crate::spec::limit;
use crate::spec::train::Storage;
use crate::spec::uri::Uri;

/// A client for one bucket, and what to say about it when it fails.
pub(super) struct Bucket {
    /// Objects by key.
    pub(super) objects: Arc<dyn ObjectStore>,
    /// Listing by string prefix, where the server can do it.
    pub(super) pages: Option<Arc<dyn PaginatedListStore>>,
    /// The server asked, for messages.
    pub(super) endpoint: String,
    /// Where the credentials came from, for messages.
    pub(super) origin: String,
}

/// The part of an address that one client serves.
pub(super) fn bucket_of(uri: &Uri) -> String {
    match uri {
        Uri::S3 { bucket, .. } | Uri::Gs { bucket, .. } | Uri::Az { bucket, .. } => {
            format!("{}://{bucket}", uri.scheme())
        }
        Uri::Http(url) => url.clone(),
        Uri::Memory(_) => "memory://".to_owned(),
        Uri::File(_) => "file://".to_owned(),
    }
}

/// Makes the client for the bucket of `uri`.
///
/// # Errors
/// [`Error::Settings`], [`Error::NoCredentials`], [`Error::NotBuilt`].
pub(super) fn connect(
    uri: &Uri,
    storage: &Storage,
    environment: &Environment,
) -> Result<Bucket, Error> {
    let reach = &Reach::of(&storage.network);
    match uri {
        Uri::S3 { bucket, .. } => {
            amazon(uri, bucket, &Settings::resolve(&storage.s3, environment)?, reach)
        }
        Uri::Gs { bucket, .. } => google(uri, bucket, environment, reach),
        Uri::Az { bucket, .. } => azure(uri, bucket, environment, reach),
        Uri::Http(url) => web(uri, url, reach),
        Uri::Memory(_) => Ok(memory()),
        Uri::File(_) => unreachable!("local files do not pass through here"),
    }
}

fn memory() -> Bucket {
    static MEMORY: std::sync::OnceLock<Arc<object_store::memory::InMemory>> =
        std::sync::OnceLock::new();
    Bucket {
        objects: MEMORY.get_or_init(Default::default).clone(),
        pages: None,
        endpoint: "memory".to_owned(),
        origin: String::new(),
    }
}

fn amazon(uri: &Uri, bucket: &str, settings: &Settings, reach: &Reach) -> Result<Bucket, Error> {
    let endpoint = settings.server();
    let plain = endpoint.starts_with("http://");
    let authorities = settings.ca_bundle.as_deref().map(authorities).transpose()?;
    let connector = Connector {
        // A plain connection needs no authorities, and reading the system's takes longer than it does.
        system_authorities: !plain,
        authorities: authorities.unwrap_or_default(),
        follows: false,
        ..Connector::new(plain, reach)
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&settings.region)
        .with_virtual_hosted_style_request(settings.virtual_host)
        .with_client_options(options(plain))
        .with_retry(retries())
        .with_http_connector(connector)
        // Not every server knows the bulk request.
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = settings.bucket_endpoint(bucket) {
        builder = builder.with_endpoint(endpoint);
    }
    let store = Arc::new(identify(settings, builder, |why| no_credentials(uri, settings, why))?);
    Ok(Bucket {
        objects: store.clone(),
        pages: Some(store),
        endpoint,
        origin: settings.origin.clone(),
    })
}

/// Gives the client its identity, and asks a cloud's credential service once, briefly: a machine
/// outside the cloud must hear at once that it has no credentials.
fn identify(
    settings: &Settings,
    builder: AmazonS3Builder,
    nobody: impl Fn(&str) -> Error,
) -> Result<AmazonS3, Error> {
    let set = |builder: AmazonS3Builder, key: &str, value: &str| {
        let key = key.parse::<AmazonS3ConfigKey>().expect("a key of the client's own");
        builder.with_config(key, value)
    };
    let builder = match &settings.identity {
        Identity::Keys { access_key_id, secret_access_key, session_token } => {
            let builder = builder
                .with_access_key_id(access_key_id)
                .with_secret_access_key(&secret_access_key.0);
            let builder = match session_token {
                Some(token) => builder.with_token(&token.0),
                None => builder,
            };
            return build(builder);
        }
        Identity::Anonymous => return build(builder.with_skip_signature(true)),
        Identity::Nobody => return Err(nobody("AWS_EC2_METADATA_DISABLED")),
        Identity::TokenFile { token_file, role_arn, session_name } => {
            let builder = set(builder, "aws_web_identity_token_file", token_file);
            let builder = set(builder, "aws_role_arn", role_arn);
            match session_name {
                Some(name) => set(builder, "aws_role_session_name", name),
                None => builder,
            }
        }
        Identity::Container { relative_uri } => {
            set(builder, "aws_container_credentials_relative_uri", relative_uri)
        }
        Identity::Pod { full_uri, token_file } => {
            let builder = set(builder, "aws_container_credentials_full_uri", full_uri);
            set(builder, "aws_container_authorization_token_file", token_file)
        }
        Identity::Instance { endpoint } => match endpoint {
            Some(endpoint) => builder.with_metadata_endpoint(endpoint),
            None => builder,
        },
    };
    let hasty = RetryConfig { max_retries: 0, ..retries() };
    // The one thing that is asked of a link-local address, by the settings' own wish.
    let connector = Connector::new(true, &Reach::credentials());
    let asking = builder.clone().with_retry(hasty).with_http_connector(connector);
    let provider = build(asking)?.credentials().clone();
    ask(&provider).map_err(|why| nobody(&why))?;
    build(builder.with_credentials(provider))
}

/// Who asks another service than S3: the same ways to be somebody, without a bucket.
///
/// # Errors
/// [`Error::Settings`]; whatever `nobody` makes of it when nobody said who asks.
pub(super) fn credentials(
    settings: &Settings,
    nobody: impl Fn(&str) -> Error,
) -> Result<AwsCredentialProvider, Error> {
    let builder = AmazonS3Builder::new()
        .with_bucket_name("none")
        .with_region(&settings.region)
        .with_client_options(options(true))
        .with_retry(retries())
        .with_http_connector(Connector::new(true, &Reach::credentials()));
    Ok(identify(settings, builder, nobody)?.credentials().clone())
}

fn ask(provider: &AwsCredentialProvider) -> Result<(), String> {
    let provider = provider.clone();
    runtime::wait(async move {
        let limit = Duration::from_secs(limit::CREDENTIAL_SERVICE_TIMEOUT_S);
        match tokio::time::timeout(limit, provider.get_credential()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err("no answer".to_owned()),
        }
    })
}

fn no_credentials(uri: &Uri, settings: &Settings, why: &str) -> Error {
    let service = match settings.origin.as_str() {
        "" => format!("; the machine's metadata service was not asked ({why})"),
        origin => format!(", {origin} ({why})"),
    };
    Error::NoCredentials {
        uri: uri.clone(),
        endpoint: settings.server(),
        tried: format!("[storage.s3], AWS_* variables, ~/.aws/credentials, ~/.aws/config{service}"),
    }
}

fn build(builder: AmazonS3Builder) -> Result<AmazonS3, Error> {
    builder.build().map_err(|e| not_usable(&e))
}

fn not_usable(error: &object_store::Error) -> Error {
    Error::Settings {
        what: format!("the connection cannot be set up: {}", super::remote::innermost(error)),
        help: "check [storage.s3], the AWS_* variables and the system's certificates".to_owned(),
    }
}

fn web(uri: &Uri, url: &str, reach: &Reach) -> Result<Bucket, Error> {
    let builder = HttpBuilder::new()
        .with_url(url)
        .with_client_options(options(uri.scheme() == "http"))
        .with_retry(retries())
        .with_http_connector(Connector::new(uri.scheme() == "http", reach));
    let store = builder.build().map_err(|e| not_usable(&e))?;
    Ok(Bucket {
        objects: Arc::new(store),
        pages: None,
        endpoint: "the server".to_owned(),
        origin: "the URL".to_owned(),
    })
}

#[cfg(feature = "gcp")]
fn google(
    _uri: &Uri,
    bucket: &str,
    environment: &Environment,
    reach: &Reach,
) -> Result<Bucket, Error> {
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
    // The variable by which Google's own libraries find a server of one's own; it asks for no name.
    let emulator = environment.value("STORAGE_EMULATOR_HOST").map(|host| match host {
        _ if host.contains("://") => host.to_owned(),
        _ => format!("http://{host}"),
    });
    let server = environment.value("GOOGLE_BASE_URL").map(str::to_owned).or(emulator.clone());
    let plain = server.as_ref().is_some_and(|server| server.starts_with("http://"));
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_client_options(options(plain))
        .with_retry(retries())
        .with_http_connector(Connector::new(plain, reach));
    if let Some(host) = &emulator {
        builder = builder
            .with_base_url(host.trim_end_matches('/'))
            .with_skip_signature(true)
            // Without signatures the client still asks for a token before it writes, and would
            // look for one in the cloud.
            .with_config(GoogleConfigKey::BearerToken, "emulator");
    }
    for (name, value) in environment.beginning_with("GOOGLE_") {
        if let Ok(key) = name.to_ascii_lowercase().parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    // Last: the address says which bucket, whatever GOOGLE_BUCKET is for.
    let store = builder.with_bucket_name(bucket).build().map_err(|e| not_usable(&e))?;
    let store = Arc::new(store);
    Ok(Bucket {
        objects: store.clone(),
        pages: Some(store),
        endpoint: server.unwrap_or_else(|| "Google Cloud Storage".to_owned()),
        origin: "the GOOGLE_* variables".to_owned(),
    })
}

#[cfg(not(feature = "gcp"))]
fn google(
    uri: &Uri,
    _bucket: &str,
    _environment: &Environment,
    _reach: &Reach,
) -> Result<Bucket, Error> {
    Err(Error::NotBuilt { uri: uri.clone(), scheme: "gs", feature: "gcp" })
}

#[cfg(feature = "azure")]
fn azure(
    _uri: &Uri,
    bucket: &str,
    environment: &Environment,
    reach: &Reach,
) -> Result<Bucket, Error> {
    use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
    let named = ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"];
    let server = named.into_iter().find_map(|name| environment.value(name));
    let plain = server.is_some_and(|server| server.starts_with("http://"));
    let mut builder = MicrosoftAzureBuilder::new()
        .with_client_options(options(plain))
        .with_retry(retries())
        .with_http_connector(Connector::new(plain, reach));
    for (name, value) in environment.beginning_with("AZURE_") {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    // Last: the address says which container, whatever AZURE_CONTAINER_NAME is for.
    let store = builder.with_container_name(bucket).build().map_err(|e| not_usable(&e))?;
    let store = Arc::new(store);
    Ok(Bucket {
        objects: store.clone(),
        pages: Some(store),
        endpoint: server.unwrap_or("Azure Blob Storage").to_owned(),
        origin: "the AZURE_* variables".to_owned(),
    })
}

#[cfg(not(feature = "azure"))]
fn azure(
    uri: &Uri,
    _bucket: &str,
    _environment: &Environment,
    _reach: &Reach,
) -> Result<Bucket, Error> {
    Err(Error::NotBuilt { uri: uri.clone(), scheme: "az", feature: "azure" })
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(4),
            base: 2.0,
        },
        max_retries: limit::RETRIES_MAX,
        retry_timeout: Duration::from_secs(limit::RETRY_TIME_S),
    }
}

/// What the client library itself wants to know; the connection is made by [`Connector`].
fn options(plain: bool) -> ClientOptions {
    ClientOptions::new().with_allow_http(plain)
}

fn authorities(path: &FilePath) -> Result<Vec<Certificate>, Error> {
    let wrong = |what: &str| Error::Settings {
        what: format!("{what} {}", path.display()),
        help: "storage.s3.ca_bundle and AWS_CA_BUNDLE name a PEM file of certificates".to_owned(),
    };
    let pem = read_small(path)?.ok_or_else(|| wrong("there is no file"))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => Err(wrong("there is no certificate in")),
    }
}
