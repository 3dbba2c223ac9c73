//! The usual CSV request read by hand, without an allocation: numbers, commas and line ends.
//! Anything else (quotes, blanks, missing cells, empty lines), mistakes included, is left to
//! [`crate::data::csv`], which must agree on whatever is read here.

use crate::data::number;

/// Appends the rows of a request to `values` and returns how many, or `None` when it deserves the
/// general reader; then `values` is as it was.
pub(super) fn rows(
    body: &[u8],
    features: usize,
    rows_max: usize,
    values: &mut Vec<f32>,
) -> Option<usize> {
    let before = values.len();
    let rows = read(body, features, rows_max, values);
    if rows.is_none() {
        values.truncate(before);
    }
    rows
}

fn read(body: &[u8], features: usize, rows_max: usize, values: &mut Vec<f32>) -> Option<usize> {
    let (mut at, mut rows) = (0, 0);
    while at < body.len() {
        if rows == rows_max {
            return None;
        }
        for column in 1..=features {
            let (value, end) = number::scan(body, at)?;
            values.push(value);
            at = match (body.get(end), column == features) {
                (Some(b','), false) => end + 1,
                (None, true) => end,
                (Some(b'\n'), true) => end + 1,
                (Some(b'\r'), true) if body.get(end + 1) == Some(&b'\n') => end + 2,
                _ => return None,
            };
        }
        rows += 1;
    }
    (rows > 0 && features > 0).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::media::ContentType;
    use crate::data::request::{Limits, decode};
    use crate::data::schema::{Signature, Task};
    use crate::spec::train::Media;

    #[test]
    fn what_is_read_by_hand_is_what_the_general_reader_reads() {
        let signature = Signature::of(2, Task::Regression);
        for (body, by_hand) in [
            ("1,2", true),
            ("1,2\n", true),
            ("1.5,-2e3\r\n0.1,3\r\n", true),
            ("-0,0.30000001\n123456789,1e-20", true),
            ("16777217,0.1234567890123\n", false),
            ("1, 2", false),
            ("1,\n", false),
            ("\"1\",2", false),
            ("1,2\n\n3,4", false),
            ("+1,2", false),
        ] {
            let general = decode(
                &ContentType::from(Media::Csv),
                body.as_bytes(),
                &signature,
                &Limits::default(),
            )
            .unwrap();
            let mut values = vec![9.0];
            let rows = rows(body.as_bytes(), 2, 100, &mut values);
            assert_eq!(rows.is_some(), by_hand, "{body:?}");
            if let Some(rows) = rows {
                assert_eq!(rows, general.nrows());
                assert_eq!(values[1..], *general.as_slice().unwrap(), "{body:?}");
            } else {
                assert_eq!(values, [9.0]);
            }
        }
        assert_eq!(rows(b"1,2\n3", 2, 100, &mut Vec::new()), None);
        assert_eq!(rows(b"1,2\n3,4\n", 2, 1, &mut Vec::new()), None);
    }
}
