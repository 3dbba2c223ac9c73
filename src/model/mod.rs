//! `model.tar.gz`: what is inside, how it is made, and how a stranger's is read.
//!
//! Inside stand `manifest.json`, `provenance.json` and the algorithm's own files in open formats
//! (`model.safetensors`). Nothing in it is ever executed, and nothing is ever unpacked to disk.

mod archive;
mod digesting;
mod error;
mod foreign;
pub(crate) mod fuzzed;
mod manifest;
mod record;

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

use ndarray::ArrayView2;

use crate::algorithm::{self, Ask, Files, Predictor, Table};
use crate::data::{self, Answer};
use crate::seal::{self, Form, HeaderInfo, KeyService, LocalKeys};
use crate::sign::{self, Envelope, PrivateKey, PublicKey, SIGNATURE_FILE, Signed};
use crate::spec::limit;

pub use digesting::Digesting;
pub use error::Error;
pub use manifest::{FORMAT, Manifest, Origin, digest as sha256};
pub use record::{JobRecord, digest_of};

use digesting::DigestingReader;

/// What an artifact is called.
pub const FILE: &str = "model.tar.gz";

/// Names of the files that every artifact has.
const MANIFEST: &str = "manifest.json";
const PROVENANCE: &str = "provenance.json";

/// A model that was read whole, verified and opened. Made only by this room.
pub struct Model {
    /// What it is.
    pub manifest: Manifest,
    /// SHA-256 of the artifact as it was stored, lower-case hex.
    pub digest: String,
    /// Bytes of its files, unpacked: about what it takes in memory.
    pub bytes: u64,
    /// Answers.
    pub predictor: Box<dyn Predictor>,
}

/// What an artifact holds, before its weights are opened.
#[derive(Debug, Clone)]
pub struct Contents {
    /// What the model is.
    pub manifest: Manifest,
    /// What it was made from, as an in-toto statement.
    pub provenance: serde_json::Value,
    /// The algorithm's files.
    pub files: Files,
    /// The fingerprint of the key that signed it, as its signature claims; proved where
    /// [`Opener::trusting`] asked for it.
    pub signer: Option<String>,
}

/// What tells of an artifact without opening its weights.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The sealed header, unproved; `None` when the artifact is plain.
    pub seal: Option<HeaderInfo>,
    /// What is inside, proved by the seal; why not, when no key opens it.
    pub contents: Result<Contents, Arc<Error>>,
    /// Size as stored.
    pub bytes: u64,
    /// SHA-256 as stored, lower-case hex.
    pub digest: String,
}

/// Opens artifacts: with which keys, and which algorithms they may name.
#[derive(Clone)]
pub struct Opener {
    keys: Arc<dyn KeyService>,
    table: Table,
    /// Who may have signed what is opened; empty: anybody, or nobody.
    trusted: Arc<[PublicKey]>,
    /// SHA-256 of what is to be opened.
    wanted: Option<String>,
}

impl Opener {
    /// An opener with the built-in algorithms.
    pub fn new(keys: Arc<dyn KeyService>) -> Opener {
        Opener { keys, table: Table::builtin(), trusted: Arc::default(), wanted: None }
    }

    /// Opens only what one of these keys signed, whole and unchanged; with none, whatever is there.
    #[must_use]
    pub fn trusting(mut self, keys: &[PublicKey]) -> Opener {
        self.trusted = keys.into();
        self
    }

    /// Opens only the artifact whose stored bytes have this SHA-256 (lower-case hex): no older
    /// version of it, however valid.
    #[must_use]
    pub fn wanting(mut self, sha256: Option<String>) -> Opener {
        self.wanted = sha256;
        self
    }

    /// Holds an artifact's files against its signature; who signed, and how many files.
    ///
    /// # Errors
    /// [`Error::Signature`], and what keeps it from being read.
    pub fn verify(
        &self,
        artifact: &[u8],
        place: &str,
        trusted: &[PublicKey],
    ) -> Result<(Signed, usize), Error> {
        let archive = unsealed(artifact, place, self.keys.as_ref())?;
        let refuse = |(what, help)| Error::Archive { place: place.to_owned(), what, help };
        let mut files = archive::read(&archive).map_err(refuse)?;
        let signature = files.remove(SIGNATURE_FILE);
        let signed = verified(signature.as_deref(), &files, trusted, place)?;
        Ok((signed, files.len()))
    }

