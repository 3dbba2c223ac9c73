//! Integration tests of `rooms`.
