//! Integration tests of `seal`.
