//! Values that must not be seen: keys in memory.
//!
//! They have no text, are wiped when dropped and are never copied by accident. They are not locked
//! against swapping: that needs `unsafe`, and a host whose memory can be read is out of scope.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::error::Error;

/// A value without a text form that is overwritten when dropped.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes a value into keeping.
    pub fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The 256-bit key of one message, as a key service makes it and unwraps it.
#[derive(Debug)]
pub struct DataKey(Secret<[u8; 32]>);

impl DataKey {
    /// Draws a fresh key from the operating system.
    ///
    /// # Errors
    /// [`Error::Random`] when the operating system has no randomness to give.
    pub fn generate() -> Result<DataKey, Error> {
        let mut bytes = [0; 32];
        fill_random(&mut bytes)?;
        Ok(DataKey(Secret::new(bytes)))
    }

    /// A key whose bytes came from elsewhere, such as a KMS.
    pub fn from_bytes(bytes: [u8; 32]) -> DataKey {
        DataKey(Secret::new(bytes))
    }

    /// The bytes, for wrapping.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// Fills `bytes` with the operating system's randomness. Asked every time: a generator of our own
/// would give a forked child the same message ids as its parent.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|source| Error::Random { why: source.to_string() })
}

/// Whether two byte strings are equal, in a time that tells nothing about where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    bool::from(one.ct_eq(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_no_text() {
        let key = DataKey::from_bytes([0x41; 32]);
        assert_eq!(format!("{key:?}"), "DataKey((secret))");
        assert_eq!(format!("{:?}", Secret::new(vec![1_u8])), "(secret)");
    }

    #[test]
    fn threat_39_a_million_message_ids_differ_and_every_bit_is_even() {
        let mut ids = std::collections::HashSet::with_capacity(1 << 20);
        let mut bits = [0_u32; 256];
        for _ in 0..1_000_000 {
            let mut id = [0; 32];
            fill_random(&mut id).unwrap();
            for (at, count) in bits.iter_mut().enumerate() {
                *count += u32::from(id[at / 8] >> (at % 8) & 1);
            }
            // By their first half already.
            assert!(ids.insert(<[u8; 16]>::try_from(&id[..16]).unwrap()));
        }
        // Each bit is 1 half of the time: 500 is one standard deviation.
        assert!(bits.iter().all(|ones| ones.abs_diff(500_000) < 7 * 500), "{bits:?}");
    }

    #[test]
    fn a_secret_is_wiped_when_dropped() {
        use std::sync::atomic::{AtomicBool, Ordering};
        static WIPED: AtomicBool = AtomicBool::new(false);
        struct Probe;
        impl Zeroize for Probe {
            fn zeroize(&mut self) {
                WIPED.store(true, Ordering::SeqCst);
            }
        }
        drop(Secret::new(Probe));
        assert!(WIPED.load(Ordering::SeqCst));
    }
}
