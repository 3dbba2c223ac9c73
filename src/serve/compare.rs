//! How far two answers to one request are apart, whatever format they were written in.

use serde_json::Value;

/// What differs between two answers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Difference {
    /// The largest distance of two numbers at the same place.
    pub(super) largest: f64,
    /// A label, a word or the shape is another.
    pub(super) other: bool,
}

impl Difference {
    /// Whether it is more than `tolerance`.
    pub(super) fn counts(&self, tolerance: f64) -> bool {
        self.other || self.largest > tolerance
    }

    const OTHER: Difference = Difference { largest: 0.0, other: true };

    fn and(self, more: Difference) -> Difference {
        Difference { largest: self.largest.max(more.largest), other: self.other || more.other }
    }
}

/// Compares two answers of the same content type.
pub(super) fn compare(content_type: &str, one: &[u8], other: &[u8]) -> Difference {
    if one == other {
        return Difference::default();
    }
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let (Ok(one), Ok(other)) = (std::str::from_utf8(one), std::str::from_utf8(other)) else {
        return Difference::OTHER;
    };
    match kind {
        "application/json" => json(one, other),
        "application/jsonlines" => lines(one, other, &json),
        "text/csv" => lines(one, other, &|one, other| cells(one, other)),
        _ => Difference::OTHER,
    }
}

fn lines(one: &str, other: &str, compare: &dyn Fn(&str, &str) -> Difference) -> Difference {
    let (mut ours, mut theirs) = (one.lines(), other.lines());
    let mut sum = Difference::default();
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return sum,
            (Some(one), Some(other)) => sum = sum.and(compare(one, other)),
            _ => return Difference::OTHER,
        }
    }
}

/// Cells of one line. Brackets belong to vectors, which stand in one field.
fn cells(one: &str, other: &str) -> Difference {
    let split = |line: &str| -> Vec<String> {
        line.split(',').map(|cell| cell.trim_matches(['"', '[', ']', ' ']).to_owned()).collect()
    };
    let (ours, theirs) = (split(one), split(other));
    if ours.len() != theirs.len() {
        return Difference::OTHER;
    }
    ours.iter().zip(&theirs).fold(Difference::default(), |sum, (one, other)| {
        sum.and(match (one.parse::<f64>(), other.parse::<f64>()) {
            // Two whole numbers are labels.
            (Ok(_), Ok(_)) if is_whole(one) && is_whole(other) => whole(one == other),
            (Ok(one), Ok(other)) => apart(one, other),
            _ => whole(one == other),
        })
    })
}

fn is_whole(text: &str) -> bool {
    !text.contains(['.', 'e', 'E'])
}

fn whole(same: bool) -> Difference {
    if same { Difference::default() } else { Difference::OTHER }
}

fn apart(one: f64, other: f64) -> Difference {
    match (one - other).abs() {
        distance if distance.is_finite() => Difference { largest: distance, other: false },
        _ => whole(one == other || one.is_nan() && other.is_nan()),
    }
}

fn json(one: &str, other: &str) -> Difference {
    match (serde_json::from_str(one), serde_json::from_str(other)) {
        (Ok(one), Ok(other)) => values(&one, &other),
        _ => Difference::OTHER,
    }
}

fn values(one: &Value, other: &Value) -> Difference {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            match (a.is_f64() || b.is_f64(), a.as_f64(), b.as_f64()) {
                (true, Some(a), Some(b)) => apart(a, b),
                _ => whole(a == b),
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).fold(Difference::default(), |sum, (a, b)| sum.and(values(a, b)))
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().fold(Difference::default(), |sum, (key, a)| {
                sum.and(b.get(key).map_or(Difference::OTHER, |b| values(a, b)))
            })
        }
        (a, b) => whole(a == b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(difference: Difference, largest: f64) -> bool {
        !difference.other && (difference.largest - largest).abs() < 1e-9
    }

    #[test]
    fn scores_are_measured_and_labels_are_not() {
        let one = br#"{"predictions":[{"score":0.5,"predicted_label":1}]}"#;
        let near = br#"{"predictions":[{"score":0.25,"predicted_label":1}]}"#;
        let far = br#"{"predictions":[{"score":0.5,"predicted_label":0}]}"#;
        assert!(close(compare("application/json", one, near), 0.25));
        assert!(compare("application/json", one, far).other);
        assert_eq!(compare("application/json", one, one), Difference::default());
        assert!(close(compare("text/csv", b"0.5,1\n0.25,0\n", b"0.5,1\n0.75,0\n"), 0.5));
        assert!(compare("text/csv", b"0.5,1\n", b"0.5,0\n").other);
        assert!(close(
            compare("text/csv; charset=utf-8", b"\"[0.5, 0.5]\"\n", b"\"[0.4, 0.5]\"\n"),
            0.1
        ));
        let lines = (
            &b"{\"score\":1.5}\n{\"score\":2.5}\n"[..],
            &b"{\"score\":1.5}\n{\"score\":2.25}\n"[..],
        );
        assert!(close(compare("application/jsonlines", lines.0, lines.1), 0.25));
    }

    #[test]
    fn another_shape_is_another_answer() {
        for (kind, one, other) in [
            ("text/csv", "1.5\n", "1.5\n2.5\n"),
            ("text/csv", "1.5,2.5\n", "1.5\n"),
            ("application/json", "{\"a\":1.5}", "{\"b\":1.5}"),
            ("application/json", "[1.5]", "not json"),
            ("application/octet-stream", "a", "b"),
        ] {
            assert!(compare(kind, one.as_bytes(), other.as_bytes()).other, "{kind} {one} {other}");
        }
    }
}
