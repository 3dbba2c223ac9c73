//! Text to `f32`, exactly as `str::parse::<f32>` rounds, several times faster for numbers as
//! people write them. It knows what counts as missing; it knows nothing of fields or lines.

/// What a cell of a table holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell {
    /// A finite number.
    Value(f32),
    /// Nothing: see [`is_missing`].
    Missing,
}

/// Why a text is not a number a model can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotNumber {
    /// It is something else.
    Word,
    /// It says infinity.
    Infinite,
    /// It is a number beyond ±3.4e38.
    Overflow,
}

/// Whether a trimmed text stands for a value that is not there: nothing, `NaN`, `NA`, `N/A` or
/// `null` in any case, or `?` as in the UCI repository.
pub(crate) fn is_missing(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] = [b"nan", b"-nan", b"na", b"n/a", b"null", b"?"];
    text.is_empty() || (text.len() <= 4 && WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)))
}

/// Reads a whole cell: spaces around it and a leading `+` are allowed.
pub(crate) fn parse(text: &[u8]) -> Result<Cell, NotNumber> {
    let text = trimmed(text);
    if is_missing(text) {
        return Ok(Cell::Missing);
    }
    let unsigned = match text {
        [b'+', rest @ ..] if rest.first().is_some_and(|b| b.is_ascii_digit() || *b == b'.') => rest,
        _ => text,
    };
    let first = unsigned.strip_prefix(b"-").unwrap_or(unsigned).first();
    if !first.is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
        return Err(if is_infinity(text) { NotNumber::Infinite } else { NotNumber::Word });
    }
    match fast_float2::parse::<f32, _>(unsigned) {
        Ok(value) if value.is_finite() => Ok(Cell::Value(value)),
        Ok(_) => Err(NotNumber::Overflow),
        Err(_) => Err(NotNumber::Word),
    }
}

