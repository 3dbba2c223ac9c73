//! What each column of a file is for, found out once for each object.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::shown;
use super::label::Refused;
use super::words::Vocabulary;
use crate::spec::problem::nearest;
use crate::spec::train::{Categorical, Format, LabelColumn, WeightColumn};

/// What one column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The next feature, a number.
    Feature,
    /// The next feature, a word; the number counts the columns of words.
    Words(usize),
    /// The label.
    Label,
    /// How much the row counts.
    Weight,
    /// The query the row belongs to.
    Group,
    /// Nothing.
    Ignored,
}

/// What all columns are for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Roles {
    /// One for each column of the file.
    pub(crate) list: Vec<Role>,
    /// Features of a row.
    pub(crate) features: usize,
    /// The features that hold words, ascending.
    pub(crate) words: Vec<usize>,
    /// Their words, where they are known before.
    pub(crate) known: Option<Arc<Vocabulary>>,
    /// A word among numbers is noted, not refused: see [`super::rows::Rows::surprises`].
    pub(crate) survey: bool,
}

/// What is known of a channel's words before it is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    /// The words training found.
    pub(crate) known: Option<Arc<Vocabulary>>,
    /// Features in which words were met, for `categorical = "auto"`.
    pub(crate) met: BTreeSet<usize>,
}

/// Why the columns do not fit the job: the column where one is to blame, what, and what to do.
pub(crate) type Misfit = (Option<usize>, Refused);

impl Roles {
    /// So many numbers, and a label at `label`.
    pub(crate) fn numbers(columns: usize, label: Option<usize>) -> Roles {
        let role = |at| if Some(at) == label { Role::Label } else { Role::Feature };
        let features = columns - usize::from(label.is_some_and(|at| at < columns));
        Roles { list: (0..columns).map(role).collect(), features, ..Roles::default() }
    }

    /// So many features, of which those in `known` hold words.
    pub(crate) fn request(features: usize, known: &Arc<Vocabulary>) -> Roles {
        let mut roles = Roles::numbers(features, None);
        roles.find_words(&known.features().collect());
        roles.known = Some(known.clone());
        roles
    }

    /// The same columns, words in the features `met` too.
    pub(crate) fn with_words(&self, met: &BTreeSet<usize>) -> Roles {
        let plain = |role: &Role| match role {
            Role::Words(_) => Role::Feature,
            other => *other,
        };
        let met = met.iter().chain(&self.words).copied().collect();
        let list = self.list.iter().map(plain).collect();
        let mut roles = Roles { list, words: Vec::new(), ..self.clone() };
        roles.find_words(&met);
        roles
    }

    /// For `columns` columns, `names` theirs or none at all. `channel` is what messages call the
    /// table of keys (`channels.train`).
    ///
    /// # Errors
    /// A name that no column has or two have, or any name where columns have none.
    pub(crate) fn resolve(
        columns: usize,
        names: &[String],
        format: &Format,
        before: &Before,
        channel: &str,
    ) -> Result<Roles, Misfit> {
        let named = Named { names, channel };
        let mut list = vec![Role::Feature; columns];
        let mut take = |at: usize, role: Role| {
            if let Some(slot) = list.get_mut(at) {
                *slot = role;
            }
        };
        match &format.label {
            LabelColumn::None => {}
            LabelColumn::First => take(0, Role::Label),
            LabelColumn::Named(name) => take(named.column("label", name)?, Role::Label),
        }
        match &format.weight {
            None => {}
            Some(WeightColumn::Second) => take(1, Role::Weight),
            Some(WeightColumn::Named(name)) => take(named.column("weight", name)?, Role::Weight),
        }
        if let Some(name) = &format.group {
            take(named.column("group", name)?, Role::Group);
        }
        for name in &format.ignore {
            take(named.column("ignore", name)?, Role::Ignored);
        }
        let features = list.iter().filter(|role| **role == Role::Feature).count();
        let mut roles = Roles { list, features, ..Roles::default() };
        let words = named.words(&roles, format, before)?;
        roles.find_words(&words);
        roles.known.clone_from(&before.known);
        roles.survey = before.known.is_none() && format.categorical == Categorical::Auto;
        Ok(roles)
    }

    fn find_words(&mut self, words: &BTreeSet<usize>) {
        let mut feature = 0;
        for role in &mut self.list {
            if *role != Role::Feature {
                continue;
            }
            if words.contains(&feature) {
                *role = Role::Words(self.words.len());
                self.words.push(feature);
            }
            feature += 1;
        }
    }

