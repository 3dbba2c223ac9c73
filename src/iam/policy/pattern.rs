//! Texts of a policy with wildcards and variables, compiled so that what is put in for a variable
//! is never taken for a wildcard.

use std::borrow::Cow;

use super::context::Context;

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    /// `*`.
    Any,
    /// `?`.
    One,
    /// `${key}` or `${key, 'default'}`, the key in lower case.
    Variable(String, Option<String>),
}

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grammar {
    /// Whether `*` and `?` are wildcards.
    pub(super) wildcards: bool,
    /// Whether `${…}` is a variable: not in policies of 2008.
    pub(super) variables: bool,
    /// Whether case is ignored.
    pub(super) caseless: bool,
}

/// A compiled text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
    variables: bool,
    caseless: bool,
}

impl Pattern {
    /// Compiles `text`, or says what is wrong with a variable in it.
    pub(super) fn compile(text: &str, grammar: Grammar) -> Result<Pattern, String> {
        let mut tokens = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        let flush = |literal: &mut String, tokens: &mut Vec<Token>| {
            if !literal.is_empty() {
                tokens.push(Token::Text(std::mem::take(literal)));
            }
        };
        while let Some(c) = rest.chars().next() {
            if grammar.variables && rest.starts_with("${") {
                let end = rest.find('}').ok_or("a variable begins with ${ and has no }")?;
                let inner = &rest[2..end];
                rest = &rest[end + 1..];
                match inner {
                    "*" | "?" | "$" => literal.push_str(inner),
                    _ => {
                        flush(&mut literal, &mut tokens);
                        tokens.push(variable(inner)?);
                    }
                }
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match c {
                '*' if grammar.wildcards => {
                    flush(&mut literal, &mut tokens);
                    if tokens.last() != Some(&Token::Any) {
                        tokens.push(Token::Any);
                    }
                }
                '?' if grammar.wildcards => {
                    flush(&mut literal, &mut tokens);
                    tokens.push(Token::One);
                }
                c if grammar.caseless => literal.extend(c.to_lowercase()),
                c => literal.push(c),
            }
        }
        flush(&mut literal, &mut tokens);
        Ok(Pattern::of(tokens, grammar.caseless))
    }

    fn of(tokens: Vec<Token>, caseless: bool) -> Pattern {
        let variables = tokens.iter().any(|token| matches!(token, Token::Variable(..)));
        Pattern { tokens, variables, caseless }
    }

    /// The pattern cut at its first `cuts` colons; a colon within a variable is none.
    pub(super) fn split(self, cuts: usize) -> Vec<Pattern> {
        let caseless = self.caseless;
        let mut parts = vec![Vec::new()];
        for token in self.tokens {
            let Token::Text(text) = token else {
                parts.last_mut().expect("never empty").push(token);
                continue;
            };
            let left = cuts + 1 - parts.len();
            for (at, piece) in text.splitn(left + 1, ':').enumerate() {
                if at > 0 {
                    parts.push(Vec::new());
                }
                if !piece.is_empty() {
                    parts.last_mut().expect("never empty").push(Token::Text(piece.into()));
                }
            }
        }
        parts.into_iter().map(|tokens| Pattern::of(tokens, caseless)).collect()
    }

    /// Whether it stands for every text.
    pub(super) fn is_any(&self) -> bool {
        self.tokens == [Token::Any]
    }

    /// Whether `text` fits. A caseless pattern is asked about text in lower case. A variable that
    /// is not known, or has several values, fits nothing.
    pub(super) fn fits(&self, text: &str, context: &Context) -> bool {
        match self.tokens.as_slice() {
            [] => text.is_empty(),
            [Token::Any] => true,
            [Token::Text(only)] => only == text,
            [Token::Text(head), Token::Any] => text.starts_with(head.as_str()),
            tokens if !self.variables => glob(tokens, text, |token| match token {
                Token::Text(piece) => Some(piece),
                _ => None,
            }),
            tokens => match self.resolved(tokens, context) {
                Some(pieces) => glob(&pieces, text, |piece| match piece {
                    Piece::Text(text) => Some(text),
                    _ => None,
                }),
                None => false,
            },
        }
    }

    /// Whether it has a variable that is not known.
    pub(super) fn is_open(&self, context: &Context) -> bool {
        self.variables && self.resolved(&self.tokens, context).is_none()
    }

    /// Whether `text` does not fit but might, if a variable that is not known had the right value.
    pub(super) fn might_fit(&self, text: &str, context: &Context) -> bool {
        self.is_open(context) && {
            let open = self.tokens.iter().map(|token| match token {
                Token::Variable(..) => Token::Any,
                other => other.clone(),
            });
            Pattern::of(open.collect(), self.caseless).fits(text, context)
        }
    }

    fn resolved<'a>(&self, tokens: &'a [Token], context: &'a Context) -> Option<Vec<Piece<'a>>> {
        let of = |text: &'a str| match self.caseless {
            true => Cow::Owned(text.to_lowercase()),
            false => Cow::Borrowed(text),
        };
        tokens
            .iter()
            .map(|token| {
                Some(match token {
                    Token::Any => Piece::Any,
                    Token::One => Piece::One,
                    Token::Text(text) => Piece::Text(Cow::Borrowed(text)),
                    Token::Variable(key, default) => {
                        Piece::Text(of(match (context.value(key), default) {
                            (Some(value), _) => value,
                            (None, Some(default)) if context.values(key).is_empty() => default,
                            _ => return None,
                        }))
                    }
                })
            })
            .collect()
    }
}

