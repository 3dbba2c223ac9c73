//! Envelope encryption: an AWS Encryption SDK message (v2, suite 0x0478) around every artifact,
//! and the local key service that wraps its data keys.