/// Without spaces, tabs and a final carriage return.
pub(crate) fn trimmed(text: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = text.iter().position(|b| !blank(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    &text[start..end]
}

fn is_infinity(text: &[u8]) -> bool {
    let bare = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    bare.eq_ignore_ascii_case(b"inf") || bare.eq_ignore_ascii_case(b"infinity")
}

/// Reads a number that starts at `start`, up to the first byte that cannot belong to it.
///
/// Returns the value and where it ended, or `None` for anything that deserves a closer look by
/// [`parse`]: words, spaces, an exponent without digits, and numbers so long or so large that
/// rounding needs more care. But for leading zeros, what it takes is a number in JSON too.
#[inline]
pub(crate) fn scan(bytes: &[u8], start: usize) -> Option<(f32, usize)> {
    scan_as::<false>(bytes, start)
}

/// As [`scan`], but only where rounding to `f64` first and to `f32` then, as a reader of JSON does,
/// gives the same.
#[inline]
pub(crate) fn scan_narrowed(bytes: &[u8], start: usize) -> Option<(f32, usize)> {
    scan_as::<true>(bytes, start)
}

#[inline]
fn scan_as<const NARROWED: bool>(bytes: &[u8], start: usize) -> Option<(f32, usize)> {
    let negative = byte(bytes, start) == b'-';
    let mut at = start + usize::from(negative);
    let (mut mantissa, whole) = digits(bytes, at, 0)?;
    if whole == 0 {
        return None;
    }
    at += whole;
    let mut fraction = 0;
    if byte(bytes, at) == b'.' {
        (mantissa, fraction) = digits(bytes, at + 1, mantissa)?;
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if whole + fraction > DIGITS_MAX {
        return None;
    }
    let mut power = -(fraction as i32);
    if byte(bytes, at) | 0x20 == b'e' {
        let (exponent, end) = exponent(bytes, at + 1)?;
        power += exponent;
        at = end;
    }
    let value = rounded::<NARROWED>(mantissa, power)?;
    Some((if negative { -value } else { value }, at))
}

/// Reads a whole number without a sign that starts at `start`, and where it ended; `None` when there
/// is none, or when it has more digits than always fit.
#[inline]
pub(crate) fn whole(bytes: &[u8], start: usize) -> Option<(u64, usize)> {
    let (value, count) = digits(bytes, start, 0)?;
    (count > 0).then_some((value, start + count))
}

/// So many decimal digits always fit a `u64`.
const DIGITS_MAX: usize = 19;

fn exponent(bytes: &[u8], start: usize) -> Option<(i32, usize)> {
    let sign = byte(bytes, start);
    let at = start + usize::from(matches!(sign, b'-' | b'+'));
    let (value, count) = digits(bytes, at, 0)?;
    if count == 0 || count > 4 {
        return None;
    }
    let value = value as i32;
    Some((if sign == b'-' { -value } else { value }, at + count))
}

/// Appends the digits at `at` to `mantissa`; how many there were. Wraps when there are more than
/// [`DIGITS_MAX`], which the caller refuses.
#[inline]
fn digits(bytes: &[u8], at: usize, mantissa: u64) -> Option<(u64, usize)> {
    let (value, count) = eight(load(bytes, at));
    let mantissa = mantissa.wrapping_mul(POWERS_U64[count]).wrapping_add(value);
    if count < 8 { Some((mantissa, count)) } else { many(bytes, at + 8, mantissa) }
}

#[inline(never)]
fn many(bytes: &[u8], mut at: usize, mut mantissa: u64) -> Option<(u64, usize)> {
    let mut total = 8;
    loop {
        let (value, count) = eight(load(bytes, at));
        mantissa = mantissa.wrapping_mul(POWERS_U64[count]).wrapping_add(value);
        total += count;
        at += count;
        if total > DIGITS_MAX {
            return None;
        }
        if count < 8 {
            return Some((mantissa, total));
        }
    }
}

/// The byte at `at`; behind the end, one that is part of no number.
#[inline]
fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Eight bytes from `at`, the first one lowest; behind the end, zeros.
#[inline]
fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at + 8).and_then(|chunk| chunk.try_into().ok()) {
        Some(chunk) => u64::from_le_bytes(chunk),
        None => load_tail(bytes, at),
    }
}

#[cold]
fn load_tail(bytes: &[u8], at: usize) -> u64 {
    let mut chunk = [0; 8];
    let tail = bytes.get(at..).unwrap_or(&[]);
    let length = tail.len().min(8);
    chunk[..length].copy_from_slice(&tail[..length]);
    u64::from_le_bytes(chunk)
}

/// The value of the decimal digits that lead `chunk` (its first byte is the lowest), and how many
/// there are. No branch depends on the digits: lengths that change from cell to cell would cost
/// more in mispredicted loops than the arithmetic does.
#[inline]
fn eight(chunk: u64) -> (u64, usize) {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let values = chunk ^ 0x3030_3030_3030_3030;
    // A byte above 9 gets its high bit; carries only reach bytes behind it, which do not count.
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & HIGH;
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // Digits move to the top; what enters below are leading zeros.
    let aligned = values << (64 - 8 * count);
    let pairs = aligned.wrapping_mul(10).wrapping_add(aligned >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    (low.wrapping_add(high) >> 32, count)
}

/// `mantissa * 10^power`, rounded once, or `None` where that is not certain.
#[inline]
fn rounded<const NARROWED: bool>(mantissa: u64, power: i32) -> Option<f32> {
    let magnitude = power.unsigned_abs() as usize;
    if mantissa <= 1 << 24 && magnitude <= 10 {
        // Both are exact in f32, so the one operation rounds correctly (Clinger 1990).
        let value = mantissa as f32;
        let scale = POWERS_F32[magnitude];
        let value = if power < 0 { value / scale } else { value * scale };
        if NARROWED {
            // Exact operands again: this is the f64 nearest to the number.
            let (wide, scale) = (mantissa as f64, POWERS_F64[magnitude]);
            let wide = if power < 0 { wide / scale } else { wide * scale };
            return (wide as f32 == value).then_some(value);
        }
        return Some(value);
    }
    if magnitude > 22 {
        return None;
    }
    // The same in f64: off by at most two units in the last place. Narrowing it gives the right
    // f32 unless it lies that close to the middle between two of them.
    let value = mantissa as f64;
    let scale = POWERS_F64[magnitude];
    let wide = if power < 0 { value / scale } else { value * scale };
    if mantissa == 0 {
        return Some(0.0);
    }
    let normal = wide >= f64::from(f32::MIN_POSITIVE) && wide < f64::from(f32::MAX);
    let beyond = (wide.to_bits() & 0x1fff_ffff) as u32;
    (normal && beyond.abs_diff(0x1000_0000) > 4).then_some(wide as f32)
}

const POWERS_U64: [u64; 9] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
const POWERS_F32: [f32; 11] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];
const POWERS_F64: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Both ways of reading agree with the standard library, bit for bit.
    fn check(text: &str) {
        let expected: f32 = text.parse().unwrap();
        match parse(text.as_bytes()) {
            Ok(Cell::Value(value)) => assert_eq!(value.to_bits(), expected.to_bits(), "{text}"),
            Err(NotNumber::Overflow) => assert!(expected.is_infinite(), "{text}"),
            other => panic!("{text}: {other:?}"),
        }
        for tail in ["", ",", ",7777777777777"] {
            let followed = format!("{text}{tail}");
            if let Some((value, end)) = scan(followed.as_bytes(), 0) {
                assert_eq!(value.to_bits(), expected.to_bits(), "{text}");
                assert_eq!(end, text.len(), "{text}");
            }
        }
    }

    #[test]
    fn well_known_hard_cases_round_as_the_standard_library_does() {
        for text in [
            "0",
            "-0",
            "1",
            "0.1",
            "-12.5",
            "16777216",
            "16777217",
            "16777219",
            "33554435",
            "0.000000059604644775390625",
            "1.00000005960464477539062",
            "1e10",
            "1E-10",
            "1e+5",
            "3.4028235e38",
            "3.4028236e38",
            "3.40282357e38",
            "1e39",
            "1.17549435e-38",
            "1e-45",
            "7e-46",
            "1e-50",
            "123456789012345678",
            "1234567890123456789",
            "0.30000001192092896",
            "9007199254740993",
            "8388608.5",
            "8388609.5",
            "100000000000000000000000000",
            "1.5e-05",
            "0000000000000000000000001.5",
            "4.7019774032891500318749461488889827112746622e-38",
        ] {
            check(text);
        }
    }

    #[test]
    fn what_is_missing_and_what_is_no_number() {
        for text in ["", "  ", "NaN", "nan", "NA", "n/a", "NULL", "?", " null\t", "-nan"] {
            assert_eq!(parse(text.as_bytes()), Ok(Cell::Missing), "{text:?}");
        }
        for text in ["abc", "1x", "1 2", "0x10", "--1", "+-1", "1e", "e5", ".", "1,5", "1_000", "+"]
        {
            assert_eq!(parse(text.as_bytes()), Err(NotNumber::Word), "{text:?}");
        }
        for text in ["inf", "-Infinity", "+INF"] {
            assert_eq!(parse(text.as_bytes()), Err(NotNumber::Infinite), "{text:?}");
        }
        assert_eq!(parse(b"1e999"), Err(NotNumber::Overflow));
        assert_eq!(parse(b"-1e39"), Err(NotNumber::Overflow));
        for (text, value) in [(" 1.5 ", 1.5), ("+2", 2.0), (".5", 0.5), ("5.", 5.0), ("+.5", 0.5)] {
            assert_eq!(parse(text.as_bytes()), Ok(Cell::Value(value)), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_decimal_reads_as_the_standard_library_reads_it(
            sign in "-?", whole in "[0-9]{1,20}", fraction in "(\\.[0-9]{1,20})?",
            exponent in "([eE][+-]?[0-9]{1,2})?",
        ) {
            check(&format!("{sign}{whole}{fraction}{exponent}"));
        }

        #[test]
        fn every_printed_float_reads_back(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            if value.is_finite() {
                check(&format!("{value}"));
                check(&format!("{value:e}"));
                check(&format!("{}", f64::from(value)));
            }
        }

        #[test]
        fn numbers_beside_the_middle_of_two_floats_round_right(bits in 0x0080_0000_u32..0x7f00_0000, off in -2i64..=2) {
            let low = f64::from(f32::from_bits(bits));
            let high = f64::from(f32::from_bits(bits + 1));
            let middle = (low + high) / 2.0;
            let near = f64::from_bits(middle.to_bits().wrapping_add_signed(off));
            check(&format!("{near:e}"));
            check(&format!("{near}"));
        }

        #[test]
        fn strange_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&bytes);
            let _ = scan(&bytes, 0);
        }
    }
}
