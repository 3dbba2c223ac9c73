//! Integration tests of `algorithm`.
