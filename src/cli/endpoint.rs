//! `endpoint.toml` on the command line: read, checked, and made into a server.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::acting::{Means, RoleOptions};
use super::iam;
use super::table::Table;
use super::trust::{public_keys, recorded};
use super::{Error, Failure, output};
use crate::fault::Fault;
use crate::http::{Limits, TlsFiles};
use crate::iam::door::{DEFAULT_REGION, Door};
use crate::keyring::signing::public_key;
use crate::model::Opener;
use crate::serve::{Builder, Library, Many, Server, Variants};
use crate::sign::PublicKey;
use crate::spec::Mistakes;
use crate::spec::endpoint::{EndpointFile, Serves, Shift, Variant};
use crate::spec::limit::SPEC_BYTES_MAX;
use crate::spec::problem::Problems;
use crate::spec::unit::shown_bytes;
use crate::spec::uri::Uri;
use crate::store::Store;

/// The bytes of a file that somebody wrote, one more than may be at most.
pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(SPEC_BYTES_MAX + 1).read_to_end(&mut bytes));
    let place = path.display().to_string();
    read.map_err(|source| Error::ReadData { place, source })?;
    Ok(bytes)
}

/// Reads an endpoint file, `--set` laid over it.
pub(super) fn read(path: &Path, overrides: &[String]) -> Result<EndpointFile, Failure> {
    let bytes = bytes_of(path)?;
    let base = path.parent().unwrap_or(Path::new(""));
    Ok(EndpointFile::read(&bytes, &path.display().to_string(), base, overrides)?)
}

/// A server as the file says, not started.
pub(super) fn server(file: EndpointFile, role: RoleOptions) -> Result<Builder, Failure> {
    let general = file.general;
    let region = file.auth.iam_region.as_deref().unwrap_or(DEFAULT_REGION);
    let Means { store, keys } = role.or_state(file.auth.iam.as_ref()).of_endpoint(
        general.role.as_ref(),
        general.name.as_str(),
        &file.storage,
        region,
    )?;
    let signers = public_keys(&general.require_signature)?;
    let opener = Opener::new(keys).trusting(&signers);
    let mut library = Library::new(store.clone(), opener);
    for (uri, sha256) in pins(&file.serves, &store, &signers)? {
        library = library.pinning(&uri, Some(sha256));
    }
    let mut server = match file.serves {
        Serves::Variants { variants, shadow, rollout } => Server::variants(Variants {
            library,
            production: variants,
            shadow,
            rollout,
            admin: file.admin.models,
        }),
        Serves::Models(models) => Server::many(Many {
            place: models.uri,
            library,
            memory_bytes_max: models.memory_bytes_max,
            hot_max: models.hot_max,
            pinned: models.pinned,
            watch: models.watch,
        }),
    };
    if let Some(tls) = file.tls {
        let (certificate, key, client_ca) = (tls.certificate, tls.key, tls.client_ca);
        server = server.tls(TlsFiles { certificate, key, client_ca });
    }
    if let Some(tokens) = &file.auth.tokens {
        server = server.tokens(tokens);
    }
    if let Some(state) = &file.auth.iam {
        server = server.door(Door::open(iam::state(Some(state))?, region)?);
    }
    if let Some(time) = general.target_p99 {
        server = server.target_p99(time);
    }
    Ok(server
        .name(general.name.as_str())
        .listen(file.listener.address)
        .threads(general.threads)
        .workers(general.workers)
        .limits(Limits {
            body_bytes_max: general.body_bytes_max,
            streamed_bytes_max: general.streamed_bytes_max,
            drain_timeout: general.drain_timeout,
            callers: file.network.allow,
            ..Limits::default()
        })
        .invocation_timeout(general.timeout)
        .queue_delay(general.queue_delay)
        .access_log(general.access_log))
}

/// The artifacts that may only be one version, and which.
fn pins(
    serves: &Serves,
    store: &Store,
    signers: &[PublicKey],
) -> Result<Vec<(Uri, String)>, Failure> {
    let mut pins = Vec::new();
    match serves {
        Serves::Models(models) => {
            pins.extend(
                models.digests.iter().map(|(name, digest)| (models.uri.join(name), digest.clone())),
            );
        }
        Serves::Variants { variants, shadow, .. } => {
            let shadow = shadow.iter().map(|shadow| &shadow.variant);
            for variant in variants.iter().chain(shadow) {
                let digest = match &variant.job_record {
                    Some(uri) => Some(recorded(uri, store, signers)?),
                    None => variant.digest.clone(),
                };
                pins.extend(digest.map(|digest| (variant.model.clone(), digest)));
            }
        }
    }
    Ok(pins)
}

/// `smrt check` for an endpoint file.
pub(super) fn check(
    path: &Path,
    overrides: &[String],
    format: output::Format,
) -> Result<(), Failure> {
    let file = read(path, overrides)?;
    let shown = path.display().to_string();
    let problems = surroundings(&file);
    if !problems.is_empty() {
        return Err(Mistakes::new(shown, problems).into());
    }
    match format {
        output::Format::Json => output::write(&output::json(&effective(&file))),
        output::Format::Text => output::write(&summary(&shown, &file)),
    }
}

