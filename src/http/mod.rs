//! The gate: listening, limits, and how a fault becomes a status code.
