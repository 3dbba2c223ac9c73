//! Content codings (RFC 9110, section 8.4): bodies that arrive compressed, and large answers that
//! leave so.
//!
//! What a compressed body unfolds to is bounded like a body that came as it is: by the limit of one,
//! and by the budget of all. Nothing is unfolded beyond the first byte that is too many.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::body::{Held, Refused};
use super::content::Content;
use super::reply::Reply;
use crate::spec::limit::{ANSWER_PACKED_BYTES_MIN, BODY_WINDOW_BYTES_MAX};

/// Bytes that are unfolded on the connection's own thread.
const HERE_BYTES_MAX: usize = 4 << 10;
/// Bytes unfolded between two looks at the budget.
const STEP_BYTES: usize = 64 << 10;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coding {
    /// Not at all.
    #[default]
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950: HTTP's `deflate` is zlib's format.
    Deflate,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// What can be read, for an `Accept-Encoding` header and for people.
    pub const KNOWN: &str = "gzip, deflate, zstd";

    /// From a `Content-Encoding`; `None` for one that is not known, or more than one of them.
    pub fn parse(value: &[u8]) -> Option<Coding> {
        Some(match value.trim_ascii().to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Coding::Identity,
            b"gzip" | b"x-gzip" => Coding::Gzip,
            b"deflate" => Coding::Deflate,
            b"zstd" => Coding::Zstd,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Zstd => "zstd",
        }
    }

    /// What `packed` unfolds to, in at most `max` bytes.
    pub(super) async fn unfold(
        self,
        packed: Bytes,
        max: usize,
        mut held: Held,
    ) -> Result<(Bytes, Held), Refused> {
        // Unfolding takes some milliseconds a MiB: what may be more than a moment goes elsewhere.
        let here = packed.len() <= HERE_BYTES_MAX;
        let work = move || self.unfold_here(&packed, max, &mut held).map(|whole| (whole, held));
        if here {
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(_) => {
                Err(Refused::Coded { coding: self.name(), why: "it could not be read".into() })
            }
        }
    }

    pub(super) fn unfold_here(
        self,
        packed: &[u8],
        max: usize,
        held: &mut Held,
    ) -> Result<Bytes, Refused> {
        let mut out = Vec::new();
        match self {
            Coding::Identity => return Ok(Bytes::copy_from_slice(packed)),
            Coding::Gzip => self.pour(&mut MultiGzDecoder::new(packed), max, held, &mut out)?,
            Coding::Deflate => {
                let mut zlib = ZlibDecoder::new(packed);
                self.pour(&mut zlib, max, held, &mut out)?;
                if zlib.total_in() != packed.len() as u64 {
                    return Err(self.wrong("more bytes follow its end"));
                }
            }
            Coding::Zstd => self.frames(packed, max, held, &mut out)?,
        }
        Ok(out.into())
    }

    /// Reads to the end, or to the first byte that is too many.
    fn pour(
        self,
        from: &mut dyn Read,
        max: usize,
        held: &mut Held,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        loop {
            let room = (max + 1 - out.len()).min(STEP_BYTES);
            let count = from
                .take(room as u64)
                .read_to_end(out)
                .map_err(|error| self.wrong(&error.to_string()))?;
            held.more(count)?;
            if out.len() > max {
                return Err(Refused::TooLarge { max, unread: false });
            }
            if count < room {
                return Ok(());
            }
        }
    }

    /// Zstandard: frames one after the other, some of which only say to be skipped.
    fn frames(
        self,
        packed: &[u8],
        max: usize,
        held: &mut Held,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let mut rest = packed;
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(BODY_WINDOW_BYTES_MAX);
        while !rest.is_empty() {
            match StreamingDecoder::new_with_decoder(&mut rest, &mut decoder) {
                Ok(mut frame) => self.pour(&mut frame, max, held, out)?,
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    rest = rest
                        .get(length as usize..)
                        .ok_or_else(|| self.wrong("a frame to be skipped is cut short"))?;
                    continue;
                }
                Err(error) => return Err(self.wrong(&error.to_string())),
            }
            let (told, found) =
                (decoder.get_checksum_from_data(), decoder.get_calculated_checksum());
            if told.is_some() && told != found {
                return Err(self.wrong("its checksum does not match"));
            }
        }
        Ok(())
    }

    fn wrong(self, why: &str) -> Refused {
        Refused::Coded { coding: self.name(), why: why.chars().take(160).collect() }
    }
}

/// Whether an `Accept-Encoding` takes gzip (RFC 9110, section 12.5.3).
pub fn takes_gzip(accept: &[u8]) -> bool {
    let mut any = false;
    for part in accept.split(|byte| *byte == b',') {
        let mut words = part.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = words.next().unwrap_or_default();
        let quality = words.find_map(|word| word.strip_prefix(b"q=").or(word.strip_prefix(b"Q=")));
        let wanted = !quality.is_some_and(is_zero);
        match name {
            _ if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                return wanted;
            }
            b"*" => any = wanted,
            _ => {}
        }
    }
    any
}

