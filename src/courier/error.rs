//! A failure as it crosses: its words, who has to act, and the few that the other side tells apart.

use serde::{Deserialize, Serialize};

use crate::fault::{self, Fault, Finding, Kind};
use crate::spec::uri::Uri;
use crate::store;

/// What went wrong on the other side.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[error("{what}")]
pub struct Told {
    /// The whole text, causes included.
    pub what: String,
    /// Who has to act.
    pub kind: Kind,
    /// What to do.
    pub help: Option<String>,
    /// What was found, one by one.
    pub findings: Vec<Finding>,
    /// For those who look for an object: it is not there.
    absent: Option<Absent>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Absent {
    Object,
    /// All below a place, but so many that do not count.
    Place {
        skipped: usize,
    },
}

impl Told {
    /// Any failure, to be sent.
    pub fn of(fault: &dyn Fault) -> Told {
        Told {
            what: fault::message(fault),
            kind: fault.kind(),
            help: fault.help(),
            findings: fault.findings(),
            absent: None,
        }
    }

    pub(super) fn of_store(error: &store::Error) -> Told {
        let absent = match error {
            store::Error::NotFound { .. } => Some(Absent::Object),
            store::Error::Empty { skipped, .. } => Some(Absent::Place { skipped: *skipped }),
            _ => None,
        };
        Told { absent, ..Told::of(error) }
    }

    /// As the store on this side would have said it.
    pub(super) fn into_store(self, uri: &Uri) -> store::Error {
        match self.absent {
            Some(Absent::Object) => store::Error::NotFound { uri: uri.clone() },
            Some(Absent::Place { skipped }) => store::Error::Empty { uri: uri.clone(), skipped },
            None => store::Error::Elsewhere { what: self.what, kind: self.kind, help: self.help },
        }
    }
}

impl Fault for Told {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn help(&self) -> Option<String> {
        self.help.clone()
    }

    fn findings(&self) -> Vec<Finding> {
        self.findings.clone()
    }
}
