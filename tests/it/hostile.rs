//! Integration tests of `hostile`.