    /// Whether rows are numbers and at most a label.
    pub(crate) fn is_plain(&self) -> bool {
        !self.survey && self.list.iter().all(|role| matches!(role, Role::Feature | Role::Label))
    }

    /// Where the label stands.
    pub(crate) fn label(&self) -> Option<usize> {
        self.list.iter().position(|role| *role == Role::Label)
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.list.contains(&role)
    }

    /// Whether a column is a feature.
    pub(crate) fn is_feature(&self, column: usize) -> bool {
        matches!(self.list.get(column), Some(Role::Feature | Role::Words(_)))
    }

    /// The column in the file of a feature.
    pub(crate) fn column_of(&self, feature: usize) -> Option<usize> {
        (0..self.list.len()).filter(|at| self.is_feature(*at)).nth(feature)
    }

    /// The names of the features among the names of all columns.
    pub(crate) fn feature_names(&self, names: &[String]) -> Vec<String> {
        let names = names.iter().enumerate();
        names.filter(|(at, _)| self.is_feature(*at)).map(|(_, name)| name.clone()).collect()
    }

    /// What to do about a word in `column`, where a number belongs.
    pub(crate) fn word_help(&self, name: Option<&String>, channel: &str) -> String {
        match (name, &self.known) {
            (_, Some(_)) => "the model learned from numbers there: give a number, or leave the cell empty if the value is missing".into(),
            (Some(name), None) => format!(
                "if the column holds words, set `{channel}.categorical = [{}]`, or \"auto\" for every such column; or pass it over with `{channel}.ignore`",
                shown(name.as_bytes())
            ),
            (None, None) => format!(
                "if the column holds words, set `{channel}.categorical = \"auto\"`; a missing value is an empty cell"
            ),
        }
    }
}

/// The columns' names, and the keys that use them.
struct Named<'a> {
    names: &'a [String],
    channel: &'a str,
}

impl Named<'_> {
    /// The one column that `key` names.
    fn column(&self, key: &str, wanted: &str) -> Result<usize, Misfit> {
        let (names, channel) = (self.names, self.channel);
        if names.is_empty() {
            let what = format!("{channel}.{key} names a column, but the columns have no names");
            return Err((None, (what, format!("set `{channel}.header = true`"))));
        }
        let mut found = (0..names.len()).filter(|at| names[*at] == wanted);
        let (first, second) = (found.next(), found.next());
        if second.is_some() {
            let what = format!("two columns are named {}", shown(wanted.as_bytes()));
            return Err((second, (what, "give every column its own name".into())));
        }
        first.ok_or_else(|| {
            let what = match key {
                "label" => format!("no column is named {}", shown(wanted.as_bytes())),
                _ => format!(
                    "no column is named {}, as {channel}.{key} says",
                    shown(wanted.as_bytes())
                ),
            };
            let meant = nearest(wanted, names.iter().map(String::as_str));
            let help = match (meant.map(|name| shown(name.as_bytes())), key) {
                (Some(meant), "label" | "weight" | "group") => {
                    format!("set `{channel}.{key} = {meant}`")
                }
                (Some(meant), _) => format!("write {meant} under `{channel}.{key}`"),
                (None, _) => format!("the columns are {}", some_names(names)),
            };
            (None, (what, help))
        })
    }

    /// The features that hold words.
    fn words(
        &self,
        roles: &Roles,
        format: &Format,
        before: &Before,
    ) -> Result<BTreeSet<usize>, Misfit> {
        let mut words = BTreeSet::new();
        if let Categorical::Named(wanted) = &format.categorical {
            for name in wanted {
                let column = self.column("categorical", name)?;
                let feature = (0..column).filter(|at| roles.is_feature(*at)).count();
                words.insert(feature);
                if before.known.as_ref().is_some_and(|known| !known.has(feature)) {
                    let what = format!(
                        "{}.categorical names {}, which holds numbers in the training data",
                        self.channel,
                        shown(name.as_bytes())
                    );
                    let help =
                        "name the same columns for every channel, or only for channels.train";
                    return Err((Some(column), (what, help.into())));
                }
            }
        }
        Ok(match (&before.known, &format.categorical) {
            (Some(known), _) => known.features().collect(),
            (None, Categorical::Auto) => before.met.clone(),
            (None, _) => words,
        })
    }
}

/// The first few of the columns' names, for a message.
pub(crate) fn some_names(names: &[String]) -> String {
    const SHOWN_MAX: usize = 8;
    let some: Vec<String> =
        names.iter().take(SHOWN_MAX).map(|name| shown(name.as_bytes())).collect();
    let more = if names.len() > SHOWN_MAX { ", …" } else { "" };
    some.join(", ") + more
}
