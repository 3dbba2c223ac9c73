//! Bytes in and out: S3-compatible servers, folders, memory, through `object_store`.
//!
//! The one border where waiting for the network happens. What leaves this room is plain
//! [`std::io::Read`] and [`std::io::Write`], so the rooms that decode and seal stay synchronous.
