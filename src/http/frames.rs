//! Follows the frames of HTTP/2 (RFC 9113, section 4.1) that a peer sends, to know how much of it are
//! bodies. What a frame means is hyper's affair.

use super::converse::PREFACE;

/// Length, type, flags and stream.
const HEADER_BYTES: usize = 9;
/// The type of a frame with a body's bytes.
const DATA: u8 = 0;

/// Where in the frames of one connection one stands.
#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
    is_data: bool,
}

impl Frames {
    pub(super) fn new() -> Frames {
        // The preface stands before the first frame.
        Frames { header: [0; 9], header_bytes: 0, left: PREFACE.len(), is_data: false }
    }

    /// How many of the next bytes belong to bodies, padding included.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> usize {
        let mut data = 0;
        loop {
            let payload = self.left.min(bytes.len());
            self.left -= payload;
            data += if self.is_data { payload } else { 0 };
            bytes = &bytes[payload..];
            if bytes.is_empty() {
                return data;
            }
            let count = (HEADER_BYTES - self.header_bytes).min(bytes.len());
            self.header[self.header_bytes..][..count].copy_from_slice(&bytes[..count]);
            self.header_bytes += count;
            bytes = &bytes[count..];
            if self.header_bytes == HEADER_BYTES {
                self.header_bytes = 0;
                let [a, b, c, kind, ..] = self.header;
                self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                self.is_data = kind == DATA;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_bodies_are_counted_however_the_frames_are_cut() {
        let frame = |kind: u8, length: u32| {
            let mut frame = length.to_be_bytes()[1..].to_vec();
            frame.extend([kind, 0, 0, 0, 0, 1]);
            frame.extend(vec![0; length as usize]);
            frame
        };
        let sent = [
            PREFACE.to_vec(),
            frame(4, 18),
            frame(1, 70_000),
            frame(DATA, 100),
            frame(DATA, 0),
            frame(8, 4),
            frame(DATA, 20_000),
        ]
        .concat();
        for size in [1, 2, 7, 9, 1_000, sent.len()] {
            let mut frames = Frames::new();
            let found: usize = sent.chunks(size).map(|piece| frames.follow(piece)).sum();
            assert_eq!(found, 20_100, "in pieces of {size}");
        }
    }
}
