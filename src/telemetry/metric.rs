//! Names of every metric, with the help text an operator reads. Units stand at the end of a name;
//! where SageMaker has a CloudWatch metric for the same thing, the help says which.
//!
//! Nothing is counted here: `serve::stats` keeps the numbers and writes them under these names.

/// A metric's name and its help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// As it stands in the exposition, without the `_total` that the format adds to counters.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// Invocations answered, whatever the status.
pub const INVOCATIONS: Name =
    Name { name: "smrt_invocations", help: "Requests to the model (SageMaker: Invocations)" };
/// Invocations answered with 4xx.
pub const INVOCATION_4XX: Name = Name {
    name: "smrt_invocation_4xx_errors",
    help: "Invocations answered with a 4xx status (SageMaker: Invocation4XXErrors)",
};
/// Invocations answered with 5xx.
pub const INVOCATION_5XX: Name = Name {
    name: "smrt_invocation_5xx_errors",
    help: "Invocations answered with a 5xx status (SageMaker: Invocation5XXErrors)",
};
/// Time in the model.
pub const MODEL_LATENCY: Name = Name {
    name: "smrt_model_latency_seconds",
    help: "Time the model took to answer (SageMaker: ModelLatency, there in microseconds)",
};
/// Time outside the model.
pub const OVERHEAD_LATENCY: Name = Name {
    name: "smrt_overhead_latency_seconds",
    help: "Time from the request's body to its answer, less the model's own (SageMaker: OverheadLatency, there in microseconds)",
};
/// Requests answered, by code, on every path.
pub const REQUESTS: Name =
    Name { name: "smrt_http_requests", help: "Requests answered, on every path, by status" };
/// Rows predicted.
pub const ROWS: Name = Name { name: "smrt_rows", help: "Rows the model answered for" };
/// Rows that went through the model in one piece.
pub const BATCH_ROWS: Name =
    Name { name: "smrt_batch_rows", help: "Rows that went through the model in one piece" };
/// Bytes of bodies read.
pub const RECEIVED_BYTES: Name =
    Name { name: "smrt_received_bytes", help: "Bytes of request bodies of invocations" };
/// Bytes of bodies written.
pub const SENT_BYTES: Name =
    Name { name: "smrt_sent_bytes", help: "Bytes of answers to invocations" };
/// Model panics.
pub const MODEL_PANICS: Name =
    Name { name: "smrt_model_panics", help: "Times the model panicked; the request got 500" };
/// Abandoned work.
pub const ABANDONED: Name = Name {
    name: "smrt_abandoned",
    help: "Queued invocations whose caller had left, or whose time was up, before the model saw them",
};
/// Requests being worked on.
pub const IN_FLIGHT: Name = Name {
    name: "smrt_in_flight",
    help: "Invocations between head and answer (SageMaker: ConcurrentRequestsPerModel)",
};
/// Requests in the queue.
pub const QUEUE_REQUESTS: Name =
    Name { name: "smrt_queue_requests", help: "Invocations that wait for a worker" };
/// Rows in the queue.
pub const QUEUE_ROWS: Name = Name { name: "smrt_queue_rows", help: "Rows that wait for a worker" };
/// Open connections.
pub const CONNECTIONS: Name = Name { name: "smrt_connections", help: "Open connections" };
/// What runs.
pub const BUILD: Name = Name { name: "smrt_build", help: "Version and model being served" };

/// Invocations of a variant or model, under SageMaker's name.
pub const SAGEMAKER_INVOCATIONS: Name =
    Name { name: "Invocations", help: "Requests to a variant or model, as CloudWatch counts them" };
/// Those with a 4xx status.
pub const SAGEMAKER_4XX: Name =
    Name { name: "Invocation4XXErrors", help: "Invocations answered with a 4xx status" };
/// Those with a 5xx status.
pub const SAGEMAKER_5XX: Name =
    Name { name: "Invocation5XXErrors", help: "Invocations answered with a 5xx status" };
/// Those without a 2xx status.
pub const SAGEMAKER_MODEL_ERRORS: Name =
    Name { name: "InvocationModelErrors", help: "Invocations not answered with a 2xx status" };
/// Time in the model, microseconds.
pub const SAGEMAKER_MODEL_LATENCY: Name =
    Name { name: "ModelLatency", help: "Microseconds the model took to answer" };
/// Time outside it, microseconds.
pub const SAGEMAKER_OVERHEAD_LATENCY: Name = Name {
    name: "OverheadLatency",
    help: "Microseconds from the request's body to its answer, less the model's own",
};