    fn check_digest(&self, found: &str, place: &str) -> Result<(), Error> {
        match &self.wanted {
            Some(wanted) if wanted != found => Err(Error::Digest {
                place: place.to_owned(),
                found: found.to_owned(),
                wanted: wanted.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Knows these algorithms instead of the built-in ones.
    #[must_use]
    pub fn table(mut self, table: Table) -> Opener {
        self.table = table;
        self
    }

    /// The same for one artifact that may have its key beside it: `fetch` brings the file of keys
    /// called `sidecar`, and is only asked when the artifact needs it.
    #[must_use]
    pub fn beside(
        &self,
        sidecar: String,
        fetch: impl Fn() -> Result<Option<Vec<u8>>, seal::Error> + Send + Sync + 'static,
    ) -> Opener {
        let keys = Arc::new(seal::Beside::new(Arc::clone(&self.keys), sidecar, fetch));
        Opener { keys, ..self.clone() }
    }

    /// Reads, verifies and opens an artifact, sealed or plain. `place` names it in messages.
    ///
    /// # Errors
    /// When it is not an artifact, no key opens it, or any part of it was changed.
    pub fn open(&self, artifact: impl Read, place: &str) -> Result<Model, Error> {
        let mut digesting = DigestingReader::new(artifact);
        let contents = self.read(&mut digesting, place);
        let (_, digest) = digesting.finish();
        // Before anything else is said about it: what is wrong with another artifact is no matter.
        if contents.is_ok() {
            self.check_digest(&digest, place)?;
        }
        let contents = contents?;
        let Contents { manifest, files, .. } = contents;
        let definition =
            self.table.get(&manifest.algorithm).ok_or_else(|| Error::UnknownAlgorithm {
                place: place.to_owned(),
                algorithm: manifest.algorithm.clone(),
            })?;
        let predictor = algorithm::expand::open(&*definition, &manifest.signature, &files)
            .map_err(|source| Error::Weights { place: place.to_owned(), source })?;
        let bytes = files.values().map(|file| file.len() as u64).sum();
        Ok(Model { manifest, digest, bytes, predictor })
    }

    /// Reads an artifact, sealed or plain, or another library's model, without opening its
    /// weights; with the SHA-256 of what was stored.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn contents(&self, artifact: &[u8], place: &str) -> Result<(Contents, String), Error> {
        let digest = manifest::digest(artifact);
        self.check_digest(&digest, place)?;
        Ok((self.read(artifact, place)?, digest))
    }

    /// Tells what an artifact is, as far as that can be known with these keys.
    ///
    /// # Errors
    /// When it cannot be read, or is no artifact at all.
    pub fn inspect(&self, artifact: &[u8], place: &str) -> Result<Inspection, Error> {
        let sealed = |source| Error::Seal { place: place.to_owned(), source };
        let seal = match Form::detect(artifact) {
            Ok(Form::Sealed) => Some(seal::inspect(&mut &*artifact).map_err(sealed)?),
            Ok(Form::Gzip) => None,
            Err(_) if foreign::may_be(artifact) => None,
            Err(error) => return Err(sealed(error)),
        };
        let contents = self.read(artifact, place).map_err(Arc::new);
        let digest = manifest::digest(artifact);
        Ok(Inspection { seal, contents, bytes: artifact.len() as u64, digest })
    }
}

impl Model {
    /// Opens a local artifact with the keys of the user who runs this process.
    ///
    /// # Errors
    /// As [`Opener::open`].
    pub fn open(path: &str) -> Result<Model, Error> {
        let failed = |source| Error::Seal { place: path.to_owned(), source };
        let keys = LocalKeys::of_user().map_err(failed)?;
        let file =
            File::open(path).map_err(|source| Error::Read { place: path.to_owned(), source })?;
        let sidecar = format!("{path}{}", seal::SIDECAR_SUFFIX);
        let fetch = {
            let sidecar = sidecar.clone();
            move || match File::open(&sidecar) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                found => {
                    let mut bytes = Vec::new();
                    found
                        .and_then(|file| {
                            file.take(limit::SIDECAR_BYTES_MAX + 1).read_to_end(&mut bytes)
                        })
                        .map_err(|source| seal::Error::Io { what: sidecar.clone(), source })?;
                    Ok(Some(bytes))
                }
            }
        };
        Opener::new(Arc::new(keys)).beside(sidecar, fetch).open(file, path)
    }

    /// Answers for rows × features; a missing value is NaN.
    ///
    /// # Errors
    /// When the rows have another number of features than the model, or it cannot answer.
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    pub fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, algorithm::Error> {
        self.predict_with(rows, &Ask::default())
    }

    /// The same answers, and what was asked for besides.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), and when something is asked that the model does not have.
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    pub fn predict_with(
        &self,
        rows: ArrayView2<'_, f32>,
        ask: &Ask,
    ) -> Result<Answer, algorithm::Error> {
        let wanted = self.manifest.signature.features;
        if rows.ncols() != wanted {
            return Err(algorithm::Error::Data {
                what: format!("the rows have {} features, the model {wanted}", rows.ncols()),
                help: "give the features the model was trained on, in the same order, no label"
                    .into(),
            });
        }
        self.predictor.predict_with(rows, ask)
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("job", &self.manifest.job).finish_non_exhaustive()
    }
}

/// Writes a model as tar.gz. The same model gives the same bytes.
///
/// # Errors
/// When `to` cannot be written.
pub fn pack<W: Write>(
    manifest: &Manifest,
    origin: &Origin,
    files: Files,
    to: W,
) -> Result<W, Error> {
    pack_signed(manifest, origin, files, None, to)
}

/// As [`pack`]; `signer` vouches for all of it, in a file of its own inside.
///
/// # Errors
/// As [`pack`].
pub fn pack_signed<W: Write>(
    manifest: &Manifest,
    origin: &Origin,
    mut files: Files,
    signer: Option<&PrivateKey>,
    to: W,
) -> Result<W, Error> {
    let job = manifest.job.clone();
    let json = |value: &serde_json::Value| {
        let mut bytes = serde_json::to_vec_pretty(value).expect("JSON values always serialise");
        bytes.push(b'\n');
        bytes
    };
    let value = serde_json::to_value(manifest).expect("a manifest has string keys only");
    files.insert(MANIFEST.into(), json(&value));
    // About every file that stands beside it.
    let provenance = manifest::provenance(manifest, origin, &files);
    files.insert(PROVENANCE.into(), json(&provenance));
    if let Some(key) = signer {
        let signature = sign::sign(&job, archive::entries(&files), key);
        files.insert(SIGNATURE_FILE.into(), signature);
    }
    archive::write(archive::entries(&files), to).map_err(Error::Write)
}

/// Reads a tar.gz that is no longer sealed.
///
/// # Errors
/// When it is not an artifact smrt will read; `place` names it in the message.
pub fn unpack(archive: &[u8], place: &str) -> Result<Contents, Error> {
    let refuse = |(what, help)| Error::Archive { place: place.to_owned(), what, help };
    let mut files = archive::read(archive).map_err(refuse)?;
    files.remove(SIGNATURE_FILE);
    understood(files, place, &Table::builtin())
}

fn understood(mut files: Files, place: &str, table: &Table) -> Result<Contents, Error> {
    let refuse = |(what, help)| Error::Archive { place: place.to_owned(), what, help };
    if !files.contains_key(MANIFEST) {
        return foreign::adopt(files, place, table);
    }
    let mut json = |name: &str| {
        let bytes = files.remove(name).ok_or_else(|| {
            refuse((
                format!("there is no {name} inside, so smrt did not make it"),
                Some("give an artifact made by `smrt train`".into()),
            ))
        })?;
        serde_json::from_slice::<serde_json::Value>(&bytes)
            .map_err(|error| refuse((format!("{name} is not what it should be: {error}"), None)))
    };
    let manifest = json(MANIFEST)?;
    let provenance = json(PROVENANCE)?;
    match manifest.get("smrt_format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {}
        other => {
            let shown = other.map_or("none".into(), |format| format.to_string());
            return Err(refuse((
                format!("its format is {shown}, and this build reads {FORMAT}"),
                Some("open it with the smrt that made it, or a newer one".into()),
            )));
        }
    }
    let manifest: Manifest = serde_json::from_value(manifest)
        .map_err(|error| refuse((format!("{MANIFEST} is not what it should be: {error}"), None)))?;
    check_signature(&manifest).map_err(|what| refuse((what, None)))?;
    Ok(Contents { manifest, provenance, files, signer: None })
}

/// Writes files as a deterministic tar.gz that is no model: a checkpoint.
///
/// # Errors
/// When `to` cannot be written.
pub fn write_files<'f, W: Write>(
    files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    to: W,
) -> Result<W, Error> {
    archive::write(files, to).map_err(Error::Write)
}

/// Reads what [`write_files`] wrote, sealed or plain. `place` names it in messages.
///
/// # Errors
/// As [`Opener::open`].
pub fn read_files(from: impl Read, place: &str, keys: &dyn KeyService) -> Result<Files, Error> {
    archive::read(&unsealed(from, place, keys)?).map_err(|(what, help)| Error::Archive {
        place: place.to_owned(),
        what,
        help,
    })
}

impl Opener {
    fn read(&self, from: impl Read, place: &str) -> Result<Contents, Error> {
        let read = |source| Error::Read { place: place.to_owned(), source };
        let mut from = from;
        let mut first = Vec::with_capacity(2);
        from.by_ref().take(2).read_to_end(&mut first).map_err(read)?;
        let mut from = first.as_slice().chain(from);
        if Form::detect(&first).is_err() && foreign::may_be(&first) {
            let mut bytes = Vec::new();
            from.by_ref().take(limit::ARCHIVE_BYTES_MAX).read_to_end(&mut bytes).map_err(read)?;
            let files = Files::from([(foreign::file_name(place), bytes)]);
            self.check_signature(None, &files, place)?;
            return foreign::adopt(files, place, &self.table);
        }
        let archive = unsealed(from, place, self.keys.as_ref())?;
        let refuse = |(what, help)| Error::Archive { place: place.to_owned(), what, help };
        let mut files = archive::read(&archive).map_err(refuse)?;
        let signature = files.remove(SIGNATURE_FILE);
        // Nothing of a stranger's files is understood before they are vouched for.
        self.check_signature(signature.as_deref(), &files, place)?;
        let contents = understood(files, place, &self.table)?;
        let claimed = signature.and_then(|bytes| Envelope::read(&bytes).ok());
        let signer = claimed.and_then(|envelope| envelope.hint().map(str::to_owned));
        Ok(Contents { signer, ..contents })
    }

