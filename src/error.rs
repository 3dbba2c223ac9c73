//! Every failure of the library in one type, for programs that embed smrt and for its doors.
//!
//! Rooms speak their own errors and never import this one; here they are gathered, one line each.

use crate::fault::{Fault, Finding, Kind};

macro_rules! rooms {
    ($($(#[$meta:meta])* $variant:ident($error:ty),)+) => {
        /// What went wrong, and in which room. Ask it for its [`kind`](Fault::kind) and
        /// [`help`](Fault::help) rather than matching deeper.
        #[derive(Debug, thiserror::Error)]
        #[non_exhaustive]
        pub enum Error {
            $($(#[$meta])* #[error(transparent)] $variant(#[from] $error),)+
        }

        impl Error {
            /// The room's own error.
            pub fn fault(&self) -> &dyn Fault {
                match self {
                    $(Error::$variant(error) => error,)+
                }
            }
        }
    };
}

rooms! {
    /// What a user wrote cannot be: a job file, a `--set`.
    Spec(crate::spec::Mistakes),
    /// A place could not be read, listed or written.
    Store(crate::store::Error),
    /// Sealing or opening failed, or a key.
    Seal(crate::seal::Error),
    /// A signature does not vouch for a model, or a key of one cannot be used.
    Sign(crate::sign::Error),
    /// Identities and policies: a name, a policy, the state file.
    Iam(crate::iam::Error),
    /// The gate could not be opened.
    Http(crate::http::Error),
    /// Bytes are not the rows they should be.
    Data(crate::data::Error),
    /// Learning or answering failed.
    Algorithm(crate::algorithm::Error),
    /// An artifact could not be made, read or opened.
    Model(crate::model::Error),
    /// A training job did not finish.
    Train(crate::train::Error),
    /// A batch transform did not finish.
    Transform(crate::transform::Error),
    /// An endpoint could not be started.
    Serve(crate::serve::Error),
    /// The key service could not be started.
    Kms(crate::kms::Error),
    /// The identity service could not be started.
    Sts(crate::sts::Error),
    /// An endpoint could not be measured.
    Load(crate::load::Error),
    /// The audit log could not be written or does not hold.
    Audit(crate::telemetry::audit::Error),
    /// The digests of the audit log could not be written or do not hold.
    Trail(crate::trail::Error),
    /// State changes cannot be told.
    Event(crate::event::Error),
    /// The process's log could not be set up.
    Log(crate::telemetry::log::Error),
}

impl Error {
    /// Who has to act.
    pub fn kind(&self) -> Kind {
        self.fault().kind()
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        self.fault().help()
    }

    /// 2 for the caller's mistake, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        self.kind().exit_code()
    }

    /// The text the command line shows: `error: …` and ` help: …`, a line each.
    pub fn rendered(&self) -> String {
        crate::fault::rendered(self.fault())
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        Error::kind(self)
    }

    fn help(&self) -> Option<String> {
        Error::help(self)
    }

    fn findings(&self) -> Vec<Finding> {
        self.fault().findings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read a.csv")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read a.csv")]
    struct Middle(#[source] std::io::Error);

    impl Fault for Outer {
        fn kind(&self) -> Kind {
            Kind::Unreachable
        }
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = Outer(Middle(std::io::Error::other("the disk is on fire")));
        let text = crate::fault::rendered(&error);
        assert_eq!(text, "error: cannot read a.csv: the disk is on fire\n");
    }

    #[test]
    fn several_mistakes_are_told_one_by_one_and_counted() {
        let mut mistakes = crate::spec::Mistakes { file: "job.toml".into(), ..Default::default() };
        mistakes.problems.add("a.b", Some(3), "is wrong", Some("write it right".into()));
        let one = Error::from(mistakes.clone());
        let text = "error: job.toml:3: a.b: is wrong\n help: write it right\n";
        assert_eq!((one.rendered().as_str(), one.exit_code()), (text, 2));
        mistakes.problems.add("c", None, "is missing", None);
        let two = Error::from(mistakes).rendered();
        let more = "error: job.toml: c: is missing\nerror: job.toml: 2 mistakes\n";
        assert_eq!(two, format!("{text}{more}"));
    }
}
