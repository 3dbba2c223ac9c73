//! The table of an algorithm's parameters, and the checked values made from it.
//!
//! An algorithm declares a static list of [`Parameter`]; [`check`] turns what the user wrote
//! (TOML values, or strings as SageMaker sends every hyperparameter) into [`Checked`] values, or
//! reports every mistake at once. Rules that tie two parameters together are the algorithm's own:
//! it states them through [`Checked::refuse`].

use std::collections::BTreeMap;
use std::fmt;

use crate::spec::parameter::{RawParameters, RawValue};
use crate::spec::problem::{Problems, nearest};

/// One parameter: what `smrt algorithms NAME` shows and what the checker enforces.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// SageMaker's name.
    pub name: &'static str,
    /// Other names the same thing goes by (`eta` and `learning_rate`).
    pub aliases: &'static [&'static str],
    /// What it may be.
    pub kind: Kind,
    /// What holds when the user says nothing, written as the user would write it;
    /// `None` when the user must say it.
    pub default: Option<&'static str>,
    /// What it does, in one sentence.
    pub meaning: &'static str,
}

/// A parameter with a default and one name.
pub(super) const fn entry(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Parameter {
    aliased(name, &[], kind, default, meaning)
}

/// A parameter with a default and other names besides.
pub(super) const fn aliased(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Parameter {
    Parameter { name, aliases, kind, default: Some(default), meaning }
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number from the first to the second, both allowed.
    Integer(i64, i64),
    /// A finite number.
    Float(Range),
    /// `true` or `false`; also `True`, `1` and their like, as SageMaker's SDK writes them.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, or a value of the second kind.
    WordOr(&'static [&'static str], &'static Kind),
    /// A list of so many values of one kind.
    List {
        /// What each is.
        item: &'static Kind,
        /// At least this many.
        length_min: usize,
        /// At most this many.
        length_max: usize,
    },
    /// Any text.
    Text,
    /// SageMaker has it and smrt cannot honour it: refused by name with this reason, unless the
    /// value is the only one allowed (the default).
    Fixed(&'static str),
}

/// The bounds of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Lower end.
    pub low: End,
    /// Upper end.
    pub high: End,
}

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// No bound but finiteness.
    Open,
    /// The bound itself is allowed.
    With(f64),
    /// The bound itself is not allowed.
    Without(f64),
}

impl Range {
    /// Every finite number.
    pub const ANY: Range = Range { low: End::Open, high: End::Open };
    /// From 0 on.
    pub const FROM_0: Range = Range { low: End::With(0.0), high: End::Open };
    /// Above 0.
    pub const ABOVE_0: Range = Range { low: End::Without(0.0), high: End::Open };
    /// From 0 to 1, both allowed.
    pub const UNIT: Range = Range { low: End::With(0.0), high: End::With(1.0) };
    /// Between 0 and 1, neither allowed.
    pub const INSIDE_UNIT: Range = Range { low: End::Without(0.0), high: End::Without(1.0) };
    /// From 0 to below 1.
    pub const BELOW_1: Range = Range { low: End::With(0.0), high: End::Without(1.0) };

    /// From `low` to `high`, both allowed.
    pub const fn between(low: f64, high: f64) -> Range {
        Range { low: End::With(low), high: End::With(high) }
    }

    /// Whether `number` lies inside. NaN and infinities never do.
    pub fn holds(&self, number: f64) -> bool {
        let low = match self.low {
            End::Open => true,
            End::With(bound) => number >= bound,
            End::Without(bound) => number > bound,
        };
        let high = match self.high {
            End::Open => true,
            End::With(bound) => number <= bound,
            End::Without(bound) => number < bound,
        };
        number.is_finite() && low && high
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = match self.low {
            End::Open => String::new(),
            End::With(bound) => format!("at least {bound}"),
            End::Without(bound) => format!("above {bound}"),
        };
        let high = match self.high {
            End::Open => String::new(),
            End::With(bound) => format!("at most {bound}"),
            End::Without(bound) => format!("below {bound}"),
        };
        match (self.low, self.high) {
            (End::Open, End::Open) => f.write_str("a number"),
            (End::With(low), End::With(high)) => write!(f, "a number from {low} to {high}"),
            _ if low.is_empty() => write!(f, "a number {high}"),
            _ if high.is_empty() => write!(f, "a number {low}"),
            _ => write!(f, "a number {low} and {high}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Integer(low, i64::MAX) => write!(f, "a whole number, at least {low}"),
            Kind::Integer(low, high) => write!(f, "a whole number from {low} to {high}"),
            Kind::Float(range) => range.fmt(f),
            Kind::Boolean => f.write_str("true or false"),
            Kind::Choice(words) => f.write_str(&words.join(", ")),
            Kind::WordOr(words, kind) => write!(f, "{}, or {kind}", words.join(", ")),
            Kind::List { item, length_min, length_max } => {
                write!(f, "a list of {length_min} to {length_max} values, each {item}")
            }
            Kind::Text => f.write_str("text"),
            Kind::Fixed(reason) => write!(f, "only its default: {reason}"),
        }
    }
}

impl Parameter {
    /// The allowed values, in words.
    pub fn range(&self) -> String {
        self.kind.to_string()
    }

    /// The default as shown to a reader.
    pub fn shown_default(&self) -> &'static str {
        self.default.unwrap_or("(required)")
    }
}

/// A value that was checked against its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// From [`Kind::Integer`].
    Integer(i64),
    /// From [`Kind::Float`].
    Float(f64),
    /// From [`Kind::Boolean`].
    Boolean(bool),
    /// From [`Kind::Choice`] and [`Kind::WordOr`], in the table's spelling.
    Word(&'static str),
    /// From [`Kind::Text`] and [`Kind::Fixed`].
    Text(String),
    /// From [`Kind::List`].
    List(Vec<Value>),
}

impl Value {
    fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Boolean(truth) => (*truth).into(),
            Value::Word(word) => (*word).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Value::to_json).collect::<Vec<_>>().into(),
        }
    }
}

