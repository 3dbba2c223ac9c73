//! Integration tests of `store`.
