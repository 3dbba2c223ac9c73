//! The gate: listening, limits, and how a fault becomes a status code.
//!
//! A thread per core accepts connections, reads requests within [`Limits`] and hands each as a
//! [`Call`] to a [`Handler`]. What is answered is the handler's affair (`serve`); who the caller is,
//! TLS and HTTP/2 are not here yet and have their place in [`gate`].

mod body;
mod check;
mod coding;
mod content;
mod error;
pub mod gate;
mod limits;
mod listen;
pub mod reply;
mod shutdown;
mod smuggled;
mod stream;
mod watch;

pub use body::{Body, Payload, Refused};
pub use coding::{Coding, gzip, pack, takes_gzip};
pub use content::Content;
pub use error::Error;
pub use gate::{Call, Gate, Handler, Settings};
pub use limits::Limits;
pub use listen::address;
pub use reply::Reply;
pub use shutdown::{Stage, Stop};
