//! smrt trains, seals and serves machine-learning models with SageMaker's contracts.

pub mod error;
pub mod fault;

pub mod spec;
pub mod telemetry;

pub mod http;
pub mod seal;
pub mod store;

pub mod algorithm;
pub mod data;

pub mod model;

pub mod serve;
pub mod train;

pub mod cli;

pub use error::Error;
