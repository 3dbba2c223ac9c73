//! Integration tests of `model`.
