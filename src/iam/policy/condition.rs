//! One condition of a statement: an operator, a key and the values it is held against.
//!
//! Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Set operators for
//! multivalued context keys".

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::arn::{Arn, ArnPattern};
use super::context::Context;
use super::net::{self, Net};
use super::pattern::{Grammar, Pattern};
use crate::iam::time;

/// What is compared, without negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Text,
    TextIgnoreCase,
    TextLike,
    Number(Order),
    Date(Order),
    Truth,
    Binary,
    Address,
    Arn,
    Null,
}

/// The value of the request stands to the policy's as …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds(self, value: f64, policy: f64) -> bool {
        match self {
            Order::Equal => value == policy,
            Order::Less => value < policy,
            Order::LessOrEqual => value <= policy,
            Order::Greater => value > policy,
            Order::GreaterOrEqual => value >= policy,
        }
    }
}

/// Every operator: its name, what it compares, whether it is negated.
const OPERATORS: &[(&str, Base, bool)] = &[
    ("StringEquals", Base::Text, false),
    ("StringNotEquals", Base::Text, true),
    ("StringEqualsIgnoreCase", Base::TextIgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Base::TextIgnoreCase, true),
    ("StringLike", Base::TextLike, false),
    ("StringNotLike", Base::TextLike, true),
    ("NumericEquals", Base::Number(Order::Equal), false),
    ("NumericNotEquals", Base::Number(Order::Equal), true),
    ("NumericLessThan", Base::Number(Order::Less), false),
    ("NumericLessThanEquals", Base::Number(Order::LessOrEqual), false),
    ("NumericGreaterThan", Base::Number(Order::Greater), false),
    ("NumericGreaterThanEquals", Base::Number(Order::GreaterOrEqual), false),
    ("DateEquals", Base::Date(Order::Equal), false),
    ("DateNotEquals", Base::Date(Order::Equal), true),
    ("DateLessThan", Base::Date(Order::Less), false),
    ("DateLessThanEquals", Base::Date(Order::LessOrEqual), false),
    ("DateGreaterThan", Base::Date(Order::Greater), false),
    ("DateGreaterThanEquals", Base::Date(Order::GreaterOrEqual), false),
    ("Bool", Base::Truth, false),
    ("BinaryEquals", Base::Binary, false),
    ("IpAddress", Base::Address, false),
    ("NotIpAddress", Base::Address, true),
    ("ArnEquals", Base::Arn, false),
    ("ArnNotEquals", Base::Arn, true),
    ("ArnLike", Base::Arn, false),
    ("ArnNotLike", Base::Arn, true),
    ("Null", Base::Null, false),
];

/// How several values of a request count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// There may be one only.
    One,
    All,
    Any,
}

/// An operator as a policy writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operator {
    base: Base,
    negated: bool,
    set: Set,
    if_exists: bool,
}

impl Operator {
    /// Reads `ForAllValues:StringLikeIfExists` and the like.
    pub(super) fn parse(text: &str) -> Option<Operator> {
        let (set, rest) = match text.split_once(':') {
            Some(("ForAllValues", rest)) => (Set::All, rest),
            Some(("ForAnyValue", rest)) => (Set::Any, rest),
            Some(_) => return None,
            None => (Set::One, text),
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        let (_, base, negated) = OPERATORS.iter().find(|(known, ..)| *known == name)?;
        // Whether a key is there is neither asked of a set nor only where it is there.
        let lone = *base != Base::Null || (set == Set::One && !if_exists);
        lone.then_some(Operator { base: *base, negated: *negated, set, if_exists })
    }

    /// Every name, without set and `IfExists`.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        OPERATORS.iter().map(|(name, ..)| *name)
    }
}

/// The policy's values, each compiled.
#[derive(Debug, Clone, PartialEq)]
enum Values {
    Texts(Vec<Pattern>),
    Numbers(Order, Vec<f64>),
    Dates(Order, Vec<f64>),
    Truths(Vec<bool>),
    Binaries(Vec<Vec<u8>>),
    Nets(Vec<Net>),
    Arns(Vec<ArnPattern>),
    Absent(Vec<bool>),
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    /// As written.
    pub(super) operator_text: String,
    /// As written.
    pub(super) key_text: String,
    /// As written.
    pub(super) values_text: Vec<String>,
    operator: Operator,
    key: String,
    values: Values,
}