/// What this machine lacks for the endpoint, as far as it can be known without asking a server.
fn surroundings(file: &EndpointFile) -> Problems {
    let mut problems = Problems::default();
    let store = Store::new(&file.storage);
    for file in &file.general.require_signature {
        if let Err(error) = public_key(file) {
            let key = "endpoint.require_signature";
            problems.add(key, None, error.to_string(), error.help());
        }
    }
    let mut artifact = |key: String, variant: &Variant| {
        if variant.model.local_path().is_some()
            && let Err(error) = store.head(&variant.model)
        {
            problems.add(key, None, error.to_string(), error.help());
        }
    };
    match &file.serves {
        Serves::Variants { variants, shadow, .. } => {
            for variant in variants {
                artifact(format!("variants.{}.model", variant.name), variant);
            }
            if let Some(shadow) = shadow {
                artifact(format!("shadow.{}.model", shadow.variant.name), &shadow.variant);
            }
        }
        Serves::Models(models) => {
            if models.uri.local_path().is_some_and(|path| !path.is_dir()) {
                let help = "name a folder: each artifact below it is a model";
                let what = format!("{} is not a folder", models.uri);
                problems.add("models.uri", None, what, Some(help.into()));
            }
        }
    }
    let files = file.tls.iter().flat_map(|tls| {
        [
            ("tls.certificate", Some(&tls.certificate)),
            ("tls.key", Some(&tls.key)),
            ("tls.client_ca", tls.client_ca.as_ref()),
        ]
    });
    let access = [("auth.tokens", file.auth.tokens.as_ref()), ("auth.iam", file.auth.iam.as_ref())];
    for (key, path) in files.chain(access) {
        if let Some(path) = path.filter(|path| !path.is_file()) {
            problems.add(key, None, format!("{} is not there", path.display()), None);
        }
    }
    problems
}

/// What the endpoint would do.
fn summary(shown: &str, file: &EndpointFile) -> String {
    let mut facts = Table::new(&[]);
    facts.row(["endpoint", file.general.name.as_str()]);
    facts.row(["address", &file.listener.address]);
    if let Some(time) = file.general.target_p99 {
        facts.row(["p99", &format!("within {} ms", time.as_secs_f64() * 1e3)]);
    }
    match &file.serves {
        Serves::Variants { variants, shadow, rollout } => {
            let total: f64 = variants.iter().map(|variant| variant.weight).sum();
            for variant in variants {
                let share = 100.0 * variant.weight / total;
                let text = format!("{} ({share:.0} % of the traffic)", variant.model);
                facts.row([variant.name.as_str(), &text]);
            }
            if let Some(shadow) = shadow {
                let share = shadow.sampling_percentage;
                let text = format!("{} (shadow of {share} %)", shadow.variant.model);
                facts.row([shadow.variant.name.as_str(), &text]);
            }
            if let Some(rollout) = rollout {
                let how = match rollout.shift {
                    Shift::AllAtOnce => "all at once".to_owned(),
                    Shift::Canary(step) => format!("{step} % first"),
                    Shift::Linear(step) => format!("{step} % at a time"),
                };
                let wait = rollout.wait.as_secs();
                let text = format!("{} to {}, {how}, {wait} s each", rollout.from, rollout.to);
                facts.row(["rollout", &text]);
            }
        }
        Serves::Models(models) => {
            let most = shown_bytes(models.memory_bytes_max);
            let text = format!("{} (at most {} in {most})", models.uri, models.hot_max);
            facts.row(["models", &text]);
        }
    }
    format!("{shown}: no mistakes\n\n{}", facts.text("  "))
}

/// The values in effect, for scripts.
fn effective(file: &EndpointFile) -> serde_json::Value {
    let general = &file.general;
    let one = |variant: &Variant| {
        serde_json::json!({
            "name": variant.name.as_str(),
            "model": variant.model.to_string(),
            "weight": variant.weight,
            "watch_s": variant.watch.map(|time| time.as_secs()),
        })
    };
    let mut told = serde_json::json!({
        "endpoint": {
            "name": general.name.as_str(),
            "threads": general.threads,
            "workers": general.workers,
            "body_bytes_max": general.body_bytes_max,
            "streamed_bytes_max": general.streamed_bytes_max,
            "timeout_s": general.timeout.as_secs(),
            "target_p99_ms": general.target_p99.map(|time| time.as_secs_f64() * 1e3),
            "queue_delay_ms": general.queue_delay.as_secs_f64() * 1e3,
            "drain_timeout_s": general.drain_timeout.as_secs(),
            "access_log": general.access_log,
        },
        "listener": { "address": file.listener.address },
    });
    match &file.serves {
        Serves::Variants { variants, shadow, .. } => {
            told["variants"] = variants.iter().map(one).collect();
            told["shadow"] = serde_json::json!(shadow.as_ref().map(|shadow| one(&shadow.variant)));
        }
        Serves::Models(models) => {
            told["models"] = serde_json::json!({
                "uri": models.uri.to_string(),
                "memory_bytes_max": models.memory_bytes_max,
                "hot_max": models.hot_max,
                "pinned": models.pinned,
                "watch_s": models.watch.map(|time| time.as_secs()),
            });
        }
    }
    told
}
