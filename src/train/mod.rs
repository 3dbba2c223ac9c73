//! One training job, from a checked spec to a finished artifact.
//!
//! Everything that can be known to fail is found before the work: a device the build lacks, a key
//! that cannot be used, an output that cannot be written, a channel that is not there. The artifact
//! becomes visible when its last byte is written, and not before.

mod apart;
mod channels;
mod checkpoint;
mod error;
mod memory;
mod objects;
mod printed;
mod read;
mod report;
mod run;
mod scratch;
mod stop;

pub(crate) use apart::child;
pub use error::Error;
pub use objects::check_local;
pub use read::read;
pub use report::{ChannelReport, Report};
pub use run::Job;
pub use stop::{Reason, Stop};
