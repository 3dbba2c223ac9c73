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
        let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        for (place, byte) in PLACES.into_iter().zip(bytes) {
            text[place..place + 2]
                .copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        text
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Where each byte's two digits stand.
const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

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