/// A token whose variable has its text.
enum Piece<'a> {
    Text(Cow<'a, str>),
    Any,
    One,
}

/// What a matcher asks of a token.
trait Wild {
    fn is_any(&self) -> bool;
}

impl Wild for Token {
    fn is_any(&self) -> bool {
        matches!(self, Token::Any)
    }
}

impl Wild for Piece<'_> {
    fn is_any(&self) -> bool {
        matches!(self, Piece::Any)
    }
}

/// Whether `text` fits `tokens`: on a mismatch, the last `*` takes one character more. Earlier ones
/// never need to, so the work is at most length × length.
fn glob<'t, T: Wild>(
    tokens: &'t [T],
    text: &str,
    literal: impl Fn(&'t T) -> Option<&'t str>,
) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match tokens.get(token) {
            None if at == text.len() => return true,
            None => None,
            Some(any) if any.is_any() => {
                star = Some((token, at));
                Some(0)
            }
            Some(other) => match literal(other) {
                Some(piece) => text[at..].starts_with(piece).then_some(piece.len()),
                None => text[at..].chars().next().map(char::len_utf8),
            },
        };
        if let Some(length) = step {
            (token, at) = (token + 1, at + length);
            continue;
        }
        let Some((any, from)) = star else { return false };
        let Some(more) = text[from..].chars().next() else { return false };
        let from = from + more.len_utf8();
        star = Some((any, from));
        (token, at) = (any + 1, from);
    }
}

/// `key` or `key, 'default'`.
fn variable(inner: &str) -> Result<Token, String> {
    let (key, default) = match inner.split_once(',') {
        None => (inner, None),
        Some((key, default)) => {
            let plain = default.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
            let plain = plain.ok_or("a variable's default stands in single quotes")?;
            (key, Some(plain.to_owned()))
        }
    };
    let key = key.trim();
    let known = |c: char| {
        c.is_alphanumeric() || matches!(c, ':' | '/' | '-' | '_' | '.' | '=' | '+' | '@' | ' ')
    };
    match !key.is_empty() && key.chars().all(known) {
        true => Ok(Token::Variable(key.to_lowercase(), default)),
        false => Err(format!("${{{inner}}} is not a variable")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Grammar = Grammar { wildcards: true, variables: true, caseless: false };

    fn fits(pattern: &str, text: &str, context: &Context) -> bool {
        Pattern::compile(pattern, ALL).unwrap().fits(text, context)
    }

    #[test]
    fn what_stands_in_for_a_variable_is_no_wildcard() {
        let context = Context::new().with("aws:username", "*").with("aws:PrincipalTag/a", "b?");
        assert!(fits("home/${aws:username}/x", "home/*/x", &context));
        assert!(!fits("home/${aws:username}/x", "home/bob/x", &context));
        assert!(fits("${AWS:PrincipalTag/A}*", "b?c", &context));
        assert!(!fits("${aws:PrincipalTag/a}", "bc", &context));
    }

    #[test]
    fn a_variable_that_is_unknown_or_many_fits_nothing_unless_it_has_a_default() {
        let mut context = Context::new();
        context.set_all("many", vec!["a".into(), "b".into()]);
        for pattern in ["${aws:username}", "${many}", "${many, 'a'}", "x${aws:username}*"] {
            for text in ["", "a", "b", "x"] {
                assert!(!fits(pattern, text, &context), "{pattern} {text}");
            }
        }
        assert!(fits("${aws:username, 'nobody'}/*", "nobody/x", &context));
        assert!(fits("${*}${?}${$}", "*?$", &context));
        assert!(!fits("${*}", "a", &context));
    }

    #[test]
    fn a_colon_within_a_variable_does_not_cut() {
        let parts = Pattern::compile("a:${aws:username}:b:c:d", ALL).unwrap().split(2);
        let context = Context::new().with("aws:username", "x:y");
        let fit: Vec<bool> = ["a", "x:y", "b:c:d"]
            .iter()
            .zip(&parts)
            .map(|(text, part)| part.fits(text, &context))
            .collect();
        assert_eq!(fit, [true, true, true]);
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn broken_variables_are_told() {
        for text in ["${", "${}", "${a\nb}", "${a, b}", "x${a"] {
            assert!(Pattern::compile(text, ALL).is_err(), "{text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "*a".repeat(2_000) + "b";
        assert!(!fits(&pattern, &"a".repeat(4_000), &Context::new()));
    }

    proptest! {
        #[test]
        fn wildcards_mean_what_a_regex_means(pattern in "[ab*?é]{0,8}", text in "[abé]{0,8}") {
            let regex = pattern.replace('*', ".*").replace('?', ".");
            let regex = regex::Regex::new(&format!("^(?s:{regex})$")).unwrap();
            prop_assert_eq!(fits(&pattern, &text, &Context::new()), regex.is_match(&text));
        }
    }
}
