//! Integration tests of `linear-learner`.
