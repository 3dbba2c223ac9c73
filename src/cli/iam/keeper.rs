//! The state is sealed as every artifact is, under the user's own key.

use std::io::Write;
use std::sync::Arc;

use crate::cli::{Error, Failure};
use crate::iam::state::Keeper;
use crate::seal::{self, Context, DEFAULT_ALIAS, KeyService, Settings, Writer, open_to_vec};
use crate::spec::limit::IAM_STATE_BYTES_MAX;

/// Seals with the default key of a key service.
pub(super) struct Sealed {
    keys: Arc<dyn KeyService>,
}

impl Sealed {
    pub(super) fn new(keys: Arc<dyn KeyService>) -> Sealed {
        Sealed { keys }
    }

    /// Bound to the file and brought by the reader: no other sealed file is taken for a state.
    fn required() -> Result<Context, seal::Error> {
        Context::from_pairs([("smrt:artifact", "iam-state")])
    }

    fn sealed(&self, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        let settings = Settings { required: Sealed::required()?, ..Settings::default() };
        let context = Context::from_pairs([("smrt:format", "1")])?;
        let keys = self.keys.as_ref();
        let mut writer =
            Writer::with_settings(Vec::new(), keys, DEFAULT_ALIAS, &context, &settings)?;
        let write = writer.write_all(plain);
        write.map_err(|source| Error::WriteData { place: "the sealed state".into(), source })?;
        Ok(writer.finish()?)
    }
}

impl Keeper for Sealed {
    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        self.sealed(plain)
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Failure> {
        let pairs = Sealed::required()?;
        Ok(open_to_vec(sealed, self.keys.as_ref(), &pairs, IAM_STATE_BYTES_MAX)?)
    }
}
