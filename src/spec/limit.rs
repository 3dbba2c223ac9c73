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
/// Objects below one prefix; a channel with more is refused rather than listed into memory.
pub const OBJECTS_MAX: usize = 1_000_000;
/// Bytes fetched by one ranged request of a remote read.
pub const READ_RANGE_BYTES: u64 = 8 << 20;
/// How long one range may take to arrive, in seconds: a server that drips is given up.
pub const READ_RANGE_TIMEOUT_S: u64 = 300;
/// Bytes of a store's answer that is not an object: a page of a listing, an error text.
pub const STORE_ANSWER_BYTES_MAX: usize = 32 << 20;
/// Ranged requests in flight for one remote reader, which therefore holds at most one range more.
pub const READ_RANGES_AHEAD: usize = 4;
/// Bytes of one part of a multipart upload; the parts after [`UPLOAD_SMALL_PARTS`] are eight times
/// as large, since S3 takes 10,000 parts at most.
pub const UPLOAD_PART_BYTES: usize = 8 << 20;
/// Parts of an upload that have [`UPLOAD_PART_BYTES`].
pub const UPLOAD_SMALL_PARTS: usize = 1_000;
/// Parts in flight for one upload.
pub const UPLOAD_PARTS_AHEAD: usize = 4;
/// How long an abandoned upload waits for its parts under way, in seconds, before it takes them
/// back.
pub const UPLOAD_SETTLE_S: u64 = 5;
/// Bytes of `~/.aws/config`, `~/.aws/credentials` or a bundle of certificate authorities.
pub const CREDENTIALS_BYTES_MAX: u64 = 4 << 20;
/// How long a store may take to accept a connection, in seconds.
pub const CONNECT_TIMEOUT_S: u64 = 2;
/// How long a store may be silent within an answer, in seconds. It also bounds sending one part,
/// so four parts of 8 MiB need 0.6 MB/s upwards.
pub const SILENCE_TIMEOUT_S: u64 = 60;
/// How often a failed request to a store is repeated.
pub const RETRIES_MAX: usize = 8;
/// How long after the first attempt a request to a store is still repeated, in seconds.
pub const RETRY_TIME_S: u64 = 20;
/// How long the cloud's own credential service may take, in seconds: nothing answers there outside
/// a cloud, and nobody should wait to be told so.
pub const CREDENTIAL_SERVICE_TIMEOUT_S: u64 = 3;