/// The parameters of one training, defaults filled in. Made only by [`check`].
///
/// The getters panic when asked for a name that is not in the table, or as another kind than the
/// table says: both are faults of the algorithm, met by its first test.
#[derive(Debug, Clone)]
pub struct Checked {
    values: BTreeMap<&'static str, Value>,
    order: Vec<&'static str>,
    /// Key and line of those the user wrote.
    written: BTreeMap<&'static str, (String, Option<usize>)>,
}

/// Checks everything the user wrote against `table`; `None` when `problems` grew.
pub fn check(
    table: &'static [Parameter],
    raw: &RawParameters,
    problems: &mut Problems,
) -> Option<Checked> {
    let before = problems.list.len();
    let mut checked = Checked {
        values: BTreeMap::new(),
        order: table.iter().map(|parameter| parameter.name).collect(),
        written: BTreeMap::new(),
    };
    for (name, given) in raw {
        let key = format!("hyperparameters.{name}");
        let Some(parameter) = find(table, name) else {
            let all = table.iter().flat_map(|p| std::iter::once(&p.name).chain(p.aliases));
            let help = match nearest(name, all.copied()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => "`smrt algorithms NAME` lists an algorithm's parameters".to_owned(),
            };
            let what = format!("the algorithm has no hyperparameter {name:?}");
            problems.add(key, given.line, what, Some(help));
            continue;
        };
        if let Some((other, _)) = checked.written.get(parameter.name) {
            let what = format!("says the same thing as {other}");
            problems.add(key, given.line, what, Some("keep one of the two".into()));
            continue;
        }
        checked.written.insert(parameter.name, (key.clone(), given.line));
        match read(parameter, &given.value) {
            Some(value) => {
                checked.values.insert(parameter.name, value);
            }
            None => {
                let what = format!("{} is not allowed", given.value);
                let help = format!("allowed: {}", parameter.kind);
                problems.add(key, given.line, what, Some(help));
            }
        }
    }
    for parameter in table {
        if checked.written.contains_key(parameter.name) {
            continue;
        }
        let Some(default) = parameter.default else {
            let key = format!("hyperparameters.{}", parameter.name);
            let help = format!("give {}", parameter.kind);
            problems.add(key, None, "is required and missing", Some(help));
            continue;
        };
        let value = read(parameter, &RawValue::Text(default.to_owned()))
            .expect("a table's defaults are allowed values, which table_is_sound tests");
        checked.values.insert(parameter.name, value);
    }
    (problems.list.len() == before).then_some(checked)
}

/// Whether the table can be used: names and aliases distinct, defaults allowed. For tests; also
/// of a program's own algorithm.
///
/// # Errors
/// A sentence naming the first parameter that is wrong.
pub fn table_is_sound(table: &'static [Parameter]) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for parameter in table {
        for name in std::iter::once(&parameter.name).chain(parameter.aliases) {
            if !seen.insert(*name) {
                return Err(format!("{name} stands twice in the table"));
            }
        }
        if let Some(default) = parameter.default
            && read(parameter, &RawValue::Text(default.to_owned())).is_none()
        {
            return Err(format!("the default of {} is not allowed", parameter.name));
        }
    }
    Ok(())
}

