//! The identity service's door: AWS STS's API over HTTP, in front of a state of `smrt iam`.
//!
//! `GetCallerIdentity` says who signed; `AssumeRole` gives a session of a role to whom its trust
//! policy and the caller's own policies allow it. boto3's `sts` client and the AWS CLI talk to it with
//! `endpoint_url` (or `AWS_ENDPOINT_URL_STS`), and so do the SDKs' `role_arn` profiles. The session's
//! keys are good at every other door of the same state within a second.
//!
//! Source: AWS Security Token Service API Reference, version 2011-06-15; the protocol is AWS Query.

mod answer;
mod front;
mod server;

pub use crate::http::Running;
pub use server::{Builder, Error, Server};
