//! Bodies signed in chunks (`aws-chunked`): each chunk's signature covers the one before, so that
//! none can be changed, dropped, doubled or moved.
//!
//! ```text
//! 10000;chunk-signature=ad80c7…\r\n <65536 bytes> \r\n … 0;chunk-signature=b6c6ea…\r\n\r\n
//! ```
//! With a trailer, headers follow the empty chunk, and a signature over them.

use super::error::{Refusal, incomplete};
use super::key::{SigningKey, hexed, same, sha256};
use super::parse::digest;
use crate::spec::limit::{HEADER_BYTES_MAX, HEADERS_MAX};

const SIGNATURE: &str = ";chunk-signature=";
/// Of a chunk's first line: 16 digits of length, the name, 64 of signature.
const LINE_BYTES_MAX: usize = 16 + SIGNATURE.len() + 64;

/// The chain of signatures of one body, begun by the request's own.
#[derive(Debug)]
pub struct Chunks {
    key: SigningKey,
    /// Time and scope, a line each.
    stamp: String,
    last: [u8; 32],
    trailer: bool,
    number: usize,
}

/// What a streamed body held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The headers behind it, names in lower case.
    pub trailer: Vec<(String, String)>,
}

impl Chunks {
    pub(super) fn new(key: SigningKey, stamp: String, seed: [u8; 32], trailer: bool) -> Chunks {
        Chunks { key, stamp, last: seed, trailer, number: 0 }
    }

    /// The bytes inside `body`, every chunk of it proved, and the headers behind it.
    ///
    /// # Errors
    /// [`Refusal::Chunk`] at the first chunk that is not the signed one; [`Refusal::Incomplete`]
    /// when the form is broken, the last chunk missing, or something follows it.
    pub fn decode(mut self, body: &[u8]) -> Result<Decoded, Refusal> {
        let mut plain = Vec::with_capacity(body.len());
        let mut rest = body;
        loop {
            self.number += 1;
            let (line, behind) = line(rest, LINE_BYTES_MAX).ok_or_else(|| self.broken())?;
            let (length, signature) = line.split_once(SIGNATURE).ok_or_else(|| self.broken())?;
            let length = length_of(length).ok_or_else(|| self.broken())?;
            let signature = digest(signature)?;
            let (data, behind) = behind.split_at_checked(length).ok_or_else(|| self.broken())?;
            let empty = hexed(&sha256(b""));
            let expected =
                self.sign("AWS4-HMAC-SHA256-PAYLOAD", &[&empty, b"\n", &hexed(&sha256(data))]);
            if !same(&expected, &signature) {
                return Err(Refusal::Chunk { number: self.number });
            }
            self.last = expected;
            plain.extend_from_slice(data);
            if length == 0 {
                rest = behind;
                break;
            }
            rest = behind.strip_prefix(b"\r\n").ok_or_else(|| self.broken())?;
        }
        let trailer = if self.trailer { self.trailer(&mut rest)? } else { Vec::new() };
        match rest {
            b"\r\n" => Ok(Decoded { bytes: plain, trailer }),
            b"" if self.trailer => Ok(Decoded { bytes: plain, trailer }),
            _ => Err(self.broken()),
        }
    }

    fn trailer(&mut self, rest: &mut &[u8]) -> Result<Vec<(String, String)>, Refusal> {
        let (mut headers, mut signed) = (Vec::new(), Vec::new());
        loop {
            let (text, behind) = line(rest, HEADER_BYTES_MAX).ok_or_else(|| self.broken())?;
            *rest = behind;
            let (name, value) = text.split_once(':').ok_or_else(|| self.broken())?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            if name == "x-amz-trailer-signature" {
                let given = digest(value)?;
                let expected = self.sign("AWS4-HMAC-SHA256-TRAILER", &[&hexed(&sha256(&signed))]);
                return match same(&expected, &given) {
                    true => Ok(headers),
                    false => Err(Refusal::Chunk { number: self.number }),
                };
            }
            signed.extend_from_slice(format!("{name}:{value}\n").as_bytes());
            headers.push((name, value.to_owned()));
            if headers.len() > HEADERS_MAX {
                return Err(self.broken());
            }
        }
    }

    fn sign(&self, kind: &str, what: &[&[u8]]) -> [u8; 32] {
        let last = hexed(&self.last);
        let head: [&[u8]; 6] = [kind.as_bytes(), b"\n", self.stamp.as_bytes(), b"\n", &last, b"\n"];
        self.key.sign(&[&head[..], what].concat())
    }

