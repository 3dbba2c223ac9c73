//! IAM's policies: read with every mistake and its place, compiled once, decided in AWS's order.
//!
//! ```
//! # use smrt::iam::policy::{Context, Kind, Policies, Policy, Principal, Request, decide};
//! let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
//!     "Action": "sagemaker:InvokeEndpoint", "Resource": "arn:aws:sagemaker:*:*:endpoint/fraud"}}"#;
//! let policy = std::sync::Arc::new(Policy::read("caller.json", text, Kind::Identity).unwrap());
//! let caller = Principal::new("arn:aws:iam::111122223333:user/teller");
//! let (context, resource) = (Context::new(), "arn:aws:sagemaker:us-east-1:111122223333:endpoint/fraud");
//! let request = Request::new(&caller, "sagemaker:InvokeEndpoint", resource, &context);
//! let policies = Policies { identity: &[policy], ..Policies::default() };
//! assert!(decide(&request, &policies).is_allowed());
//! ```

mod arn;
mod condition;
mod context;
mod document;
mod evaluate;
mod explain;
mod json;
mod net;
mod pattern;
mod principal;

pub use context::{Context, Principal};
pub use document::{Effect, Kind, Policy, Statement};
pub use evaluate::{Decision, Layer, Place, Policies, Request, decide};
pub use explain::{Explanation, Line, explain, literal};
