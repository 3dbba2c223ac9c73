//! What [`crate::seal::fuzzed`] needs of the inside of this folder.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::blob::Parts;
use super::record::KeyFile;
use super::root::{RootFile, Unlock};
use crate::seal::context::Context;

/// What a blob of the key `id` wraps, if it is one and its material is `material`.
pub(crate) fn opened_blob(
    bytes: &[u8],
    id: Uuid,
    material: &[u8; 32],
) -> Option<Zeroizing<Vec<u8>>> {
    Parts::of(bytes).filter(|parts| parts.id == id)?.open(material, &Context::new())
}

/// Reads a key, an index of aliases or a root key as they lie in their files.
pub(crate) fn key_file(bytes: &[u8], id: Uuid, unlock: &[u8; 32]) {
    if let Ok(file) = serde_json::from_slice::<KeyFile>(bytes) {
        let is_whole = file.check(id, None, false).is_ok();
        let Ok(text) = serde_json::to_vec(&file) else { panic!("a key has no JSON") };
        let Ok(again) = serde_json::from_slice::<KeyFile>(&text) else {
            panic!("not its own JSON")
        };
        assert_eq!(serde_json::to_vec(&again).ok().as_ref(), Some(&text));
        assert_eq!(again.check(id, None, false).is_ok(), is_whole);
        if is_whole {
            assert!(file.count() > 0, "a key without a version is whole");
            assert!(file.material(id, file.count() + 1, None).is_none());
        }
    }
    if let Ok(root) = serde_json::from_slice::<RootFile>(bytes) {
        let key = Unlock::KeyFile(Zeroizing::new(unlock.to_vec()));
        let _ = (root.unlock(&key).is_ok(), root.needs());
    }
}
