//! Dates as AWS writes them, in seconds since 1970. Leap seconds do not exist here, as in Unix time.

use crate::telemetry::date::{civil, now_s};

/// A proleptic Gregorian date as days since 1970-01-01, after Howard Hinnant's `days_from_civil`;
/// `None` where there is no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let shifted = if month > 2 { year } else { year - 1 };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted - era * 400;
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Takes digits off the front of a text.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        head.iter().try_fold(0, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
        })
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn next_is(&self, bytes: &[u8]) -> bool {
        self.0.first().is_some_and(|byte| bytes.contains(byte))
    }
}

fn seconds(days: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let fits = hour < 24 && minute < 60 && second < 60;
    fits.then_some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// SigV4's form, `20150830T123600Z`, and no other.
pub fn basic(text: &str) -> Option<i64> {
    let mut reader = Reader(text.as_bytes());
    let days = days(reader.digits(4)?, reader.digits(2)?, reader.digits(2)?)?;
    reader.skip(b'T')?;
    let time = seconds(days, reader.digits(2)?, reader.digits(2)?, reader.digits(2)?)?;
    reader.skip(b'Z')?;
    reader.0.is_empty().then_some(time)
}

/// A date in a policy: one of W3C's forms of ISO 8601 (`2026`, `2026-11`, `2026-11-25`,
/// `2026-11-25T19:00Z`, `2026-11-25T19:00:00.5+01:00`) or seconds since 1970.
pub fn date(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if !unsigned.is_empty() && unsigned.len() != 4 && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let mut reader = Reader(text.as_bytes());
    let year = reader.digits(4)?;
    let (mut month, mut day) = (1, 1);
    if reader.skip(b'-').is_some() {
        month = reader.digits(2)?;
        if reader.skip(b'-').is_some() {
            day = reader.digits(2)?;
        }
    }
    let days = days(year, month, day)?;
    if reader.0.is_empty() {
        return Some(days as f64 * 86_400.0);
    }
    reader.skip(b'T')?;
    let hour = reader.digits(2)?;
    reader.skip(b':')?;
    let minute = reader.digits(2)?;
    let mut second = 0;
    let mut fraction = 0.0;
    if reader.skip(b':').is_some() {
        second = reader.digits(2)?;
        if reader.skip(b'.').is_some() {
            let mut weight = 0.1;
            if !reader.next_is(b"0123456789") {
                return None;
            }
            while reader.next_is(b"0123456789") {
                fraction += reader.digits(1)? as f64 * weight;
                weight /= 10.0;
            }
        }
    }
    let offset = match reader.0.split_first()? {
        (b'Z', rest) => {
            reader.0 = rest;
            0
        }
        (sign @ (b'+' | b'-'), rest) => {
            reader.0 = rest;
            let hours = reader.digits(2)?;
            reader.skip(b':')?;
            let away = seconds(0, hours, reader.digits(2)?, 0)?;
            if *sign == b'+' { away } else { -away }
        }
        _ => return None,
    };
    let whole = seconds(days, hour, minute, second)? - offset;
    reader.0.is_empty().then_some(whole as f64 + fraction)
}

/// `2026-11-25T19:00:00Z`.
pub fn iso(unix_s: i64) -> String {
    let [year, month, day, hour, minute, second] = civil(unix_s);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `20261125T190000Z`.
pub fn to_basic(unix_s: i64) -> String {
    iso(unix_s).replace(['-', ':'], "")
}

/// Now, by the wall clock: signatures and policies speak of no other.
pub fn now() -> i64 {
    i64::try_from(now_s()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_was_written() {
        for unix_s in [0, 951_782_400, 1_440_938_160, 4_102_444_799, 68_169_599] {
            assert_eq!(basic(&to_basic(unix_s)), Some(unix_s));
            assert_eq!(date(&iso(unix_s)), Some(unix_s as f64));
        }
        assert_eq!(basic("20150830T123600Z"), Some(1_440_938_160));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in
            ["", "20150830T123600", "20150230T000000Z", "20150830T243600Z", "20150830 123600Z"]
        {
            assert_eq!(basic(text), None, "{text}");
        }
        for text in ["", "today", "2015-13-01", "2015-08-30T12", "2015-08-30T12:00", "2015-08-30Z"]
        {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn a_policy_writes_dates_in_several_ways() {
        assert_eq!(date("2015-08-30T14:36:00+02:00"), Some(1_440_938_160.0));
        assert_eq!(date("2015-08-30T12:36Z"), Some(1_440_938_160.0));
        assert_eq!(date("1440938160"), Some(1_440_938_160.0));
        assert_eq!(date("2015-08-30T12:36:00.500Z"), Some(1_440_938_160.5));
        assert_eq!(date("1970-02"), Some(31.0 * 86_400.0));
        assert_eq!(date("1971"), Some(365.0 * 86_400.0));
    }
}
