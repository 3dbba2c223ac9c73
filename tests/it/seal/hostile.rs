//! Sealed files that somebody changed: every one is refused, none panics, none is believed.

use smrt::fault::{Fault, Kind};
use smrt::seal::{Context, Error, inspect, open_file, open_to_vec};

use super::{content, key, open, seal};

const FRAME: usize = 64;

/// Header length and message: two frames, the second one final.
fn two_frames() -> (usize, Vec<u8>) {
    let sealed = seal(&content(FRAME + 30), FRAME as u32);
    (inspect(&mut &sealed[..]).unwrap().header_bytes, sealed)
}

/// Message of five full frames: header, each frame.
fn five_frames() -> (Vec<u8>, Vec<Vec<u8>>) {
    let sealed = seal(&content(5 * FRAME), FRAME as u32);
    let (header, body) = sealed.split_at(inspect(&mut &sealed[..]).unwrap().header_bytes);
    let mut frames: Vec<Vec<u8>> = body.chunks(FRAME + 32).map(<[u8]>::to_vec).collect();
    // The final frame is 8 bytes longer than its slot.
    let rest = frames.pop().unwrap();
    frames.last_mut().unwrap().extend(rest);
    assert_eq!(frames.len(), 5);
    (header.to_vec(), frames)
}

/// Refused by the stream and by the file reader.
fn refused(message: &[u8], why: &str) {
    let error = open(message).map(|_| ()).expect_err(why);
    assert!(matches!(error.kind(), Kind::Corrupt | Kind::Denied | Kind::Caller), "{why}: {error}");
    assert!(open_to_vec(message, &key(), &Context::new(), 1 << 20).is_err(), "{why}");
    let folder = tempfile::tempdir().unwrap();
    let [sealed, opened] = ["b", "c"].map(|name| folder.path().join(name));
    std::fs::write(&sealed, message).unwrap();
    assert!(open_file(&sealed, &opened, &key(), &Context::new()).is_err(), "file: {why}");
    assert!(!opened.exists(), "file: {why}");
}

#[test]
fn threat_2_every_flipped_bit_is_refused() {
    let (_, sealed) = two_frames();
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            assert!(open(&changed).is_err(), "byte {at}, bit {bit}");
        }
        let mut changed = sealed.clone();
        changed[at] ^= 0xff;
        refused(&changed, &format!("byte {at} inverted"));
    }
    println!("{} bits flipped, all refused", sealed.len() * 8);
}

#[test]
fn threat_3_every_truncation_is_refused() {
    let (_, sealed) = two_frames();
    for end in 0..sealed.len() {
        refused(&sealed[..end], &format!("cut at {end} of {}", sealed.len()));
    }
}

#[test]
fn threat_3_a_cut_message_is_called_cut() {
    let (_, sealed) = two_frames();
    for end in 0..sealed.len() {
        let error = open(&sealed[..end]).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "cut at {end}: {error}");
    }
}

#[test]
fn threat_3_frames_out_of_place_are_refused() {
    let (header, frames) = five_frames();
    let message = |order: &[usize]| {
        let picked = order.iter().map(|at| &frames[*at][..]);
        std::iter::once(&header[..]).chain(picked).collect::<Vec<_>>().concat()
    };
    assert_eq!(open(&message(&[0, 1, 2, 3, 4])).unwrap(), content(5 * FRAME));
    for (why, order) in [
        ("swapped", &[1, 0, 2, 3, 4][..]),
        ("swapped later", &[0, 1, 3, 2, 4]),
        ("first dropped", &[1, 2, 3, 4]),
        ("inner dropped", &[0, 1, 3, 4]),
        ("last regular dropped", &[0, 1, 2, 4]),
        ("final dropped", &[0, 1, 2, 3]),
        ("only the final", &[4]),
        ("duplicated", &[0, 0, 1, 2, 3, 4]),
        ("final twice", &[0, 1, 2, 3, 4, 4]),
        ("final first", &[4, 0, 1, 2, 3]),
        ("a frame after the final", &[0, 1, 2, 3, 4, 3]),
    ] {
        refused(&message(order), why);
    }
}

