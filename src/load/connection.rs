//! One keep-alive connection: sends a request, reads its answer to the end, keeps nothing of it.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Headers and chunk lines longer than this are no answer of a model server.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 64;

pub(super) struct Connection {
    stream: TcpStream,
    /// Bytes read and not understood yet.
    buffer: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) bytes: u64,
    /// Whether the server will take another request here.
    pub(super) goes_on: bool,
}

/// How the end of a body is found.
#[derive(Debug, PartialEq, Eq)]
enum Length {
    Known(u64),
    Chunked,
    UntilClose,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    /// Sends `request` and reads its answer; the first bytes of the body go to `body`, up to its
    /// capacity.
    pub(super) async fn ask(&mut self, request: &[u8], body: &mut Vec<u8>) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        loop {
            let (status, goes_on, length) = self.head().await?;
            // `100 Continue` and its kin come before the answer.
            if (100..200).contains(&status) {
                continue;
            }
            let bytes = match length {
                Length::Known(length) => self.exactly(length, body).await?,
                Length::Chunked => self.chunks(body).await?,
                Length::UntilClose => self.rest(body).await?,
            };
            let goes_on = goes_on && length != Length::UntilClose;
            return Ok(Answer { status, bytes, goes_on });
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed")),
            _ => Ok(()),
        }
    }

    async fn head(&mut self) -> io::Result<(u16, bool, Length)> {
        loop {
            if !self.buffer.is_empty()
                && let Some((bytes, head)) = parse_head(&self.buffer)?
            {
                self.buffer.drain(..bytes);
                return Ok(head);
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(wrong("its head does not end"));
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: u64, body: &mut Vec<u8>) -> io::Result<u64> {
        let mut left = length;
        loop {
            let here = left.min(self.buffer.len() as u64) as usize;
            keep(body, &self.buffer[..here]);
            self.buffer.drain(..here);
            left -= here as u64;
            if left == 0 {
                return Ok(length);
            }
            self.more().await?;
        }
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<u64> {
        let mut total = 0;
        loop {
            let size = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete((bytes, size))) => {
                        self.buffer.drain(..bytes);
                        break size;
                    }
                    Ok(httparse::Status::Partial) if self.buffer.len() < HEAD_BYTES_MAX => {
                        self.more().await?;
                    }
                    _ => return Err(wrong("its chunks are not chunks")),
                }
            };
            total += self.exactly(size, body).await?;
            let mut none = Vec::new();
            if size > 0 {
                self.exactly(2, &mut none).await?;
                continue;
            }
            // Trailers end with an empty line.
            while let Some(line) = self.line().await? {
                if line == 0 {
                    return Ok(total);
                }
            }
        }
    }

    /// Takes one line away and tells its length without the line end.
    async fn line(&mut self) -> io::Result<Option<usize>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer) {
                let length = at - usize::from(at > 0 && self.buffer[at - 1] == b'\r');
                self.buffer.drain(..=at);
                return Ok(Some(length));
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(wrong("its trailers do not end"));
            }
            self.more().await?;
        }
    }

    async fn rest(&mut self, body: &mut Vec<u8>) -> io::Result<u64> {
        let mut total = 0;
        loop {
            total += self.buffer.len() as u64;
            keep(body, &self.buffer);
            self.buffer.clear();
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(total);
            }
        }
    }
}

fn keep(body: &mut Vec<u8>, bytes: &[u8]) {
    let room = body.capacity() - body.len();
    body.extend_from_slice(&bytes[..room.min(bytes.len())]);
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

type Head = (u16, bool, Length);

/// A head and its length in bytes; `None` while it is not all there.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(usize, Head)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(why) => return Err(wrong(&format!("it is not HTTP ({why})"))),
    };
    let status = response.code.unwrap_or(0);
    let mut goes_on = response.version == Some(1);
    let mut found = match status {
        100..200 | 204 | 304 => Length::Known(0),
        _ => Length::UntilClose,
    };
    for header in response.headers {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") && found != Length::Chunked {
            found = Length::Known(value.parse().map_err(|_| wrong("its length is no number"))?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            found = Length::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            goes_on = !value.eq_ignore_ascii_case("close");
        }
    }
    Ok(Some((length, (status, goes_on, found))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_its_status_and_where_the_body_ends() {
        let parse = |text: &str| parse_head(text.as_bytes()).unwrap();
        assert_eq!(parse("HTTP/1.1 200 OK\r\nContent-Le"), None);
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(parse(text), Some((text.len(), (200, true, Length::Known(12)))));
        let text = "HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n";
        assert_eq!(parse(text), Some((text.len(), (503, false, Length::Chunked))));
        let text = "HTTP/1.0 200 OK\r\n\r\n";
        assert_eq!(parse(text), Some((text.len(), (200, false, Length::UntilClose))));
        assert!(parse_head(b"SSH-2.0-OpenSSH\r\n").is_err());
    }
}