    fn check_signature(
        &self,
        signature: Option<&[u8]>,
        files: &Files,
        place: &str,
    ) -> Result<(), Error> {
        match self.trusted.is_empty() {
            true => Ok(()),
            false => verified(signature, files, &self.trusted, place).map(|_| ()),
        }
    }
}

fn verified(
    signature: Option<&[u8]>,
    files: &Files,
    trusted: &[PublicKey],
    place: &str,
) -> Result<Signed, Error> {
    signature
        .ok_or(sign::Error::Unsigned)
        .and_then(|signature| sign::verify(signature, archive::entries(files), trusted))
        .map_err(|source| Error::Signature { place: place.to_owned(), source })
}

/// The whole archive in memory. Nothing of it is looked at before the seal has proved its end.
fn unsealed(mut from: impl Read, place: &str, keys: &dyn KeyService) -> Result<Vec<u8>, Error> {
    let read = |source| Error::Read { place: place.to_owned(), source };
    let sealed = |source| Error::Seal { place: place.to_owned(), source };
    let mut first = Vec::with_capacity(2);
    from.by_ref().take(2).read_to_end(&mut first).map_err(read)?;
    let form = Form::detect(&first).map_err(sealed)?;
    let mut from = first.as_slice().chain(from);
    match form {
        Form::Sealed => {
            seal::open_to_vec(from, keys, &seal::Context::new(), limit::ARCHIVE_BYTES_MAX)
                .map_err(sealed)
        }
        Form::Gzip => {
            let mut bytes = Vec::new();
            from.by_ref().take(limit::ARCHIVE_BYTES_MAX).read_to_end(&mut bytes).map_err(read)?;
            Ok(bytes)
        }
    }
}

/// The words of a stranger's manifest are held in memory and looked up by each request.
fn check_words(signature: &data::Signature) -> Result<(), String> {
    let mut bytes = 0;
    for (column, words) in &signature.categories {
        let distinct: std::collections::HashSet<&String> = words.iter().collect();
        bytes += words.iter().map(String::len).sum::<usize>();
        if *column >= signature.features {
            return Err(format!(
                "the manifest has words for column {column} of {} features",
                signature.features
            ));
        }
        if distinct.len() != words.len() || words.len() > limit::WORDS_MAX {
            return Err(format!(
                "the {} words of column {column} in the manifest are not at most {} different ones",
                words.len(),
                limit::WORDS_MAX
            ));
        }
    }
    match bytes {
        0..=limit::VOCABULARY_BYTES_MAX => Ok(()),
        _ => Err(format!("the manifest has {bytes} bytes of words")),
    }
}

/// A signature that contradicts itself would only be noticed by the first request.
fn check_signature(manifest: &Manifest) -> Result<(), String> {
    let signature = &manifest.signature;
    if signature.features == 0 || signature.features > limit::COLUMNS_MAX {
        return Err(format!("the manifest claims {} features", signature.features));
    }
    if !signature.columns.is_empty() && signature.columns.len() != signature.features {
        return Err(format!(
            "the manifest names {} columns for {} features",
            signature.columns.len(),
            signature.features
        ));
    }
    check_words(signature)?;
    if signature.threshold.is_some_and(|threshold| threshold.is_nan()) {
        return Err("the manifest's threshold is not a number".into());
    }
    Ok(())
}
