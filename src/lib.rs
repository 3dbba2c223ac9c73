//! smrt trains, seals and serves machine-learning models with SageMaker's contracts, in one
//! process and without a cloud.
//!
//! ```no_run
//! # fn main() -> Result<(), smrt::Error> {
//! // Train: data in a folder or in S3, a sealed model.tar.gz out.
//! let report = smrt::train("examples/churn.toml")?;
//!
//! // Predict in this process.
//! let model = smrt::Model::open(&report.artifact.to_string())?;
//! let answer = model.predict_csv("128,25,265.1,110,45.07,197.4,99,16.78,244.7,91,11.01,10,3,2.7,1")?;
//! println!("{answer}");
//!
//! // Or answer over HTTP as SageMaker's containers do.
//! let endpoint = smrt::serve(model).listen("127.0.0.1:8080").start()?;
//! endpoint.wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! The rooms below stand in reading order; [`manual`] has the reasons behind them.

#![recursion_limit = "256"]

pub mod manual;

// What went wrong.
pub mod error;
pub mod fault;

// The ground: what a user writes, and what an operator reads.
pub mod spec;
pub mod telemetry;

// The borders: bytes in and out, sealed bytes, requests.
pub mod http;
pub mod seal;
pub mod store;

// The materials: rows, and what learns from them.
pub mod algorithm;
pub mod data;

// The product.
pub mod model;

// The engines.
pub mod serve;
pub mod train;

// The door.
pub mod cli;

pub use error::Error;
pub use model::Model;
/// The arrays in the interface, in the version they are.
pub use ndarray;
