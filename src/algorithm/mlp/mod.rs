//! `mlp`
pub mod host;
pub mod loss;
pub mod network;
