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
/// What the next request would wait.
pub const QUEUE_WAIT: Name = Name {
    name: "smrt_queue_wait_seconds",
    help: "Time that a request would wait now for a worker, by the model with the longest queue",
};
/// The size of a full batch.
pub const BATCH_ROWS_MAX: Name = Name {
    name: "smrt_batch_rows_max",
    help: "Rows that now go through a variant's model in one piece at most",
};
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
/// Models in memory.
pub const LOADED_MODEL_COUNT: Name =
    Name { name: "LoadedModelCount", help: "Models that are loaded" };
/// What they take.
pub const MODELS_BYTES: Name =
    Name { name: "smrt_models_bytes", help: "What the loaded models take, as smrt measures it" };
/// Models loaded.
pub const MODEL_LOADS: Name = Name { name: "smrt_model_loads", help: "Models that were loaded" };
/// Models that could not be.
pub const MODEL_LOAD_FAILURES: Name =
    Name { name: "smrt_model_load_failures", help: "Models that could not be loaded" };
/// Models unloaded.
pub const MODEL_UNLOADS: Name =
    Name { name: "smrt_model_unloads", help: "Models that were unloaded, or made room for others" };
/// Requests that waited.
pub const MODEL_CACHE_MISSES: Name = Name {
    name: "smrt_model_cache_misses",
    help: "Invocations that waited for their model to be loaded (SageMaker: 1 - ModelCacheHit)",
};
/// Time to load.
pub const MODEL_LOADING_TIME: Name = Name {
    name: "ModelLoadingTime",
    help: "Microseconds from the first byte asked for to a model that answers (SageMaker: ModelDownloadingTime and ModelLoadingTime together)",
};
/// Time waited for a load.
pub const MODEL_LOADING_WAIT_TIME: Name = Name {
    name: "ModelLoadingWaitTime",
    help: "Microseconds an invocation waited for its model to be loaded",
};
/// A variant's weight.
pub const VARIANT_WEIGHT: Name = Name {
    name: "smrt_variant_weight",
    help: "Weight of a variant; its share of the traffic is its weight over the sum of all",
};
/// Models put in.
pub const MODEL_SWAPS: Name =
    Name { name: "smrt_model_swaps", help: "Models that were put in the place of another" };
/// Models not put in.
pub const MODEL_SWAP_FAILURES: Name = Name {
    name: "smrt_model_swap_failures",
    help: "Newer models that could not be put in; the one before goes on answering",
};
/// Rollouts taken back.
pub const ROLLBACKS: Name =
    Name { name: "smrt_rollbacks", help: "Rollouts that were taken back by themselves" };
/// Copies compared.
pub const SHADOW_COMPARED: Name = Name {
    name: "smrt_shadow_compared",
    help: "Copies of requests that the shadow answered and that were compared",
};
/// Copies answered differently.
pub const SHADOW_DIFFERENT: Name = Name {
    name: "smrt_shadow_different",
    help: "Copies that the shadow answered with another label, or a number further off than the tolerance",
};
/// Copies not answered.
pub const SHADOW_FAILED: Name =
    Name { name: "smrt_shadow_failed", help: "Copies that the shadow could not answer" };
/// Requests not copied.
pub const SHADOW_DROPPED: Name = Name {
    name: "smrt_shadow_dropped",
    help: "Requests that were not copied, because the shadow was behind",
};
/// The largest difference.
pub const SHADOW_LARGEST: Name = Name {
    name: "smrt_shadow_largest_difference",
    help: "The largest distance of two numbers at the same place so far",
};