/// Reads the values one by one; a wrong one is told with its number.
fn each<T>(
    texts: &[String],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, (usize, String)> {
    texts.iter().enumerate().map(|(at, text)| read(text).map_err(|why| (at, why))).collect()
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is not true or false".into()),
    }
}

impl Condition {
    /// Compiles a condition, or says which value is wrong, and why.
    pub(super) fn compile(
        operator_text: &str,
        operator: Operator,
        key: &str,
        texts: &[String],
        variables: bool,
    ) -> Result<Condition, (usize, String)> {
        let pattern = |wildcards, caseless| {
            move |text: &str| Pattern::compile(text, Grammar { wildcards, variables, caseless })
        };
        let some = |what: &'static str| move || what.to_owned();
        let values = match operator.base {
            Base::Text => Values::Texts(each(texts, pattern(false, false))?),
            Base::TextIgnoreCase => Values::Texts(each(texts, pattern(false, true))?),
            Base::TextLike => Values::Texts(each(texts, pattern(true, false))?),
            Base::Number(order) => Values::Numbers(
                order,
                each(texts, |text| number(text).ok_or_else(some("is not a number")))?,
            ),
            Base::Date(order) => Values::Dates(
                order,
                each(texts, |text| {
                    time::date(text).ok_or_else(some("is not a date such as 2026-11-25T19:00:00Z"))
                })?,
            ),
            Base::Truth => Values::Truths(each(texts, boolean)?),
            Base::Binary => Values::Binaries(each(texts, |text| {
                STANDARD.decode(text).map_err(|_| "is not base64".to_owned())
            })?),
            Base::Address => Values::Nets(each(texts, |text| {
                Net::parse(text).ok_or_else(some("is not an address or range such as 10.0.0.0/8"))
            })?),
            Base::Arn => Values::Arns(each(texts, |text| ArnPattern::compile(text, variables))?),
            Base::Null => Values::Absent(each(texts, boolean)?),
        };
        Ok(Condition {
            operator_text: operator_text.into(),
            key_text: key.into(),
            values_text: texts.to_vec(),
            operator,
            key: key.to_lowercase(),
            values,
        })
    }

    /// Whether the request keeps it.
    pub(super) fn holds(&self, context: &Context) -> bool {
        let given = context.values(&self.key);
        let Operator { negated, set, if_exists, .. } = self.operator;
        if let Values::Absent(wanted) = &self.values {
            return wanted.contains(&given.is_empty());
        }
        if given.is_empty() {
            return match set {
                Set::One => negated || if_exists,
                Set::All => true,
                // Not with IfExists either: there is no value that could be the one.
                Set::Any => false,
            };
        }
        match (set, given) {
            (Set::One, [one]) => self.one_holds(one, context),
            // What an operator for one value means for several is not defined: nothing.
            (Set::One, _) => false,
            (Set::All, all) => all.iter().all(|value| self.one_holds(value, context)),
            (Set::Any, all) => all.iter().any(|value| self.one_holds(value, context)),
        }
    }

