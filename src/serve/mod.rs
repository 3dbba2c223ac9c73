//! The endpoint: `/ping` and `/invocations` as SageMaker's containers answer them.
//!
//! ```text
//! http::gate ─► routes ─► invoke: headers, body, decode ─┬─► predict ─► encode     small: same thread
//!                                                        └─► queue ⇒ worker ⇒ encode     otherwise
//! ```
//!
//! Whether a model is small is measured when it is loaded ([`Cost`]). The queue is bounded in
//! requests, rows and time, and refuses at once when full; workers take what waits, without a timer,
//! in batches of a size that [`pace`] finds. A large request is answered in parts ([`split`]).
//! A model that fails, panics or answers nonsense costs its request a 500 and nobody else anything.
//!
//! | what happened | status |
//! |---|---|
//! | an answer | 200 |
//! | an empty body | 204 |
//! | a body that is not what it says, a wrong number of columns, a bad header | 400 |
//! | a path, a method that is not known | 404, 405 with `Allow` |
//! | no format of `Accept` can be made | 406 |
//! | a body that stands still, a head that never ends | 408 |
//! | a body (unfolded, if it is compressed) or a number of rows over the limit | 413 |
//! | the same after the first rows of a body were answered that is too large to be held | none: the answer is cut |
//! | an unknown `Content-Type` or `Content-Encoding` | 415 |
//! | the model failed, asked through `/endpoints/NAME/invocations` | 424 |
//! | one address has too much in the queue | 429 with `Retry-After` |
//! | the model failed, asked through `/invocations` | 500 |
//! | the queue is full, the answer would come too late, or the server is stopping | 503 with `Retry-After` |
//! | the time was up after admission | 504 |
//!
//! Where the endpoint knows its callers ([`Builder::door`]), whoever signs wrongly, is unknown or may
//! not is told 403, in the words of AWS at `/endpoints/NAME/invocations`.
//!
//! A refusal's body is `{"message": "...", "help": "..."}`.
//!
//! From a program (`examples/embed_serve.rs` is a whole one):
//! ```
//! fn answer_for_a_while(model: smrt::model::Model) -> Result<(), smrt::serve::Error> {
//!     let running = smrt::serve::Server::builder(model).listen("127.0.0.1:0").start()?;
//!     println!("{}", running.greeting());
//!     running.stop();
//!     running.wait();
//!     Ok(())
//! }
//! ```
//!
//! The Open Inference Protocol answers beside it, below `/v2` and over gRPC, with the endpoint's name
//! as the model's.
//!
//! A body of rows that is larger than what is held of one is answered block by block while it arrives
//! ([`streamed`]).
//!
//! Which model a request is for is decided before its body is read: [`traffic`] holds the variants of
//! one endpoint, [`hot`] many models by name. What changes them ([`rollout`], [`admin`],
//! [`container`]) loads in the [`background`] and then replaces a pointer; a request keeps the model
//! it was given. [`shadow`] gets copies once callers are answered.

mod admin;
mod asked;
mod background;
mod book;
mod calibrate;
mod change;
mod codec;
mod compare;
mod container;
mod endpoint;
mod error;
mod fence;
pub(crate) mod fuzzed;
mod grpc;
mod guard;
mod hot;
mod identity;
mod invoke;
mod library;
mod line;
mod openapi;
mod pace;
mod page;
mod pool;
mod queue;
mod recorded;
mod rollout;
mod routes;
mod served;
mod server;
mod serving;
mod shadow;
mod split;
mod stats;
mod streamed;
mod traffic;
mod v2;
mod variants;
mod worker;

pub use calibrate::Cost;
pub use change::Change;
pub use error::Error;
pub use hot::Many;
pub use library::Library;
pub use server::{Builder, Running, Server};
pub use variants::Variants;
