//! The kinds of failure, and what every room's error can say about itself.
//!
//! A door (the command line, the endpoint) never matches on a room's variants: it asks an error
//! for its [`Kind`], which decides the exit code and the HTTP status, and for its `help`, the
//! second line that says how to mend it.

/// Who has to act, and therefore how a door answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// The caller asked for something that cannot be: a bad job file, an unknown argument.
    Caller,
    /// The data are not what the job or the model says they are.
    Data,
    /// The caller may not do this: wrong credentials, a key that is not theirs.
    Denied,
    /// There is no room now; trying again later may work.
    Busy,
    /// Stored bytes were changed, cut short, or are not what they claim to be.
    Corrupt,
    /// A disk, a server or a name could not be reached or used.
    Unreachable,
    /// Somebody asked for the work to stop.
    Stopped,
    /// A fault of smrt itself.
    Bug,
}

impl Kind {
    /// The process exit code: 2 for the caller's mistake, 1 for everything else that fails.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Caller => 2,
            _ => 1,
        }
    }

    /// SageMaker's name for the party at fault, the prefix of a job's `FailureReason`.
    pub fn party(self) -> &'static str {
        match self {
            Kind::Caller | Kind::Data | Kind::Denied => "ClientError",
            Kind::Busy | Kind::Unreachable | Kind::Bug => "InternalServerError",
            Kind::Corrupt | Kind::Stopped => "AlgorithmError",
        }
    }
}

/// What a door may ask of any room's error.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// Who has to act.
    fn kind(&self) -> Kind;

    /// What to do about it, as a sentence without a capital or a full stop.
    fn help(&self) -> Option<String> {
        None
    }

    /// What was found, one by one, when the error itself is only their count.
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// One of several things that are wrong at once.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// Where and what.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// The whole text of an error, its causes behind it; a cause that only repeats is left out.
pub fn message(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// An error as a terminal shows it: each finding, then the error itself, with ` help: …` below.
pub fn rendered(fault: &dyn Fault) -> String {
    let mut text = String::new();
    let mut put = |what: &str, help: Option<&str>| {
        text.push_str(&format!("error: {}\n", what.trim_end()));
        if let Some(help) = help {
            text.push_str(&format!(" help: {}\n", help.trim_end()));
        }
    };
    for finding in fault.findings() {
        put(&finding.what, finding.help.as_deref());
    }
    put(&message(fault), fault.help().as_deref());
    text
}