    /// What the request has for the key.
    pub(super) fn given<'a>(&self, context: &'a Context) -> &'a [String] {
        context.values(&self.key)
    }

    /// One value of the request against all of the policy's: any of them, or, negated, none.
    fn one_holds(&self, value: &str, context: &Context) -> bool {
        match self.any_fits(value, context) {
            // A variable that is not known may have named this very value.
            Some(false) if self.operator.negated && self.is_open(context) => false,
            Some(fits) => fits != self.operator.negated,
            // A value of another kind keeps no condition, negated or not.
            None => false,
        }
    }

    /// Whether a value has a variable that is not known.
    fn is_open(&self, context: &Context) -> bool {
        match &self.values {
            Values::Texts(patterns) => patterns.iter().any(|pattern| pattern.is_open(context)),
            Values::Arns(patterns) => patterns.iter().any(|pattern| pattern.is_open(context)),
            _ => false,
        }
    }

    fn any_fits(&self, value: &str, context: &Context) -> Option<bool> {
        Some(match &self.values {
            Values::Texts(patterns) if self.operator.base == Base::TextIgnoreCase => {
                let value = value.to_lowercase();
                patterns.iter().any(|pattern| pattern.fits(&value, context))
            }
            Values::Texts(patterns) => patterns.iter().any(|pattern| pattern.fits(value, context)),
            Values::Numbers(order, numbers) => {
                let value = number(value)?;
                numbers.iter().any(|policy| order.holds(value, *policy))
            }
            Values::Dates(order, dates) => {
                let value = time::date(value)?;
                dates.iter().any(|policy| order.holds(value, *policy))
            }
            Values::Truths(truths) => truths.contains(&boolean(value).ok()?),
            Values::Binaries(all) => {
                let value = STANDARD.decode(value).ok()?;
                all.contains(&value)
            }
            Values::Nets(nets) => {
                let value: IpAddr = net::address(value)?;
                nets.iter().any(|net| net.holds(value))
            }
            Values::Arns(patterns) => {
                let arn = Arn::of(value);
                patterns.iter().any(|pattern| pattern.fits(arn, context))
            }
            Values::Absent(_) => return None,
        })
    }
}

