//! The key that signs digests of the audit log, and the hourly signing of who runs for long.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Error, Failure, audited, open};
use crate::fault::Fault;
use crate::seal::{Context, DEFAULT_ALIAS, KeyService, LocalKeys, Notary, Settings, Writer};
use crate::seal::{home_folder, open_to_vec};
use crate::spec::limit::AUDIT_DIGEST_BYTES_MAX;
use crate::spec::train::Storage;
use crate::store::Store;
use crate::telemetry::audit::Audit;
use crate::telemetry::date::now_s;
use crate::trail;

/// The variable that names the place of the digests.
const VARIABLE: &str = "SMRT_AUDIT_DIGESTS";
const HOUR_S: u64 = 3_600;

fn folder() -> Result<PathBuf, Failure> {
    Ok(home_folder(|name| std::env::var_os(name))?.join("audit"))
}

fn required() -> Result<Context, Failure> {
    Ok(Context::from_pairs([("smrt:artifact", "audit-key")])?)
}

/// The signing key of this user, sealed under their default key; made at its first use.
pub(super) fn notary() -> Result<Notary, Failure> {
    let path = folder()?.join("key");
    let keys: Arc<dyn KeyService> = Arc::new(LocalKeys::of_user()?);
    let failed = |source| Error::ReadData { place: path.display().to_string(), source };
    if !path.exists() {
        make(&path, keys.as_ref())?;
    }
    let sealed = std::fs::File::open(&path).map_err(failed)?;
    let plain = open_to_vec(sealed, keys.as_ref(), &required()?, AUDIT_DIGEST_BYTES_MAX)?;
    Ok(Notary::of(&plain)?)
}

fn make(path: &std::path::Path, keys: &dyn KeyService) -> Result<(), Failure> {
    use std::io::Write;
    let pkcs8 = Notary::generate()?;
    let public = hex::encode(Notary::of(&pkcs8)?.public());
    let settings = Settings { required: required()?, ..Settings::default() };
    let context = Context::from_pairs([("smrt:format", "1")])?;
    let mut writer = Writer::with_settings(Vec::new(), keys, DEFAULT_ALIAS, &context, &settings)?;
    let failed = |source| Error::WriteData { place: path.display().to_string(), source };
    writer.write_all(&pkcs8).map_err(failed)?;
    let sealed = writer.finish()?;
    let folder = folder()?;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&folder).map_err(failed)?;
    for (name, bytes) in [("key.pub", public.as_bytes()), ("key", &sealed)] {
        // tempfile makes it 0600; who comes second keeps the first one's.
        let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(folder.join(name)).map_err(|why| failed(why.error))?;
    }
    Ok(())
}

/// A public key, from a file with its 64 hexadecimal digits.
pub(super) fn public_key(given: Option<&PathBuf>) -> Result<Vec<u8>, Failure> {
    let path = match given {
        Some(path) => path.clone(),
        None => folder()?.join("key.pub"),
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Error::File { path: path.clone(), source })?;
    let key = hex::decode(text.trim()).ok().filter(|key| key.len() == 32);
    key.ok_or_else(|| {
        let what = format!("{} is not a public key", path.display());
        let help = Some("write the 64 digits that smrt audit key tells".into());
        Error::Address { what, help }.into()
    })
}

/// Signs every hour, and once more at the end. Dropping it ends it.
pub(super) struct Hourly {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Hourly {
    /// Begins, where there is a log and the variable names a place for its digests.
    pub(super) fn begin() -> Result<Option<Hourly>, Failure> {
        let place = std::env::var(VARIABLE).ok().filter(|place| !place.is_empty());
        let (Some(place), Some(log)) = (place, audited::log(None)?) else { return Ok(None) };
        let place = open::uri(&place)?;
        let (notary, store) = (notary()?, Store::new(&Storage::default()));
        // What would fail in an hour fails now.
        store.check_writable(&place)?;
        let sign = move |log: &Audit| match trail::digest(log.path(), &place, &store, &notary) {
            Ok(made) => tracing::info!(digest = %made.uri, records = made.records, "log signed"),
            Err(why) => tracing::error!(%why, help = why.help(), "the log could not be signed"),
        };
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new().name("smrt-digest".into()).spawn(move || {
            loop {
                let left = Duration::from_secs(HOUR_S - now_s() % HOUR_S);
                match stopped.recv_timeout(left) {
                    Err(RecvTimeoutError::Timeout) => sign(&log),
                    _ => {
                        log.close();
                        return sign(&log);
                    }
                }
            }
        });
        let thread =
            thread.map_err(|source| Error::WriteData { place: "a thread".into(), source })?;
        Ok(Some(Hourly { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Hourly {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
