//! One integration-test binary: a second one would link everything again.

// The helpers are tests too, and a test that is skipped prints why.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::type_complexity)]

mod algorithm;
mod audit;
mod boosted;
mod channels;
mod cli;
#[cfg(any(feature = "gcp", feature = "azure"))]
mod clouds;
mod data;
mod formats;
mod fuzzed;
mod hostile;
mod iam;
mod ip_insights;
mod isolation;
mod keyring;
mod killed;
mod kmeans;
mod kms;
mod linear;
mod load;
mod metric_lines;
mod model;
mod pca;
mod random_cut_forest;
mod role;
mod rooms;
mod s3;
mod sandbox;
mod schema;
mod seal;
mod serve;
mod signed;
mod store;
mod streamed;
mod threats;
mod train;
mod transform;
mod trees;
mod unlabelled;
mod xgboost;