fn find(table: &'static [Parameter], name: &str) -> Option<&'static Parameter> {
    table.iter().find(|p| p.name == name || p.aliases.contains(&name))
}

fn read(parameter: &Parameter, raw: &RawValue) -> Option<Value> {
    if let Kind::Fixed(_) = parameter.kind {
        let text = text_of(raw)?;
        return (parameter.default == Some(text.trim())).then_some(Value::Text(text));
    }
    read_kind(&parameter.kind, raw)
}

fn read_kind(kind: &Kind, raw: &RawValue) -> Option<Value> {
    match kind {
        Kind::Integer(low, high) => {
            integer_of(raw).filter(|n| (low..=high).contains(&n)).map(Value::Integer)
        }
        Kind::Float(range) => float_of(raw).filter(|n| range.holds(*n)).map(Value::Float),
        Kind::Boolean => boolean_of(raw).map(Value::Boolean),
        Kind::Choice(words) => word_of(words, raw).map(Value::Word),
        Kind::WordOr(words, inner) => {
            word_of(words, raw).map(Value::Word).or_else(|| read_kind(inner, raw))
        }
        Kind::List { item, length_min, length_max } => {
            let items = items_of(raw)?;
            let values: Vec<Value> =
                items.iter().map(|raw| read_kind(item, raw)).collect::<Option<_>>()?;
            (*length_min..=*length_max).contains(&values.len()).then_some(Value::List(values))
        }
        Kind::Text | Kind::Fixed(_) => text_of(raw).map(Value::Text),
    }
}

fn integer_of(raw: &RawValue) -> Option<i64> {
    match raw {
        RawValue::Integer(number) => Some(*number),
        RawValue::Float(number) => whole(*number),
        RawValue::Text(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
        }
        _ => None,
    }
}

/// `1e3` and `"10.0"` are whole numbers; SageMaker's tuner writes such.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= 9.0e15).then_some(number as i64)
}