/// `0`, `0.`, `0.000`.
fn is_zero(quality: &[u8]) -> bool {
    quality.first() == Some(&b'0') && quality.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Whether an answer is large enough to be compressed, and known whole.
pub fn may_be_packed(reply: &Reply) -> bool {
    reply.body().bytes().len() >= ANSWER_PACKED_BYTES_MIN
        && reply.body().is_whole()
        && !reply.headers().contains_key(header::CONTENT_ENCODING)
}

/// Compresses a large answer for a caller who takes gzip; others stay as they are.
pub async fn pack(reply: Reply, takes_gzip: bool) -> Reply {
    if !may_be_packed(&reply) {
        return reply;
    }
    let (mut head, content) = reply.into_parts();
    // Whoever stores answers must know that this one depends on it.
    head.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !takes_gzip {
        return Reply::from_parts(head, content);
    }
    let plain = content.bytes().clone();
    match tokio::task::spawn_blocking(move || gzip(&plain)).await {
        Ok(Ok(packed)) => {
            head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            Reply::from_parts(head, Content::from(packed))
        }
        _ => Reply::from_parts(head, content),
    }
}

/// In one gzip member, at the level that costs least.
pub fn gzip(plain: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 2), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(coding: Coding, packed: &[u8], max: usize) -> Result<Bytes, Refused> {
        coding.unfold_here(packed, max, &mut Held::unbounded())
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn each(plain: &[u8]) -> [(Coding, Vec<u8>); 3] {
        [
            (Coding::Gzip, gzip(plain).unwrap().to_vec()),
            (Coding::Deflate, zlib(plain)),
            (Coding::Zstd, zstd(plain)),
        ]
    }

    #[test]
    fn a_body_unfolds_to_what_was_folded_up_to_its_limit_and_not_a_byte_more() {
        let plain: Vec<u8> = (0..200_000_u32).flat_map(|at| (at * 7).to_le_bytes()).collect();
        for (coding, packed) in each(&plain) {
            assert_eq!(undone(coding, &packed, plain.len()).unwrap(), plain, "{coding:?}");
            let less = undone(coding, &packed, plain.len() - 1);
            assert!(matches!(less, Err(Refused::TooLarge { .. })), "{coding:?}");
        }
    }

    #[test]
    fn members_and_frames_follow_one_another_and_junk_does_not() {
        for (coding, packed) in each(b"0,0,0\n") {
            let mut twice = packed.repeat(2);
            match coding {
                Coding::Deflate => assert!(undone(coding, &twice, 100).is_err()),
                _ => assert_eq!(undone(coding, &twice, 100).unwrap(), "0,0,0\n0,0,0\n"),
            }
            twice.extend_from_slice(b"junk");
            assert!(matches!(undone(coding, &twice, 100), Err(Refused::Coded { .. })));
        }
        let mut skipped = b"\x50\x2a\x4d\x18\x02\0\0\0ab".to_vec();
        skipped.extend(zstd(b"1,2,3"));
        assert_eq!(undone(Coding::Zstd, &skipped, 100).unwrap(), "1,2,3");
        assert!(undone(Coding::Zstd, b"\x50\x2a\x4d\x18\xff\0\0\0ab", 100).is_err());
    }

    #[test]
    fn a_body_that_is_cut_anywhere_is_refused() {
        for (coding, packed) in each(b"1,2,3\n4,5,6\n1,2,3\n") {
            for cut in 1..packed.len() {
                let result = undone(coding, &packed[..cut], 100);
                assert!(matches!(result, Err(Refused::Coded { .. })), "{coding:?} at {cut}");
            }
        }
    }

    #[test]
    fn a_bomb_costs_its_limit_and_no_more() {
        let zeros = vec![0; 64 << 20];
        for (coding, packed) in each(&zeros) {
            let mut held = Held::unbounded();
            let result = coding.unfold_here(&packed, 1 << 20, &mut held);
            assert!(matches!(result, Err(Refused::TooLarge { .. })), "{coding:?}");
            assert!(held.bytes() <= (1 << 20) + 1, "{coding:?}");
        }
    }

    #[test]
    fn the_codings_a_caller_takes_are_read_as_the_standard_says() {
        for (accept, takes) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*", true),
            ("*;q=0, br", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accept.as_bytes()), takes, "{accept:?}");
        }
        assert_eq!(Coding::parse(b" X-GZip "), Some(Coding::Gzip));
        assert_eq!(Coding::parse(b"gzip, gzip"), None);
        assert_eq!(Coding::parse(b"br"), None);
    }
}