#[test]
fn threat_4_frames_of_another_message_are_refused() {
    let (header, frames) = five_frames();
    let (_, others) = five_frames();
    for at in 0..5 {
        let mut spliced = frames.clone();
        spliced[at].clone_from(&others[at]);
        refused(&[header.clone(), spliced.concat()].concat(), &format!("frame {at} spliced"));
    }
    refused(&[header, others.concat()].concat(), "all frames of another message");
}

#[test]
fn a_regular_frame_cannot_pass_for_the_final_one() {
    let (header, frames) = five_frames();
    let head = [&[0xff; 4][..], &frames[3][..16], &(FRAME as u32).to_be_bytes()].concat();
    let posing = [&head, &frames[3][16..]].concat();
    refused(&[header, frames[..3].concat(), posing].concat(), "regular posing as final");
}

#[test]
fn a_byte_too_many_is_refused() {
    let (_, sealed) = two_frames();
    for extra in [&[0][..], &[0xff], b"\x00\x67", &[0; 1000]] {
        let longer = [&sealed[..], extra].concat();
        refused(&longer, "trailing");
        let error = open(&longer).unwrap_err();
        assert!(matches!(error, Error::Trailing), "{error}");
    }
}

#[test]
fn a_final_frame_of_any_other_length_is_refused() {
    let (header, sealed) = two_frames();
    let length_at = header + FRAME + 32 + 20;
    for length in [0, 29, 31, 64, 65, 1 << 20, u32::MAX] {
        let mut changed = sealed.clone();
        changed[length_at..length_at + 4].copy_from_slice(&u32::to_be_bytes(length));
        refused(&changed, &format!("final length {length}"));
    }
}

#[test]
fn every_length_field_of_a_header_at_its_largest_is_refused() {
    let (header, sealed) = two_frames();
    for at in 0..header - 1 {
        let mut changed = sealed.clone();
        changed[at..at + 2].copy_from_slice(&[0xff, 0xff]);
        refused(&changed, &format!("ff ff at {at}"));
        if at + 4 <= header {
            changed[at..at + 4].copy_from_slice(&[0xff; 4]);
            refused(&changed, &format!("ff ff ff ff at {at}"));
        }
    }
}

#[test]
fn a_header_that_never_ends_is_read_to_its_bound_only() {
    struct Endless(usize);
    impl std::io::Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            into.fill(0x41);
            self.0 += into.len();
            Ok(into.len())
        }
    }
    use std::io::Read;
    // A context of 8 KiB, sixteen keys whose fields all claim to be large.
    let start = [&[2, 4, 0x78][..], &[7; 32], &[0, 0], &[0, 16]].concat();
    let mut endless = Endless(0);
    let error = inspect(&mut (&start[..]).chain(&mut endless)).unwrap_err();
    assert!(matches!(error, Error::Header { .. }), "{error}");
    assert!(endless.0 <= 64 << 10, "{} bytes were read", endless.0);
}

#[test]
fn what_is_not_sealed_is_told_from_what_is_refused() {
    for (bytes, word) in [
        (&b"\x1f\x8b\x08\x00"[..], "not a sealed file"),
        (b"PK\x03\x04", "not a sealed file"),
        (b"\x01\x80\x03\x78", "version 1"),
        (b"\x02\x03\x78", "suite 0378"),
        (b"", "cut short"),
    ] {
        let error = open(bytes).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.help().is_some());
    }
}

#[test]
fn another_key_of_the_same_name_is_refused_before_any_frame() {
    let (header, sealed) = two_frames();
    let other = smrt::seal::RawKey::new("smrt-kms", super::KEY, [1; 32]).unwrap();
    // Only the header is there: nothing after it was needed to refuse.
    let error = super::open_under(&sealed[..header], &other, &Context::new()).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}