fn float_of(raw: &RawValue) -> Option<f64> {
    match raw {
        RawValue::Integer(number) => Some(*number as f64),
        RawValue::Float(number) => Some(*number),
        RawValue::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn boolean_of(raw: &RawValue) -> Option<bool> {
    match raw {
        RawValue::Boolean(truth) => Some(*truth),
        RawValue::Integer(0) => Some(false),
        RawValue::Integer(1) => Some(true),
        RawValue::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn word_of(words: &'static [&'static str], raw: &RawValue) -> Option<&'static str> {
    let text = text_of(raw)?;
    words.iter().find(|word| word.eq_ignore_ascii_case(text.trim())).copied()
}

fn text_of(raw: &RawValue) -> Option<String> {
    match raw {
        RawValue::Text(text) => Some(text.clone()),
        RawValue::List(_) => None,
        other => Some(other.to_string()),
    }
}

/// A list as TOML gives it, or as text: `[64, 32]`, `64,32` or `64`.
fn items_of(raw: &RawValue) -> Option<Vec<RawValue>> {
    match raw {
        RawValue::List(items) => Some(items.clone()),
        RawValue::Text(text) => {
            let text = text.trim();
            let inner = match text.strip_prefix('[') {
                Some(rest) => rest.strip_suffix(']')?,
                None => text,
            };
            if inner.trim().is_empty() {
                return Some(Vec::new());
            }
            let unquoted =
                |item: &str| item.trim().trim_matches(|c| matches!(c, '"' | '\'')).to_owned();
            Some(inner.split(',').map(|item| RawValue::Text(unquoted(item))).collect())
        }
        single => Some(vec![single.clone()]),
    }
}

impl Checked {
    fn value(&self, name: &str) -> &Value {
        self.values.get(name).expect("the algorithm asks for a parameter of its own table")
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> i64 {
        self.integer_or_auto(name).expect("the table says it is a whole number")
    }

    /// A whole number that the table keeps from being negative.
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.integer(name)).expect("the table's range starts at 0 or above")
    }

    /// A whole number, or `None` when it is a word (`auto`).
    pub fn integer_or_auto(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A number that the table keeps from being negative, or `None` when it is a word (`auto`).
    pub fn size_or_auto(&self, name: &str) -> Option<usize> {
        self.integer_or_auto(name).map(|n| usize::try_from(n).expect("the range starts at 0"))
    }

    /// A number.
    pub fn float(&self, name: &str) -> f64 {
        self.float_or_auto(name).expect("the table says it is a number")
    }

    /// A number, or `None` when it is a word (`auto`).
    pub fn float_or_auto(&self, name: &str) -> Option<f64> {
        match self.value(name) {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// A truth value.
    pub fn boolean(&self, name: &str) -> bool {
        self.boolean_or_auto(name).expect("the table says it is true or false")
    }

    /// A truth value, or `None` when it is a word (`auto`).
    pub fn boolean_or_auto(&self, name: &str) -> Option<bool> {
        match self.value(name) {
            Value::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// A word of a choice.
    pub fn word(&self, name: &str) -> &'static str {
        self.word_if_any(name).expect("the table says it is one of some words")
    }

    /// The word, when it is one and not a value.
    pub fn word_if_any(&self, name: &str) -> Option<&'static str> {
        match self.value(name) {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Text.
    pub fn text(&self, name: &str) -> &str {
        match self.value(name) {
            Value::Text(text) => text,
            Value::Word(word) => word,
            _ => panic!("the table says {name} is text"),
        }
    }

    /// A list of whole numbers that the table keeps from being negative.
    pub fn sizes(&self, name: &str) -> Vec<usize> {
        let Value::List(items) = self.value(name) else { panic!("{name} is a list") };
        let size = |value: &Value| match value {
            Value::Integer(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        items.iter().map(|v| size(v).expect("the table says whole numbers from 0")).collect()
    }

    /// A list of numbers.
    pub fn floats(&self, name: &str) -> Vec<f64> {
        let Value::List(items) = self.value(name) else { panic!("{name} is a list") };
        let float = |value: &Value| match value {
            Value::Float(number) => Some(*number),
            _ => None,
        };
        items.iter().map(|v| float(v).expect("the table says numbers")).collect()
    }

    /// A list of words of a choice.
    pub fn words(&self, name: &str) -> Vec<&'static str> {
        let Value::List(items) = self.value(name) else { panic!("{name} is a list") };
        let word = |value: &Value| match value {
            Value::Word(word) => Some(*word),
            _ => None,
        };
        items.iter().map(|v| word(v).expect("the table says words")).collect()
    }

    /// Whether the user wrote it, under this name or an alias.
    pub fn is_given(&self, name: &str) -> bool {
        self.written.contains_key(name)
    }

    /// Reports a mistake about `name`, at the key and line the user wrote it.
    pub fn refuse(
        &self,
        problems: &mut Problems,
        name: &str,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (key, line) = match self.written.get(name) {
            Some((key, line)) => (key.clone(), *line),
            None => (format!("hyperparameters.{name}"), None),
        };
        problems.add(key, line, what, Some(help.into()));
    }

    /// Replaces `auto` by what it came to, so that the manifest says what was used.
    pub fn settle(&mut self, name: &'static str, value: Value) {
        self.values.insert(name, value);
    }

    /// Every parameter in effect, in the table's order, for the manifest.
    pub fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        let entry = |name: &&'static str| {
            self.values.get(name).map(|value| ((*name).to_owned(), value.to_json()))
        };
        self.order.iter().filter_map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parameter::Raw;

    static TABLE: &[Parameter] = &[
        Parameter {
            name: "predictor_type",
            aliases: &[],
            kind: Kind::Choice(&["binary_classifier", "regressor"]),
            default: None,
            meaning: "What to learn.",
        },
        Parameter {
            name: "epochs",
            aliases: &[],
            kind: Kind::Integer(1, i64::MAX),
            default: Some("15"),
            meaning: "Passes.",
        },
        Parameter {
            name: "eta",
            aliases: &["learning_rate"],
            kind: Kind::WordOr(&["auto"], &Kind::Float(Range::ABOVE_0)),
            default: Some("auto"),
            meaning: "Step size.",
        },
        Parameter {
            name: "use_bias",
            aliases: &[],
            kind: Kind::Boolean,
            default: Some("true"),
            meaning: "Bias.",
        },
        Parameter {
            name: "hidden_layers",
            aliases: &[],
            kind: Kind::List { item: &Kind::Integer(1, 4096), length_min: 0, length_max: 4 },
            default: Some("[64, 32]"),
            meaning: "Widths.",
        },
        Parameter {
            name: "init_method",
            aliases: &[],
            kind: Kind::Fixed("weights start at zero"),
            default: Some("zero"),
            meaning: "Start.",
        },
    ];

    fn raw(pairs: &[(&str, RawValue)]) -> RawParameters {
        let entry = |(at, (name, value)): (usize, &(&str, RawValue))| {
            ((*name).to_owned(), Raw { value: value.clone(), line: Some(at + 1) })
        };
        pairs.iter().enumerate().map(entry).collect()
    }

    fn text(text: &str) -> RawValue {
        RawValue::Text(text.into())
    }

    fn mistakes(pairs: &[(&str, RawValue)]) -> Vec<(String, String, String)> {
        let mut problems = Problems::default();
        assert!(check(TABLE, &raw(pairs), &mut problems).is_none());
        let line = |p: crate::spec::problem::Problem| (p.key, p.what, p.help.unwrap_or_default());
        problems.list.into_iter().map(line).collect()
    }

    #[test]
    fn the_table_is_sound() {
        table_is_sound(TABLE).unwrap();
    }

    #[test]
    fn toml_values_and_sagemakers_strings_mean_the_same() {
        let mut problems = Problems::default();
        let typed = raw(&[
            ("predictor_type", text("regressor")),
            ("epochs", RawValue::Integer(3)),
            ("learning_rate", RawValue::Float(0.5)),
            ("use_bias", RawValue::Boolean(false)),
            ("hidden_layers", RawValue::List(vec![RawValue::Integer(8)])),
        ]);
        let strings = raw(&[
            ("predictor_type", text("regressor")),
            ("epochs", text("3.0")),
            ("eta", text(" 0.5")),
            ("use_bias", text("False")),
            ("hidden_layers", text("[8]")),
        ]);
        let typed = check(TABLE, &typed, &mut problems).unwrap();
        let strings = check(TABLE, &strings, &mut problems).unwrap();
        assert_eq!(typed.values, strings.values);
        assert_eq!(typed.size("epochs"), 3);
        assert_eq!(typed.float_or_auto("eta"), Some(0.5));
        assert!(!typed.boolean("use_bias"));
        assert_eq!(typed.sizes("hidden_layers"), [8]);
        assert!(typed.is_given("eta"));
        assert!(!typed.is_given("init_method"));
    }

    #[test]
    fn defaults_fill_in_what_the_user_left_out() {
        let mut problems = Problems::default();
        let raw = raw(&[("predictor_type", text("Regressor"))]);
        let checked = check(TABLE, &raw, &mut problems).unwrap();
        assert_eq!(checked.word("predictor_type"), "regressor");
        assert_eq!(checked.float_or_auto("eta"), None);
        assert_eq!(checked.sizes("hidden_layers"), [64, 32]);
        let json = serde_json::Value::from(checked.effective()).to_string();
        assert_eq!(
            json,
            r#"{"predictor_type":"regressor","epochs":15,"eta":"auto","use_bias":true,"hidden_layers":[64,32],"init_method":"zero"}"#
        );
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let found = mistakes(&[
            ("epoch", RawValue::Integer(3)),
            ("epochs", RawValue::Integer(0)),
            ("eta", text("nan")),
            ("hidden_layers", text("[8, x]")),
            ("init_method", text("uniform")),
            ("learning_rate", RawValue::Float(0.1)),
            ("use_bias", text("yes")),
        ]);
        let expected = [
            ("epoch", "the algorithm has no hyperparameter \"epoch\"", "did you mean \"epochs\"?"),
            ("epochs", "0 is not allowed", "allowed: a whole number, at least 1"),
            ("eta", "\"nan\" is not allowed", "allowed: auto, or a number above 0"),
            (
                "hidden_layers",
                "\"[8, x]\" is not allowed",
                "allowed: a list of 0 to 4 values, each a whole number from 1 to 4096",
            ),
            (
                "init_method",
                "\"uniform\" is not allowed",
                "allowed: only its default: weights start at zero",
            ),
            ("learning_rate", "says the same thing as hyperparameters.eta", "keep one of the two"),
            ("use_bias", "\"yes\" is not allowed", "allowed: true or false"),
            ("predictor_type", "is required and missing", "give binary_classifier, regressor"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.0, format!("hyperparameters.{}", expected.0));
            assert_eq!((found.1.as_str(), found.2.as_str()), (expected.1, expected.2));
        }
    }

    #[test]
    fn ranges_keep_their_ends() {
        assert!(Range::UNIT.holds(0.0) && Range::UNIT.holds(1.0));
        assert!(!Range::INSIDE_UNIT.holds(0.0) && !Range::INSIDE_UNIT.holds(1.0));
        assert!(Range::BELOW_1.holds(0.0) && !Range::BELOW_1.holds(1.0));
        assert!(!Range::ANY.holds(f64::NAN) && !Range::ANY.holds(f64::INFINITY));
    }
}
