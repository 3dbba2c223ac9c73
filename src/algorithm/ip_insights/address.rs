//! An address as the encoder sees it.
//!
//! [`BITS`] inputs: the 32 bits of an IPv4 address, then the 128 of an IPv6 address, the highest
//! first, 1 for a set bit and -1 for a clear one; the inputs of the other family are 0. So the two
//! have their own first weights and share the rest.

use std::net::Ipv6Addr;

use crate::algorithm::net::random::Stream;

const V4: usize = 32;
const V6: usize = 128;
/// Inputs of the encoder.
pub(super) const BITS: usize = V4 + V6;

/// Writes the inputs of an address into `out`, of [`BITS`] numbers.
pub(super) fn bits(address: Ipv6Addr, out: &mut [f32]) {
    let sign = |set: bool| if set { 1.0 } else { -1.0 };
    match address.to_ipv4_mapped() {
        Some(address) => {
            let number = address.to_bits();
            for (at, out) in out.iter_mut().enumerate() {
                *out = if at < V4 { sign(number >> (V4 - 1 - at) & 1 == 1) } else { 0.0 };
            }
        }
        None => {
            let number = address.to_bits();
            for (at, out) in out.iter_mut().enumerate() {
                let set = at >= V4 && number >> (BITS - 1 - at) & 1 == 1;
                *out = if at < V4 { 0.0 } else { sign(set) };
            }
        }
    }
}

/// A random address of the same family; of IPv6 one that may be routed (2000::/3).
pub(super) fn random_like(address: Ipv6Addr, stream: &mut Stream) -> Ipv6Addr {
    if address.to_ipv4_mapped().is_some() {
        return std::net::Ipv4Addr::from_bits(stream.bits()).to_ipv6_mapped();
    }
    let mut number = 0u128;
    for _ in 0..4 {
        number = (number << 32) | u128::from(stream.bits());
    }
    Ipv6Addr::from_bits((number >> 3) | (1 << 125))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::net::random::Purpose;

    #[test]
    fn each_family_has_its_own_inputs() {
        let mut out = [9.0; BITS];
        bits("::ffff:128.0.0.1".parse().unwrap(), &mut out);
        assert_eq!((out[0], out[1], out[31]), (1.0, -1.0, 1.0));
        assert!(out[32..].iter().all(|x| *x == 0.0));
        bits("8000::1".parse().unwrap(), &mut out);
        assert_eq!((out[31], out[32], out[33], out[159]), (0.0, 1.0, -1.0, 1.0));
    }

    #[test]
    fn random_addresses_keep_the_family() {
        let mut stream = Stream::new(1, Purpose::Negatives, 0);
        for _ in 0..100 {
            let four = random_like("::ffff:1.2.3.4".parse().unwrap(), &mut stream);
            assert!(four.to_ipv4_mapped().is_some());
            let six = random_like("2001:db8::1".parse().unwrap(), &mut stream);
            assert_eq!(six.segments()[0] >> 13, 1);
        }
    }
}
