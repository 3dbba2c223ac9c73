//! Request ids: unique, shaped as a version 4 UUID as SageMaker's are, and made without a system
//! call. They name a request in the log; nothing is protected by them.

use std::hash::{BuildHasher, RandomState};

/// Makes the request ids of one thread.
#[derive(Debug)]
pub(super) struct RequestIds {
    high: u64,
    low: u64,
}

impl RequestIds {
    pub(super) fn new() -> RequestIds {
        // The standard library seeds its hash maps from the system's randomness.
        let seed = || RandomState::new().hash_one(std::thread::current().id());
        RequestIds { high: seed(), low: seed() }
    }

    /// The next id, as `xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx`.
    pub(super) fn next(&mut self) -> [u8; 36] {
        self.high = self.high.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.low = self.low.wrapping_add(0xd1b5_4a32_d192_ed03);
        let high = mix(self.high) & !0xf000 | 0x4000;
        let low = mix(self.low) & !(0b11 << 62) | 0b10 << 62;
        let mut text = [b'-'; 36];
        let digits =
            (0..16).map(|at| high >> (60 - 4 * at)).chain((0..16).map(|at| low >> (60 - 4 * at)));
        let places = (0..36).filter(|place| !matches!(place, 8 | 13 | 18 | 23));
        for (place, digit) in places.zip(digits) {
            text[place] = b"0123456789abcdef"[(digit & 15) as usize];
        }
        text
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection, so ids never repeat.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_look_like_a_uuid() {
        let mut ids = RequestIds::new();
        let many: std::collections::HashSet<_> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(many.len(), 10_000);
        let text = String::from_utf8(ids.next().to_vec()).unwrap();
        let uuid = uuid::Uuid::parse_str(&text).unwrap();
        assert_eq!(uuid.get_version_num(), 4);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    }
}