    fn broken(&self) -> Refusal {
        incomplete(format!("chunk {} of the body is cut short or misformed", self.number))
    }
}

/// A line that ends within `bytes_max`, without its end, and what follows.
fn line(bytes: &[u8], bytes_max: usize) -> Option<(&str, &[u8])> {
    let window = &bytes[..bytes.len().min(bytes_max + 2)];
    let end = window.windows(2).position(|pair| pair == b"\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 2..]))
}

/// Hexadecimal digits and nothing else.
fn length_of(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    usize::from_str_radix(text, 16).ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::sigv4::key::Secret;

    /// The examples of AWS's S3 API Reference, "Signature calculations for the authorization
    /// header: transferring payload in multiple chunks", without and with a trailing header.
    fn example(seed: &str, trailer: bool) -> Chunks {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into());
        let key = SigningKey::derive(Some(&secret), "20130524", "us-east-1", "s3");
        let stamp = "20130524T000000Z\n20130524/us-east-1/s3/aws4_request".into();
        Chunks::new(key, stamp, digest(seed).unwrap(), trailer)
    }

    const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    const SIGNATURES: [&str; 3] = [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ];

    fn chunk(length: usize, signature: &str) -> Vec<u8> {
        let head = format!("{length:x};chunk-signature={signature}\r\n");
        [head.as_bytes(), &vec![b'a'; length], b"\r\n"].concat()
    }

    fn body() -> Vec<u8> {
        let lengths = [65_536, 1_024, 0];
        lengths.iter().zip(SIGNATURES).flat_map(|(length, sign)| chunk(*length, sign)).collect()
    }

    #[test]
    fn the_example_of_aws_documentation_is_read() {
        let Decoded { bytes, trailer } = example(SEED, false).decode(&body()).unwrap();
        assert_eq!((bytes.len(), trailer.len()), (66_560, 0));
        assert!(bytes.iter().all(|byte| *byte == b'a'));
    }

    #[test]
    fn the_example_with_a_trailing_header_is_read_and_its_value_is_signed() {
        let seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
        let mut body =
            chunk(65_536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2");
        body.extend(chunk(
            1_024,
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        ));
        let last = "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n\
                    x-amz-checksum-crc32c:sOO8/Q==\r\n\
                    x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";
        body.extend_from_slice(last.as_bytes());
        let Decoded { bytes, trailer } = example(seed, true).decode(&body).unwrap();
        assert_eq!(bytes.len(), 66_560);
        assert_eq!(trailer, [("x-amz-checksum-crc32c".into(), "sOO8/Q==".into())]);
        let at = body.len() - 120;
        let changed = body.windows(8).position(|part| part == b"sOO8/Q==").unwrap();
        assert!(changed > at - 100);
        body[changed] = b't';
        assert!(example(seed, true).decode(&body).is_err());
    }

    #[test]
    fn a_chunk_that_is_changed_dropped_doubled_or_moved_is_refused() {
        let refused = |body: Vec<u8>| example(SEED, false).decode(&body).unwrap_err();
        let chunks: Vec<Vec<u8>> = [65_536, 1_024, 0]
            .iter()
            .zip(SIGNATURES)
            .map(|(length, sign)| chunk(*length, sign))
            .collect();
        let with = |order: &[usize]| order.iter().flat_map(|at| chunks[*at].clone()).collect();
        for (order, number) in
            [(&[1, 2][..], 1), (&[0, 2], 2), (&[0, 0, 1, 2], 2), (&[1, 0, 2], 1), (&[2], 1)]
        {
            assert_eq!(refused(with(order)), Refusal::Chunk { number }, "{order:?}");
        }
        let mut changed = body();
        changed[70_000 - 4_000] ^= 1;
        assert!(matches!(refused(changed), Refusal::Chunk { number: 2 }));
        let mut more = body();
        more.extend_from_slice(b"0");
        assert!(matches!(refused(more), Refusal::Incomplete { .. }));
    }

    #[test]
    fn no_beginning_of_a_body_is_taken_for_the_whole() {
        let body = body();
        let ends = (0..200).chain(65_500..65_800).chain(body.len() - 120..body.len());
        for end in ends {
            assert!(example(SEED, false).decode(&body[..end]).is_err(), "{end}");
        }
    }
}
