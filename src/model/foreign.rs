//! Models that another library wrote: a `model.tar.gz` as SageMaker's containers leave it, without
//! a manifest, or the library's file alone.
//!
//! The algorithms are asked, each knows its own files. A pickle is never opened: it is a program.

use serde_json::{Map, Value};

use super::archive::Refusal;
use super::manifest::{FORMAT, Manifest};
use super::{Contents, Error};
use crate::algorithm::{Files, Table};

/// Whether a file that is neither sealed nor gzip may be a model alone.
pub(super) fn may_be(first: &[u8]) -> bool {
    first.starts_with(b"{")
        || first.starts_with(b"tr")
        || first.starts_with(b"bi")
        || is_pickle(first)
}

fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..])
}

/// The contents of an archive without a manifest, or of one file under its own name.
pub(super) fn adopt(files: Files, place: &str, table: &Table) -> Result<Contents, Error> {
    let refuse = |(what, help): Refusal| Error::Archive { place: place.to_owned(), what, help };
    // Editors and macOS leave files that no container looks at.
    let hidden =
        |name: &str| name.rsplit('/').next().is_none_or(|n| n.starts_with('.') || n.is_empty());
    let files: Files = files.into_iter().filter(|(name, _)| !hidden(name)).collect();
    if let Some((name, _)) = files.iter().find(|(_, bytes)| is_pickle(bytes)) {
        return Err(refuse((
            format!("{name:?} is a pickle, which is a program and is never opened"),
            Some("load it in Python where you trust it, and save it with `save_model(\"xgboost-model\")`, or LightGBM's `booster_.save_model(\"model.txt\")`".into()),
        )));
    }
    let adopted = table.iter().find_map(|algorithm| Some((algorithm, algorithm.adopt(&files)?)));
    let Some((algorithm, adopted)) = adopted else {
        let names: Vec<&str> = files.keys().map(String::as_str).take(5).collect();
        return Err(refuse((
            format!(
                "there is no manifest.json inside, so smrt did not make it, and {} is no model that smrt knows",
                if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
            ),
            Some("give an artifact made by `smrt train`, XGBoost's `xgboost-model` (UBJSON or JSON), or LightGBM's `model.txt`".into()),
        )));
    };
    let adopted = adopted.map_err(|source| Error::Weights { place: place.to_owned(), source })?;
    let manifest = Manifest {
        smrt_format: FORMAT,
        job: name_of(place),
        algorithm: algorithm.name().to_owned(),
        hyperparameters: Map::new(),
        signature: adopted.signature,
        metrics: Vec::new(),
        epochs: adopted.epochs,
    };
    super::check_signature(&manifest).map_err(|what| refuse((what, None)))?;
    Ok(Contents { manifest, provenance: Value::Null, files: adopted.files, signer: None })
}

/// The name of a file's place, for the archive it did not come in.
pub(super) fn file_name(place: &str) -> String {
    place.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or("model").to_owned()
}

/// A job's name from the place, as job names are written.
fn name_of(place: &str) -> String {
    let stem = file_name(place);
    let stem = stem.split('.').next().unwrap_or_default();
    let letters = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let name: String = letters.take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "model".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pickle_and_strangers_are_refused_with_the_way_out() {
        let table = Table::builtin();
        for (name, bytes, why) in [
            ("xgboost-model", &b"\x80\x04\x95"[..], "pickle"),
            ("xgboost-model", b"binf\0\0", "old binary"),
            ("weights.h5", b"\x89HDF", "no model that smrt knows"),
            ("xgboost-model", b"{L\0", "UBJSON"),
            ("model.txt", b"tree\nversion=v4\n", "LightGBM"),
        ] {
            let files = Files::from([(name.to_owned(), bytes.to_vec())]);
            let said = adopt(files, "model.tar.gz", &table).unwrap_err();
            assert!(said.to_string().contains(why), "{said}");
        }
        assert!(adopt(Files::new(), "model.tar.gz", &table).is_err());
    }

    #[test]
    fn a_place_gives_a_jobs_name() {
        for (place, name) in
            [("s3://b/a/my model_2.json", "my-model-2"), ("/x/.ubj", "model"), ("é", "model")]
        {
            assert_eq!(name_of(place), name);
        }
    }
}
