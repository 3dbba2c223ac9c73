//! `SMRT_AUDIT=FILE`, or `--audit FILE` where a command has it: what is done from the command line is
//! recorded, and nothing is done that cannot be.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use uuid::Uuid;

use super::Failure;
use crate::fault::Fault;
use crate::seal::{KeyService, Recorded};
use crate::telemetry::audit::{Audit, Record};
use crate::telemetry::date::now_s;

/// The variable that names the log.
pub(super) const VARIABLE: &str = "SMRT_AUDIT";

/// The log of this process: one, since a command does one thing.
static LOG: OnceLock<Arc<Audit>> = OnceLock::new();

/// Opens the log that `given` or the variable names, if either does.
pub(super) fn log(given: Option<&PathBuf>) -> Result<Option<Arc<Audit>>, Failure> {
    sampled_log(given, None)
}

/// The same, of which invocations are taken in part.
pub(super) fn sampled_log(
    given: Option<&PathBuf>,
    part: Option<f64>,
) -> Result<Option<Arc<Audit>>, Failure> {
    if let Some(log) = LOG.get() {
        return Ok(Some(Arc::clone(log)));
    }
    let named = || std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let Some(path) = given.cloned().or_else(named) else { return Ok(None) };
    let log = Arc::new(Audit::open(&path)?.sample(part.unwrap_or(1.0)));
    Ok(Some(Arc::clone(LOG.get_or_init(|| log))))
}

/// Waits until everything is on the disk.
pub(super) fn close() {
    if let Some(log) = LOG.get() {
        log.close();
    }
}

/// Who runs this process, as the system knows it.
pub(super) fn user() -> String {
    match std::fs::metadata("/proc/self") {
        Ok(own) => format!("uid:{}", own.uid()),
        Err(_) => "local user".into(),
    }
}

/// These keys, each use of which is recorded where there is a log.
pub(super) fn keys(
    inner: Arc<dyn KeyService>,
    principal: String,
    region: &str,
) -> Result<Arc<dyn KeyService>, Failure> {
    Ok(match log(None)? {
        None => inner,
        Some(log) => Arc::new(Recorded::new(inner, log, principal, region)),
    })
}

/// Something that is done from the command line.
#[derive(Debug, Clone)]
pub(super) struct Act<'a> {
    /// Such as `iam.amazonaws.com`.
    pub(super) source: &'a str,
    /// Such as `CreateUser`.
    pub(super) name: &'a str,
    /// Who; `None` is who runs the process.
    pub(super) principal: Option<String>,
    pub(super) region: &'a str,
    /// ARN, where there is one.
    pub(super) resource: &'a str,
    pub(super) parameters: Vec<(&'static str, Value)>,
}

impl Act<'_> {
    /// Does `work`, between a record that it is begun and one of what came of it.
    pub(super) fn recorded<T>(
        &self,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Some(log) = log(None)? else { return work() };
        let request = Uuid::new_v4().to_string();
        let user = user();
        let mut record = Record {
            source: self.source,
            name: self.name,
            region: self.region,
            principal: Some(self.principal.as_deref().unwrap_or(&user)),
            address: "local".into(),
            agent: Some(concat!("smrt/", env!("CARGO_PKG_VERSION"))),
            request: &request,
            resource: self.resource,
            parameters: self.parameters.clone(),
            writes: true,
            manages: true,
            ..Record::default()
        };
        record.time_s = now_s();
        record.event = Some(Uuid::new_v4().to_string());
        record.more.push(("outcome", json!("begun")));
        log.write(&record).wait()?;
        let outcome = work();
        let why = outcome.as_ref().err().map(|why| (code(why.as_ref()), why.to_string()));
        record.more.clear();
        record.event = None;
        record.time_s = now_s();
        record.error = why.as_ref().map(|(code, message)| (*code, message.as_str()));
        log.write(&record).wait()?;
        outcome
    }
}

fn code(why: &dyn Fault) -> &'static str {
    use crate::fault::Kind;
    match why.kind() {
        Kind::Denied => "AccessDeniedException",
        Kind::Caller | Kind::Data => "ValidationException",
        Kind::Stopped => "Stopped",
        _ => "InternalFailure",
    }
}

/// Does what a command line of `smrt iam` or `smrt keys` asks for, on the record: none of them
/// takes a secret as an argument.
pub(super) fn by_hand<T>(
    source: &str,
    name: &str,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let arguments: Vec<String> =
        std::env::args_os().skip(2).map(|text| text.to_string_lossy().into_owned()).collect();
    let act = Act {
        source,
        name,
        principal: None,
        region: "local",
        resource: "",
        parameters: vec![("arguments", arguments.into())],
    };
    act.recorded(work)
}
