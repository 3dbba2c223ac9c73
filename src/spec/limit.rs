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
/// Levels of one decision tree, grown or read.
pub const TREE_DEPTH_MAX: usize = 1_024;
/// Trees of one model that is read.
pub const TREES_MAX: usize = 1 << 20;
