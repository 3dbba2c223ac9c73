//! Every bound on what a file, a server or a caller may make smrt hold or do. One place, so that
//! a reader can see them together and a test can push against each.

/// Columns of one table, label included. A wider file is refused by name, not by memory.
pub const COLUMNS_MAX: usize = 65_536;
/// Bytes of one line of CSV or JSON Lines.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// Bytes of a job or endpoint file.
pub const SPEC_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a request body unless the endpoint says otherwise (SageMaker: 6 MiB).
pub const BODY_BYTES_MAX: usize = 6 << 20;
/// Rows of one request.
pub const REQUEST_ROWS_MAX: usize = 1 << 20;
/// Bytes of all request headers.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// Entries of a model archive.
pub const ARCHIVE_ENTRIES_MAX: usize = 10_000;
/// Bytes of one entry of a model archive.
pub const ARCHIVE_ENTRY_BYTES_MAX: u64 = 4 << 30;
/// Bytes of a whole unpacked model archive.
pub const ARCHIVE_BYTES_MAX: u64 = 8 << 30;
/// Uncompressed bytes for each compressed byte, beyond which an archive is a bomb.
pub const ARCHIVE_RATIO_MAX: u64 = 100;
/// Distinct labels of a classification.
pub const CLASSES_MAX: usize = 10_000;
/// What a job may hold in memory unless `resources.memory_bytes_max` says otherwise.
pub const JOB_MEMORY_BYTES_MAX: u64 = 8 << 30;
/// Bytes of the header of a sealed file, wrapped data keys and all. Real ones are under 2 KiB.
pub const SEAL_HEADER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a sealed file's serialized encryption context (AWS KMS takes 8 KiB).
pub const SEAL_CONTEXT_BYTES_MAX: usize = 8 << 10;
/// Wrapped data keys in one sealed file.
pub const SEAL_KEYS_MAX: usize = 16;
/// Plaintext bytes in one frame of a sealed file that smrt writes.
pub const SEAL_FRAME_BYTES: u32 = 1 << 20;
/// Plaintext bytes in one frame of a sealed file that smrt reads.
pub const SEAL_FRAME_BYTES_MAX: u32 = 64 << 20;
/// Bytes of frames that are being sealed or opened at one time, or one frame if that is more.
pub const SEAL_IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// Bytes of one file of the local key store; a backing-key version takes about 120.
pub const KEY_FILE_BYTES_MAX: u64 = 1 << 20;
