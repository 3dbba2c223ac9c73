//! Users, roles, keys, sessions and policies, in one file that survives a crash.
//!
//! ```text
//! state           0600, sealed as a whole by a [`Keeper`]: nothing in it can be read or changed
//! state.lock      0600, held while anything is changed
//! ```
//! A change reads the file under the lock, and writes a new one that is flushed to the disk and
//! then renamed. Readers take no lock: they see the file before or after. Names and rules are
//! IAM's; groups, virtual MFA and password logins do not exist here.

mod acting;
mod acts;
mod directory;
mod document;
mod file;
mod session;

pub use acting::{Acting, Use, Work};
pub use acts::Whom;
pub use directory::{Directory, Identity, Key};
pub use document::{AccessKey, Document, Holder, ManagedPolicy, Role, Status, User};
pub use file::{Keeper, Stamp, State};
pub use session::{Asked, Credentials};
