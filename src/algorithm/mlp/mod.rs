//! `mlp`
pub mod graph;
pub mod host;
pub mod loss;
pub mod network;
