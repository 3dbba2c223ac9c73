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

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

use ndarray::ArrayView2;

use crate::algorithm::{self, Ask, Files, Predictor, Table};
use crate::data::{self, Answer};
use crate::seal::{self, Form, HeaderInfo, KeyService, LocalKeys};
use crate::spec::limit;

pub use digesting::Digesting;
pub use error::Error;
pub use manifest::{FORMAT, Manifest, Origin, digest as sha256};

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
}

impl Opener {
    /// An opener with the built-in algorithms.
    pub fn new(keys: Arc<dyn KeyService>) -> Opener {
        Opener { keys, table: Table::builtin() }
    }

    /// Knows these algorithms instead of the built-in ones.
    #[must_use]
    pub fn table(mut self, table: Table) -> Opener {
        self.table = table;
        self
    }

    /// Reads, verifies and opens an artifact, sealed or plain. `place` names it in messages.
    ///
    /// # Errors
    /// When it is not an artifact, no key opens it, or any part of it was changed.
    pub fn open(&self, artifact: impl Read, place: &str) -> Result<Model, Error> {
        let mut digesting = DigestingReader::new(artifact);
        let contents = contents(&mut digesting, place, self.keys.as_ref(), &self.table)?;
        let (_, digest) = digesting.finish();
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
        let contents = contents(artifact, place, self.keys.as_ref(), &self.table)?;
        Ok((contents, manifest::digest(artifact)))
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
        let contents = contents(artifact, place, self.keys.as_ref(), &self.table).map_err(Arc::new);
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
        Opener::new(Arc::new(keys)).open(file, path)
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
    mut files: Files,
    to: W,
) -> Result<W, Error> {
    let json = |value: &serde_json::Value| {
        let mut bytes = serde_json::to_vec_pretty(value).expect("JSON values always serialise");
        bytes.push(b'\n');
        bytes
    };
    let provenance = manifest::provenance(manifest, origin, &files);
    let manifest = serde_json::to_value(manifest).expect("a manifest has string keys only");
    files.insert(MANIFEST.into(), json(&manifest));
    files.insert(PROVENANCE.into(), json(&provenance));
    archive::write(archive::entries(&files), to).map_err(Error::Write)
}

/// Reads a tar.gz that is no longer sealed.
///
/// # Errors
/// When it is not an artifact smrt will read; `place` names it in the message.
pub fn unpack(archive: &[u8], place: &str) -> Result<Contents, Error> {
    unpack_for(archive, place, &Table::builtin())
}

fn unpack_for(archive: &[u8], place: &str, table: &Table) -> Result<Contents, Error> {
    let refuse = |(what, help)| Error::Archive { place: place.to_owned(), what, help };
    let mut files = archive::read(archive).map_err(refuse)?;
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
    Ok(Contents { manifest, provenance, files })
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

fn contents(
    from: impl Read,
    place: &str,
    keys: &dyn KeyService,
    table: &Table,
) -> Result<Contents, Error> {
    let read = |source| Error::Read { place: place.to_owned(), source };
    let mut from = from;
    let mut first = Vec::with_capacity(2);
    from.by_ref().take(2).read_to_end(&mut first).map_err(read)?;
    let mut from = first.as_slice().chain(from);
    if Form::detect(&first).is_err() && foreign::may_be(&first) {
        let mut bytes = Vec::new();
        from.by_ref().take(limit::ARCHIVE_BYTES_MAX).read_to_end(&mut bytes).map_err(read)?;
        return foreign::adopt(Files::from([(foreign::file_name(place), bytes)]), place, table);
    }
    unpack_for(&unsealed(from, place, keys)?, place, table)
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
