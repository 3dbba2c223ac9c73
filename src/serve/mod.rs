//! The endpoint: `/ping` and `/invocations` as SageMaker's containers answer them.
