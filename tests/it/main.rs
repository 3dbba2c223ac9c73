//! One integration-test binary: a second one would link everything again.

// The helpers are tests too.
#![allow(clippy::unwrap_used)]

mod algorithm;
mod cli;
mod data;
mod hostile;
mod linear;
mod model;
mod rooms;
mod s3;
mod seal;
mod serve;
mod store;
mod train;
mod xgboost;
