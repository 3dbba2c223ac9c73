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
//! let rows = smrt::ndarray::Array2::<f32>::zeros((1, model.manifest.signature.features));
//! println!("{:?}", model.predict(rows.view())?);
//!
//! // Or answer over HTTP as SageMaker's containers do.
//! let endpoint = smrt::serve(model).listen("127.0.0.1:8080").start()?;
//! println!("{}", endpoint.greeting());
//! endpoint.wait();
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

// The borders: bytes in and out, sealed bytes, requests, callers.
pub mod http;
pub mod iam;
pub mod sandbox;
pub mod seal;
pub mod sign;
pub mod store;

// Above the borders: which key service keeps a key.
pub mod keyring;

// The materials: rows, and what learns from them.
pub mod algorithm;
pub mod data;

// The product.
pub mod model;

// What a job may touch, and what is kept and told of what was done.
pub mod event;
pub mod role;
pub mod trail;

// What an isolated process is given, and by whom.
pub mod courier;

// The engines.
pub mod load;
pub mod serve;
pub mod train;
pub mod transform;

// The doors.
pub mod cli;
pub mod kms;
pub mod sts;

// Strangers' bytes, for the fuzzers.
#[doc(hidden)]
pub mod fuzzed;

pub use error::Error;
pub use model::Model;

/// Runs a job file to its end with the built-in algorithms and the keys of the user who runs this
/// process, or the key service it names, and says what came of it. [`train::Job`] has the choices.
///
/// # Errors
/// Every mistake of the file at once, or why the job failed; no artifact is then visible.
pub fn train(job: impl AsRef<std::path::Path>) -> Result<train::Report, Error> {
    let spec = train::read(job.as_ref(), &[], &algorithm::Table::builtin())?;
    let keys = keyring::KeyRing::of_user(&spec.storage, &spec.output.key)?;
    let name = spec.output.sign.as_ref();
    let signer =
        name.map(|name| keyring::signing::SigningKeys::of_user()?.open(name)).transpose()?;
    Ok(train::Job::new(spec, std::sync::Arc::new(keys)).signer(signer).run()?)
}

/// Does isolated work, if this process was started for some, and says how it ended. A program that
/// runs jobs with `[network] isolation` calls this before anything else in `main`, since the isolated
/// process is that program once more:
///
/// ```no_run
/// if let Some(code) = smrt::isolated(smrt::algorithm::Table::builtin()) {
///     std::process::exit(code.into());
/// }
/// ```
pub fn isolated(table: algorithm::Table) -> Option<u8> {
    train::child(table)
}

/// An endpoint for `model`, to be told where to listen and then started.
pub fn serve(model: Model) -> serve::Builder {
    serve::Server::builder(model)
}

/// The arrays in the interface, in the version they are.
pub use ndarray;
