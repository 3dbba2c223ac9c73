//! One event as one line, for a person or as JSON. Writes into a buffer that is used again, so a
//! line costs no allocation; times are formatted once per second and thread.

use std::cell::RefCell;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::date::civil;
use super::log::Format;

/// Writes `event` and a line feed after what `out` holds.
pub(super) fn write(out: &mut Vec<u8>, format: Format, colour: bool, event: &Event<'_>) {
    let level = *event.metadata().level();
    match format {
        Format::Text => text(out, colour, level, event),
        Format::Json => json(out, level, event),
    }
    out.push(b'\n');
}

fn text(out: &mut Vec<u8>, colour: bool, level: Level, event: &Event<'_>) {
    stamp(out);
    let (paint, word): (&str, &str) = match level {
        Level::ERROR => ("\x1b[31m", "error"),
        Level::WARN => ("\x1b[33m", "warn"),
        Level::INFO => ("\x1b[32m", "info"),
        Level::DEBUG => ("\x1b[34m", "debug"),
        Level::TRACE => ("\x1b[35m", "trace"),
    };
    out.push(b' ');
    if colour {
        out.extend_from_slice(paint.as_bytes());
    }
    out.extend_from_slice(word.as_bytes());
    if colour {
        out.extend_from_slice(b"\x1b[0m");
    }
    out.push(b' ');
    let message_at = out.len();
    event.record(&mut TextFields { out, message_at });
}

fn json(out: &mut Vec<u8>, level: Level, event: &Event<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    stamp(out);
    out.extend_from_slice(b"\",\"level\":\"");
    out.extend_from_slice(level.as_str().to_ascii_lowercase().as_bytes());
    out.extend_from_slice(b"\",\"target\":\"");
    out.extend_from_slice(event.metadata().target().as_bytes());
    out.push(b'"');
    event.record(&mut JsonFields { out });
    out.push(b'}');
}

/// `message key=value …`. The message is written where it belongs even if it comes later.
struct TextFields<'a> {
    out: &'a mut Vec<u8>,
    message_at: usize,
}

impl TextFields<'_> {
    fn key(&mut self, field: &Field) {
        if self.out.len() > self.message_at {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(field.name().as_bytes());
        self.out.push(b'=');
    }

    fn message(&mut self, text: &[u8]) {
        let late = self.out.len() > self.message_at;
        let start = self.out.len();
        for &byte in text {
            match byte {
                // As rsyslog writes what must not stand in a line, and CloudWatch after it: the
                // patterns that people hold against XGBoost's lines say `#011` for their tabs.
                0..0x20 => self.out.extend([
                    b'#',
                    b'0' + (byte >> 6),
                    b'0' + (byte >> 3 & 7),
                    b'0' + (byte & 7),
                ]),
                _ => self.out.push(byte),
            }
        }
        if late {
            self.out.push(b' ');
            let length = self.out.len() - start;
            self.out[self.message_at..].rotate_right(length);
        }
    }
}

impl Visit for TextFields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field);
        let _ = write!(self.out, "{value}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return self.message(value.as_bytes());
        }
        self.key(field);
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if !value.is_empty() && value.bytes().all(plain) {
            self.out.extend_from_slice(value.as_bytes());
        } else {
            let _ = write!(self.out, "{value:?}");
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            return self.message(format!("{value:?}").as_bytes());
        }
        self.key(field);
        // What a stranger sent must not be able to begin a line of its own.
        let start = self.out.len();
        let _ = write!(self.out, "{value:?}");
        self.out[start..].iter_mut().filter(|byte| **byte < 0x20).for_each(|byte| *byte = b' ');
    }
}

/// `,"key":value` for each field.
struct JsonFields<'a> {
    out: &'a mut Vec<u8>,
}

impl JsonFields<'_> {
    fn key(&mut self, field: &Field) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(field.name().as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn string(&mut self, text: &str) {
        // Writing a string into memory cannot fail.
        let _ = serde_json::to_writer(&mut *self.out, text);
    }
}

impl Visit for JsonFields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field);
        if value.is_finite() {
            let _ = write!(self.out, "{value}");
        } else {
            self.out.extend_from_slice(b"null");
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        self.string(value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.key(field);
        self.string(&format!("{value:?}"));
    }
}

/// The text of a second, kept for the lines of the same second.
struct Second {
    unix_s: u64,
    text: [u8; 19],
}

thread_local! {
    static SECOND: RefCell<Second> = const { RefCell::new(Second { unix_s: u64::MAX, text: [b'0'; 19] }) };
}

/// Writes the time as `2026-11-23T18:00:00.123Z`.
fn stamp(out: &mut Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|second| {
        if second.unix_s != now.as_secs() {
            second.unix_s = now.as_secs();
            second.text = date_and_time(now.as_secs());
        }
        out.extend_from_slice(&second.text);
    });
    let ms = now.subsec_millis();
    let digit = |value: u32| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms), b'Z']);
}

/// `2026-11-23T18:00:00Z` of a Unix time.
pub(super) fn iso(unix_s: u64) -> String {
    let mut text = String::from_utf8_lossy(&date_and_time(unix_s)).into_owned();
    text.push('Z');
    text
}

/// `2026-11-23T18:00:00` of a Unix time.
fn date_and_time(unix_s: u64) -> [u8; 19] {
    let [year, month, day, hour, minute, second] = civil(i64::try_from(unix_s).unwrap_or(i64::MAX));
    let mut text = *b"0000-00-00T00:00:00";
    let mut put = |at: usize, width: usize, mut value: i64| {
        for place in (at..at + width).rev() {
            text[place] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, hour);
    put(14, 2, minute);
    put(17, 2, second);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_time_is_written_as_its_date() {
        let text = |unix_s| String::from_utf8(date_and_time(unix_s).to_vec()).unwrap();
        assert_eq!(text(0), "1970-01-01T00:00:00");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(text(1_795_456_799), "2026-11-23T17:59:59");
        assert_eq!(text(4_107_542_399), "2100-02-28T23:59:59");
    }
}
