//! What a user writes, parsed into values that cannot be wrong. No I/O happens here.

pub mod limit;
pub mod name;
pub mod parameter;
pub mod problem;
pub mod train;
pub mod uri;
