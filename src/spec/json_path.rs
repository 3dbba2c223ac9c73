//! The JSONPath that SageMaker's batch transform knows: `$`, `.name`, `['a','b']`, `[0,-1]`,
//! `[1:]` and `*`, at most 63 characters. What it chooses is found by the room `transform`.
//!
//! Source: "Associate Prediction Results with their Corresponding Input", SageMaker AI Developer
//! Guide, and the bounds of `DataProcessing` in the API reference.

use std::fmt;

use super::limit::JSON_PATH_CHARS_MAX;

/// A checked path. The empty one, `$`, is the whole record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonPath {
    /// From the record inwards.
    pub steps: Vec<Step>,
}

/// One step inwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `.name`, `['name']` or `['a','b']`; never empty.
    Names(Vec<String>),
    /// `[0]` or `[0,-1]`, negative ones from the end; never empty.
    Indices(Vec<i64>),
    /// `[start:end]`, either of which may be left out.
    Slice(Option<i64>, Option<i64>),
    /// `.*` or `[*]`
    All,
}

const HOW: &str = "write a path such as $[1:], $[0,-1], $.features or $['id','SageMakerOutput']";

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, and how to write one.
    pub fn parse(text: &str) -> Result<JsonPath, (String, Option<String>)> {
        let wrong = |what: &str| (format!("{text:?} {what}"), Some(HOW.to_owned()));
        if text.chars().count() > JSON_PATH_CHARS_MAX {
            let what = format!("has more than {JSON_PATH_CHARS_MAX} characters");
            return Err((
                format!("the path {what}"),
                Some(format!("SageMaker takes {JSON_PATH_CHARS_MAX}")),
            ));
        }
        let Some(mut rest) = text.strip_prefix('$') else {
            return Err(wrong("does not begin with $, the record"));
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('.') {
                // `$.field.['a','b']` is how SageMaker's own pages write it.
                Some(after) if after.starts_with('[') => bracket(&after[1..]),
                Some(after) if after.starts_with('.') => {
                    return Err(wrong(
                        "searches at every depth (..), which SageMaker does not know",
                    ));
                }
                Some(after) => name(after),
                None if rest.starts_with('[') => bracket(&rest[1..]),
                None => return Err(wrong("has something between its steps")),
            }
            .ok_or_else(|| wrong("is not a path SageMaker knows"))?;
            steps.push(step);
            rest = after;
        }
        Ok(JsonPath { steps })
    }

    /// Whether it is the whole record.
    pub fn is_whole(&self) -> bool {
        self.steps.is_empty()
    }
}

/// `name…` or `*…` to the step and what comes after it.
fn name(text: &str) -> Option<(Step, &str)> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    let step = match name {
        "" => return None,
        "*" => Step::All,
        name if name.contains([']', '\'', '"', ' ', '(', ')', '@', '?']) => return None,
        name => Step::Names(vec![name.to_owned()]),
    };
    Some((step, after))
}

/// What follows `[`.
fn bracket(text: &str) -> Option<(Step, &str)> {
    let text = text.trim_start();
    if text.starts_with(['\'', '"']) {
        return names(text);
    }
    let (inside, after) = text.split_once(']')?;
    let inside = inside.trim();
    let whole = |text: &str| text.trim().parse::<i64>().ok();
    let step = if inside == "*" {
        Step::All
    } else if let Some((start, end)) = inside.split_once(':') {
        let bound = |text: &str| match text.trim() {
            "" => Some(None),
            text => whole(text).map(Some),
        };
        Step::Slice(bound(start)?, bound(end)?)
    } else {
        Step::Indices(inside.split(',').map(whole).collect::<Option<_>>()?)
    };
    Some((step, after))
}

/// `'a','b']…`
fn names(mut text: &str) -> Option<(Step, &str)> {
    let mut names = Vec::new();
    loop {
        text = text.trim_start();
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (name, after) = text[1..].split_once(quote)?;
        if name.is_empty() {
            return None;
        }
        names.push(name.to_owned());
        text = after.trim_start();
        match text.chars().next()? {
            ',' => text = &text[1..],
            ']' => return Some((Step::Names(names), &text[1..])),
            _ => return None,
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        let joined = |items: Vec<String>| items.join(",");
        for step in &self.steps {
            match step {
                Step::Names(names) => {
                    let quoted = names.iter().map(|name| format!("'{name}'")).collect();
                    write!(f, "[{}]", joined(quoted))?;
                }
                Step::Indices(list) => {
                    write!(f, "[{}]", joined(list.iter().map(i64::to_string).collect()))?;
                }
                Step::Slice(start, end) => {
                    let shown =
                        |bound: &Option<i64>| bound.map_or(String::new(), |n| n.to_string());
                    write!(f, "[{}:{}]", shown(start), shown(end))?;
                }
                Step::All => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<Step> {
        JsonPath::parse(text).unwrap().steps
    }

    fn names(names: &[&str]) -> Step {
        Step::Names(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn every_operator_that_sagemaker_documents_is_read() {
        assert!(JsonPath::parse("$").unwrap().is_whole());
        assert_eq!(steps("$.features"), [names(&["features"])]);
        assert_eq!(steps("$.a.b[2]"), [names(&["a"]), names(&["b"]), Step::Indices(vec![2])]);
        assert_eq!(steps("$['id','SageMakerOutput']"), [names(&["id", "SageMakerOutput"])]);
        assert_eq!(
            steps("$.field1.['child1', 'child2']"),
            [names(&["field1"]), names(&["child1", "child2"])]
        );
        assert_eq!(steps("$[0,-1]"), [Step::Indices(vec![0, -1])]);
        assert_eq!(steps("$[1:]"), [Step::Slice(Some(1), None)]);
        assert_eq!(steps("$[:-1]"), [Step::Slice(None, Some(-1))]);
        assert_eq!(steps("$[2:5]"), [Step::Slice(Some(2), Some(5))]);
        assert_eq!(steps("$[*].score"), [Step::All, names(&["score"])]);
        assert_eq!(steps("$.*"), [Step::All]);
    }

    #[test]
    fn what_sagemaker_does_not_know_is_refused_with_an_example() {
        for text in [
            "",
            "features",
            "$features",
            "$.",
            "$[",
            "$[]",
            "$[a]",
            "$['a'",
            "$['']",
            "$..a",
            "$[?(@.a)]",
            "$.a b",
            "$[1:2:3]",
            "$[1,]",
            "$['a',]",
            "$]",
        ] {
            let (_, help) = JsonPath::parse(text).unwrap_err();
            assert!(help.unwrap().contains("$['id','SageMakerOutput']"), "{text}");
        }
        let long = format!("$.{}", "a".repeat(JSON_PATH_CHARS_MAX));
        assert!(JsonPath::parse(&long).is_err());
        assert!(JsonPath::parse(&long[..JSON_PATH_CHARS_MAX]).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn a_path_reads_back_as_it_is_shown(text in "\\$([.]?\\[(-?[0-9]{1,2}|[0-9]?:[0-9]?|'[a-c]','d'|\\*)\\]|\\.[a-z*]){0,6}") {
            if let Ok(path) = JsonPath::parse(&text) {
                let shown = path.to_string();
                if shown.len() <= JSON_PATH_CHARS_MAX {
                    proptest::prop_assert_eq!(JsonPath::parse(&shown), Ok(path));
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,70}") {
            let _ = JsonPath::parse(&text);
        }
    }
}
