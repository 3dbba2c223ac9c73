//! Amounts with a unit, as people write them.

/// Bytes: `1048576`, `"512MiB"`, `"8 GB"`. Powers of 1024 with an `i`, of 1000 without.
///
/// # Errors
/// How to write it, when `text` is not an amount or larger than 2^64.
pub fn bytes(text: &str) -> Result<u64, &'static str> {
    const HOW: &str =
        "write a number of bytes, or a number with KiB, MiB, GiB, TiB, kB, MB, GB or TB";
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| HOW)?;
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(HOW),
    };
    number.checked_mul(factor).ok_or(HOW)
}

/// An amount of bytes as people read it: `8 GiB`, `1.5 MiB`, `312 bytes`.
pub fn shown_bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    match amount.fract() == 0.0 {
        true => format!("{amount:.0} {}", units[unit]),
        false => format!("{amount:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_and_without_a_unit() {
        assert_eq!(bytes("1048576"), Ok(1 << 20));
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("8 GiB"), Ok(8 << 30));
        assert_eq!(bytes("2gb"), Ok(2_000_000_000));
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", "GiB", "-1", "1.5GiB", "8 gibs", "99999999999999999999", "99999999TiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_in_the_largest_unit() {
        assert_eq!(shown_bytes(312), "312 bytes");
        assert_eq!(shown_bytes(8 << 30), "8 GiB");
        assert_eq!(shown_bytes(1_600_000), "1.5 MiB");
    }
}
