//! One training job, from a checked spec to a finished artifact.
