//! Integration tests of `train`.
