//! The gate: listening, limits, and how a fault becomes a status code.
//!
//! A thread per core accepts connections, reads requests within [`Limits`] and hands each as a
//! [`Call`] to a [`Handler`], over TCP, TLS or a Unix socket, in HTTP/1.1 or HTTP/2, from callers with
//! a token where one is asked for. What is answered is the handler's affair (`serve`).

mod auth;
mod body;
mod certificate;
mod check;
mod coding;
mod content;
mod converse;
mod error;
mod frames;
mod fresh;
pub(crate) mod fuzzed;
pub mod gate;
mod limits;
mod listen;
mod reactor;
pub mod reply;
mod shutdown;
mod smuggled;
mod socket;
mod stream;
mod streamed;
mod tls;
mod watch;

pub use auth::Denied;
pub use body::{Arrived, Body, Payload, Refused, Room};
pub use coding::{Coding, gzip, may_be_packed, pack, takes_gzip};
pub use content::{Content, Cut};
pub use error::Error;
pub use gate::{Call, Caller, Gate, Handler, Running, Settings};
pub use limits::Limits;
pub use listen::{Place, Remote, place};
pub use reply::Reply;
pub use shutdown::{Stage, Stop};
pub use streamed::Streamed;
pub use tls::TlsFiles;