/// A decimal number; no infinity and no `nan`.
fn number(text: &str) -> Option<f64> {
    let plain =
        text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|value: &f64| plain && value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(operator: &str, values: &[&str], given: &[&str]) -> bool {
        let texts: Vec<String> = values.iter().map(|text| (*text).to_owned()).collect();
        let parsed = Operator::parse(operator).expect(operator);
        let condition = Condition::compile(operator, parsed, "Key", &texts, true).unwrap();
        let mut context = Context::new().with("aws:username", "bob");
        context.set_all("kEY", given.iter().map(|text| (*text).to_owned()).collect());
        condition.holds(&context)
    }

    #[test]
    fn each_operator_compares_as_its_name_says() {
        for (operator, value, yes, no) in [
            ("StringEquals", "a*", "a*", "ab"),
            ("StringEquals", "${aws:username}", "bob", "${aws:username}"),
            ("StringNotEquals", "a", "b", "a"),
            ("StringEqualsIgnoreCase", "Ab", "aB", "abc"),
            ("StringNotEqualsIgnoreCase", "Ab", "b", "aB"),
            ("StringLike", "ml.m5.*", "ml.m5.large", "ml.p5.large"),
            ("StringNotLike", "ml.*", "x", "ml.x"),
            ("NumericEquals", "10", "10.0", "11"),
            ("NumericNotEquals", "10", "11", "10"),
            ("NumericLessThan", "10", "9", "10"),
            ("NumericLessThanEquals", "10", "10", "10.5"),
            ("NumericGreaterThan", "-1", "0", "-1"),
            ("NumericGreaterThanEquals", "1e3", "1000", "999"),
            ("DateEquals", "2026-01-01T00:00:00Z", "1767225600", "2026-01-02T00:00:00Z"),
            ("DateNotEquals", "2026-01-01", "2026-01-02", "2026-01-01"),
            ("DateLessThan", "2026-01-01", "2025-12-31T23:59:59Z", "2026-01-01"),
            ("DateLessThanEquals", "2026-01-01", "2026-01-01", "2026-01-02"),
            ("DateGreaterThan", "2026-01-01", "2026-01-02", "2026-01-01"),
            ("DateGreaterThanEquals", "2026-01-01", "2026-01-01", "2025-12-31"),
            ("Bool", "true", "TRUE", "false"),
            ("BinaryEquals", "QUI=", "QUI=", "QUM="),
            ("IpAddress", "10.0.0.0/8", "10.1.2.3", "11.0.0.1"),
            ("NotIpAddress", "10.0.0.0/8", "11.0.0.1", "10.1.2.3"),
            ("ArnEquals", "arn:aws:s3:::a*", "arn:aws:s3:::ab", "arn:aws:s3:::b"),
            (
                "ArnLike",
                "arn:aws:iam::*:role/x",
                "arn:aws:iam::1:role/x",
                "arn:aws:iam:x:y:1:role/x",
            ),
            ("ArnNotEquals", "arn:aws:s3:::a", "arn:aws:s3:::b", "arn:aws:s3:::a"),
            ("ArnNotLike", "arn:aws:s3:::a*", "arn:aws:s3:::b", "arn:aws:s3:::ab"),
        ] {
            assert!(holds(operator, &[value], &[yes]), "{operator} {value} {yes}");
            assert!(!holds(operator, &[value], &[no]), "{operator} {value} {no}");
        }
        assert_eq!(OPERATORS.len(), 27);
    }

    #[test]
    fn an_absent_key_keeps_only_what_speaks_of_absence() {
        for (operator, value, kept) in [
            ("StringEquals", "a", false),
            ("StringNotEquals", "a", true),
            ("StringEqualsIfExists", "a", true),
            ("NumericLessThan", "1", false),
            ("NumericLessThanIfExists", "1", true),
            ("NotIpAddress", "10.0.0.0/8", true),
            ("ArnNotLike", "arn:aws:s3:::a", true),
            ("ForAllValues:StringEquals", "a", true),
            ("ForAllValues:StringNotEquals", "a", true),
            ("ForAnyValue:StringEquals", "a", false),
            ("ForAnyValue:StringNotEquals", "a", false),
            ("ForAnyValue:StringEqualsIfExists", "a", false),
            ("Null", "true", true),
            ("Null", "false", false),
        ] {
            assert_eq!(holds(operator, &[value], &[]), kept, "{operator}");
        }
    }

    #[test]
    fn several_values_of_a_policy_are_alternatives_and_none_of_them_when_negated() {
        assert!(holds("StringEquals", &["a", "b"], &["b"]));
        assert!(!holds("StringNotEquals", &["a", "b"], &["b"]));
        assert!(holds("StringNotEquals", &["a", "b"], &["c"]));
        assert!(holds("Null", &["true", "false"], &[]));
    }

    #[test]
    fn several_values_of_a_request_need_a_set_operator() {
        assert!(!holds("StringEquals", &["a", "b"], &["a", "b"]));
        assert!(!holds("StringNotEquals", &["x"], &["a", "b"]));
        assert!(holds("ForAllValues:StringEquals", &["a", "b", "c"], &["a", "b"]));
        assert!(!holds("ForAllValues:StringEquals", &["a"], &["a", "b"]));
        assert!(holds("ForAnyValue:StringEquals", &["a"], &["a", "b"]));
        assert!(!holds("ForAnyValue:StringEquals", &["x"], &["a", "b"]));
        assert!(!holds("ForAllValues:StringNotEquals", &["a"], &["a", "b"]));
        assert!(holds("ForAnyValue:StringNotEquals", &["a"], &["a", "b"]));
    }

    #[test]
    fn operators_that_do_not_exist_are_not_read() {
        for text in ["", "stringequals", "StringEqual", "ForSome:StringEquals", "NullIfExists"] {
            assert_eq!(Operator::parse(text), None, "{text}");
        }
        assert_eq!(Operator::parse("ForAnyValue:Null"), None);
    }

    #[test]
    fn a_value_of_another_kind_keeps_no_condition() {
        assert!(!holds("NumericEquals", &["1"], &["x"]));
        assert!(!holds("NumericNotEquals", &["1"], &["x"]));
        assert!(!holds("NotIpAddress", &["10.0.0.0/8"], &["x"]));
        assert!(!holds("Bool", &["true"], &["yes"]));
        for (operator, value) in [
            ("NumericEquals", "inf"),
            ("DateEquals", "soon"),
            ("Bool", "yes"),
            ("IpAddress", "10.0.0.0/40"),
            ("ArnLike", "fraud"),
            ("BinaryEquals", "?"),
            ("StringEquals", "${"),
        ] {
            let parsed = Operator::parse(operator).unwrap();
            let texts = vec![value.to_owned()];
            assert!(Condition::compile(operator, parsed, "k", &texts, true).is_err(), "{operator}");
        }
    }
}
