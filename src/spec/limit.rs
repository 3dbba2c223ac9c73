//! Every bound on what a file, a server or a caller may make smrt hold or do. One place, so that
//! a reader can see them together and a test can push against each.

/// Columns of one table, label included. A wider file is refused by name, not by memory.
pub const COLUMNS_MAX: usize = 65_536;
/// Columns of rows that leave cells out (libsvm, recordio): one row filled up still fits a request.
pub const SPARSE_COLUMNS_MAX: usize = 1 << 24;
/// Bytes of one line of CSV or JSON Lines.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// Bytes of one record of RecordIO with its frame, all its parts together.
pub const RECORD_BYTES_MAX: usize = (16 << 20) - 64;
/// Bytes of the metadata of a parquet file.
pub const PARQUET_INDEX_BYTES_MAX: usize = 16 << 20;
/// Bytes of one page of a parquet file, unpacked; writers keep to 1 MiB.
pub const PARQUET_PAGE_BYTES_MAX: usize = 256 << 20;
/// Bytes of a job or endpoint file.
pub const SPEC_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a request body unless the endpoint says otherwise (SageMaker: 6 MiB).
pub const BODY_BYTES_MAX: usize = 6 << 20;
/// Bytes of a request body that is answered in blocks while it arrives, unless the endpoint says
/// otherwise. Memory does not depend on it.
pub const STREAMED_BYTES_MAX: u64 = 64 << 30;
/// Bytes of one such block, or one row if that is more.
pub const STREAMED_BLOCK_BYTES: usize = 256 << 10;
/// Blocks of one body that are answered at once.
pub const STREAMED_BLOCKS_AHEAD: usize = 3;
/// Bytes of a file's name (Linux: `NAME_MAX`).
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// Bytes of a file's path (Linux: `PATH_MAX`, with its end).
pub const FILE_PATH_BYTES_MAX: usize = 4_095;
/// Outputs that one inference request may name.
pub const OUTPUTS_WANTED_MAX: usize = 256;
/// Bytes of the window of a body in zstd (RFC 9659).
pub const BODY_WINDOW_BYTES_MAX: u64 = 8 << 20;
/// Bytes of the smallest answer that is compressed for a caller who takes it so.
pub const ANSWER_PACKED_BYTES_MIN: usize = 8 << 10;
/// Rows of one request.
pub const REQUEST_ROWS_MAX: usize = 1 << 20;
/// Numbers of one request, rows × features: sparse rows are short to write and long to hold.
pub const REQUEST_VALUES_MAX: usize = 1 << 24;
/// Bytes that the pages of a parquet request may unpack to, all of them together: each number of the
/// longest request, in 64 bits.
pub const REQUEST_UNPACKED_BYTES_MAX: u64 = 8 * REQUEST_VALUES_MAX as u64;
/// Bytes of the metadata of a parquet request; what they say takes several times as much in memory.
pub const REQUEST_PARQUET_INDEX_BYTES_MAX: usize = 2 << 20;
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
/// Different words of one column of words.
pub const WORDS_MAX: usize = 65_536;
/// Bytes of one word of a column of words: what is longer is a text, and no category.
pub const WORD_BYTES_MAX: usize = 1_024;
/// Bytes of all words of a model together; the artifact keeps them.
pub const VOCABULARY_BYTES_MAX: usize = 16 << 20;
/// Different rows that `describe` keeps in mind one by one; beyond, a part of them.
pub const DESCRIBE_ROWS_MAX: usize = 1 << 21;
/// Different values of a column that `describe` counts one by one; beyond, it estimates.
pub const DESCRIBE_DISTINCT_MAX: usize = 65_536;
/// Rows that `describe` draws for quantiles and findings.
pub const DESCRIBE_SAMPLE_ROWS_MAX: usize = 65_536;
/// Cells of those rows, where a row has very many.
pub const DESCRIBE_CELLS_MAX: usize = 4 << 20;
/// Words of a column that `describe` can show.
pub const DESCRIBE_WORDS_SHOWN_MAX: usize = 4_096;
/// What a job may hold in memory unless `resources.memory_bytes_max` says otherwise.
pub const JOB_MEMORY_BYTES_MAX: u64 = 8 << 30;
/// Levels of one decision tree, grown or read.
pub const TREE_DEPTH_MAX: usize = 1_024;
/// Trees of one model that is read.
pub const TREES_MAX: usize = 1 << 20;
/// Numbers that the rows and boxes of one random cut forest may hold: 4 GiB.
pub const FOREST_VALUES_MAX: usize = 1 << 30;
/// Headers of one request.
pub const HEADERS_MAX: usize = 100;
/// Bytes of the request line's target.
pub const TARGET_BYTES_MAX: usize = 4 << 10;
/// Bytes a connection may have read ahead of what was understood.
pub const READ_AHEAD_BYTES_MAX: usize = 64 << 10;
/// Connections open at once.
pub const CONNECTIONS_MAX: usize = 8_192;
/// Requests at once on one connection of HTTP/2.
pub const STREAMS_MAX: u32 = 128;
/// Requests on one connection of HTTP/2 that may be taken back beyond those that were answered.
pub const STREAMS_ABANDONED_MAX: u64 = 200;
/// Bytes that one connection of HTTP/2 may send ahead of being read.
pub const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Seconds between two questions over HTTP/2 whether the caller is still there.
pub const STREAM_PING_S: u64 = 30;
/// Seconds it may take to answer one.
pub const STREAM_PING_TIMEOUT_S: u64 = 20;
/// Seconds between two looks at certificates and tokens.
pub const FILES_LOOK_S: u64 = 2;
/// Characters of the shortest bearer token.
pub const TOKEN_BYTES_MIN: usize = 16;
/// Bearer tokens of one endpoint: each request is compared with all.
pub const TOKENS_MAX: usize = 1_024;
/// Bytes of all request bodies that are held at once, over all connections.
pub const BODIES_BYTES_MAX: usize = 512 << 20;
/// Bytes of a refused body that are read and thrown away, so that its sender reads the answer.
pub const BODY_DRAIN_BYTES_MAX: u64 = 64 << 20;
/// Seconds a request's head may take from its first byte to its last.
pub const HEADER_TIMEOUT_S: u64 = 10;
/// Seconds a body may stand still.
pub const BODY_STALL_TIMEOUT_S: u64 = 10;
/// Seconds a whole body may take.
pub const BODY_TIMEOUT_S: u64 = 60;
/// Seconds a connection may rest between two requests.
pub const IDLE_TIMEOUT_S: u64 = 75;
/// Seconds a caller may refuse to read an answer.
pub const WRITE_TIMEOUT_S: u64 = 30;
/// Seconds an invocation may take once its body is there (SageMaker: 60).
pub const INVOCATION_TIMEOUT_S: u64 = 60;
/// Seconds that requests under way are given when the server stops (SageMaker kills after 30).
pub const DRAIN_TIMEOUT_S: u64 = 25;
/// Invocations that wait for a worker.
pub const QUEUE_REQUESTS_MAX: usize = 1_024;
/// Rows that wait for a worker. One request alone may always wait, however large.
pub const QUEUE_ROWS_MAX: usize = 1 << 18;
/// Rows that go through a model in one piece.
pub const BLOCK_ROWS_MAX: usize = 1_024;
/// Bytes of a body that is still decoded on its connection's own thread.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// Characters of `X-Amzn-SageMaker-Custom-Attributes`, `Content-Type` and `Accept`.
pub const HEADER_VALUE_BYTES_MAX: usize = 1_024;
/// Characters of `X-Amzn-SageMaker-Inference-Id`.
pub const INFERENCE_ID_BYTES_MAX: usize = 64;
/// Bytes of log lines that wait for a slow reader; more are dropped and counted.
pub const LOG_BUFFER_BYTES_MAX: usize = 1 << 20;
/// The least a job can be told to hold in memory.
pub const JOB_MEMORY_BYTES_MIN: u64 = 1 << 20;
/// Longest a job may be allowed to run, in seconds (SageMaker: 28 days).
pub const JOB_RUNTIME_S_MAX: i64 = 2_419_200;
/// How long a job may run unless `stopping.max_runtime_s` says otherwise (SageMaker: a day).
pub const JOB_RUNTIME_S_DEFAULT: i64 = 86_400;
/// Threads a job may ask for.
pub const JOB_THREADS_MAX: i64 = 1_024;
/// Hyperparameters of one job (SageMaker's quota).
pub const HYPERPARAMETERS_MAX: usize = 100;
/// Characters of a key's name (SageMaker's `KmsKeyId`).
pub const KEY_NAME_CHARS_MAX: usize = 2_048;
/// Number of the highest GPU that can be named.
pub const GPU_NUMBER_MAX: usize = 255;
/// Objects below one prefix; a channel with more is refused rather than listed into memory.
pub const OBJECTS_MAX: usize = 1_000_000;
/// Bytes of a channel's manifest.
pub const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// Mistakes of a manifest that are told; more are counted.
pub const MANIFEST_MISTAKES_MAX: usize = 20;
/// Hosts that share a job's channels.
pub const HOSTS_MAX: usize = 1_024;
/// Checkpoints a job can be told to leave in place.
pub const CHECKPOINTS_MAX: i64 = 1_000;
/// Checkpoints left in place unless `checkpoint.keep` says otherwise: a damaged newest one still
/// has one before it.
pub const CHECKPOINTS_DEFAULT: i64 = 2;
/// Seconds between two checkpoints unless `checkpoint.interval_s` says otherwise: losing this much
/// work is cheaper than writing more often.
pub const CHECKPOINT_INTERVAL_S_DEFAULT: i64 = 10;
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
/// Redirects of one answer that are followed.
pub const REDIRECTS_MAX: usize = 10;
/// How often a failed request to a store is repeated.
pub const RETRIES_MAX: usize = 8;
/// How long after the first attempt a request to a store is still repeated, in seconds.
pub const RETRY_TIME_S: u64 = 20;
/// How long the cloud's own credential service may take, in seconds: nothing answers there outside
/// a cloud, and nobody should wait to be told so.
pub const CREDENTIAL_SERVICE_TIMEOUT_S: u64 = 3;
/// How long one request to a key service may take, in seconds.
pub const KEY_SERVICE_TIMEOUT_S: u64 = 10;
/// How often a request to a key service is made before it counts as failed.
pub const KEY_SERVICE_ATTEMPTS_MAX: u32 = 5;
/// Bytes of a key service's answer; those that smrt asks for have under 10 KiB.
pub const KEY_SERVICE_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Bytes of the header of a sealed file: context, wrapped data keys and all. Real ones are under 2 KiB.
/// Bytes of the header of a sealed file, wrapped data keys and all. Real ones are under 2 KiB.
pub const SEAL_HEADER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a sealed file's serialized encryption context (AWS KMS takes 8 KiB).
pub const SEAL_CONTEXT_BYTES_MAX: usize = 8 << 10;
/// Bytes of a model's signature: the names and digests of all its files.
pub const SIGNATURE_FILE_BYTES_MAX: usize = 4 << 20;
/// Public keys that may vouch for a model.
pub const SIGNERS_MAX: usize = 64;
/// Bytes of the file of keys beside a sealed file.
pub const SIDECAR_BYTES_MAX: u64 = 256 << 10;
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
/// Weights (features × classes × models) or margins (rows of a batch × classes × models) of all
/// linear models trained at once.
pub const LINEAR_ENTRIES_MAX: usize = 1 << 28;
/// Bytes of a JSON document that `smrt predict` reads whole.
pub const REQUEST_FILE_BYTES_MAX: u64 = 1 << 30;
/// Codes of a column of categories; more are no categories but an id.
pub const CATEGORIES_MAX: usize = 65_535;
/// Bytes that the sets of categories of one model may take.
pub const CATEGORY_BYTES_MAX: usize = 256 << 20;
/// Megabytes of one request of a transform, and of those answered at once (SageMaker's).
pub const TRANSFORM_PAYLOAD_MB_MAX: i64 = 100;
/// Megabytes of one request of a transform unless `max_payload_in_mb` says otherwise (SageMaker's).
pub const TRANSFORM_PAYLOAD_MB_DEFAULT: i64 = 6;
/// Characters of a filter of a transform (SageMaker's).
pub const JSON_PATH_CHARS_MAX: usize = 63;
/// Bytes of records that a transform hands to a thread at once.
pub const TRANSFORM_PIECE_BYTES: usize = 512 << 10;
/// Objects that a transform reads and writes side by side.
pub const TRANSFORM_OBJECTS_AT_ONCE: usize = 4;
/// Failed objects that a transform tells of; more are counted.
pub const TRANSFORM_FAILURES_MAX: usize = 20;
/// Bytes that cross to or from an isolated process at once.
pub const COURIER_PIECE_BYTES: usize = 1 << 20;
/// Bytes of a message to or from an isolated process: the report of a model with all its words.
pub const COURIER_MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Objects that an isolated process may have open at once.
pub const COURIER_OPEN_MAX: usize = 64;
/// Bytes that an isolated process may take beside twice the memory of its job.
pub const ISOLATED_BYTES: u64 = 4 << 30;
/// Descriptors of an isolated process.
pub const ISOLATED_FILES_MAX: u64 = 256;
/// Networks that `[network] allow` may name.
pub const NETWORKS_MAX: usize = 256;
/// Variants of one endpoint (SageMaker's quota).
pub const VARIANTS_MAX: usize = 10;
/// What all loaded models of an endpoint may take unless `models.memory_bytes_max` says otherwise.
pub const MODELS_MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Models loaded at once unless `models.hot_max` says otherwise.
pub const MODELS_HOT_MAX: usize = 1_000;
/// The most that `models.hot_max` may say.
pub const MODELS_HOT_CEILING: i64 = 100_000;
/// Characters of a model's name (SageMaker: `TargetModel`).
pub const MODEL_NAME_CHARS_MAX: usize = 1_024;
/// Models that could not be loaded and are remembered, so that asking again is answered at once.
pub const BROKEN_MODELS_MAX: usize = 10_000;
/// Models that have series of their own in the metrics; the others are counted together.
pub const METRIC_MODELS_MAX: usize = 100;
/// Loads that wait for a loading thread.
pub const LOADS_WAITING_MAX: usize = 1_024;
/// Requests that wait for the shadow; more are not copied, and counted.
pub const SHADOW_REQUESTS_MAX: usize = 256;
/// Bytes of bodies and answers that wait for the shadow.
pub const SHADOW_BYTES_MAX: usize = 64 << 20;
/// Bytes of a policy's text, white space and all.
pub const POLICY_BYTES_MAX: usize = 128 << 10;
/// Characters of a policy without white space (AWS's quota of a managed policy).
pub const POLICY_CHARS_MAX: usize = 6_144;
/// Bytes of the sealed state of `smrt iam`: 10,000 principals take about 20 MB.
pub const IAM_STATE_BYTES_MAX: u64 = 256 << 20;
/// Users and roles of one state.
pub const PRINCIPALS_MAX: usize = 20_000;
/// Sessions of roles that run at once.
pub const SESSIONS_MAX: usize = 20_000;
/// Access keys of one user (AWS's quota).
pub const ACCESS_KEYS_MAX: usize = 2;
/// Managed policies of one user or role (AWS's quota).
pub const ATTACHED_POLICIES_MAX: usize = 20;
/// Bytes of one line of an audit log.
pub const AUDIT_LINE_BYTES_MAX: usize = 64 << 10;
/// Characters of a stranger's text in an audit record.
pub const AUDIT_TEXT_CHARS_MAX: usize = 512;
/// Audit records that wait for the disk.
pub const AUDIT_QUEUE_RECORDS_MAX: usize = 8_192;
/// Bytes of one digest of the audit log, or of its signature.
pub const AUDIT_DIGEST_BYTES_MAX: u64 = 64 << 10;
/// Digests that are looked at, the newest: two years of hours.
pub const AUDIT_DIGESTS_MAX: usize = 17_520;
/// Bytes of the records that one digest is about, when they are compared line by line.
pub const AUDIT_SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// State-change events that wait to be told.
pub const EVENTS_QUEUE_MAX: usize = 1_024;
