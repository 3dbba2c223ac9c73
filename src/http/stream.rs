//! A socket that notes for the sweep when bytes come and when the peer stops taking them, and that
//! sees heads which hyper mends before anybody can refuse them.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use bytes::{Buf, BytesMut};

use super::frames::Frames;
use super::smuggled::{Found, Framing};
use super::watch::Watch;

/// A socket and its watch.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) socket: S,
    /// What was read to see which protocol it speaks.
    pub(super) early: BytesMut,
    pub(super) watch: Rc<Watch>,
    pub(super) framing: Followed,
}

/// Who follows what comes.
#[derive(Debug)]
pub(super) enum Followed {
    Http1(Box<Framing>),
    Http2(Frames),
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.early.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        } else {
            let count = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..count]);
            self.early.advance(count);
            if self.early.is_empty() {
                self.early = BytesMut::new();
            }
        }
        let new = &mut buffer.filled_mut()[before..];
        if !new.is_empty() {
            self.watch.received();
            let found = match &mut self.framing {
                Followed::Http1(framing) => framing.follow(new),
                Followed::Http2(frames) => {
                    let count = frames.follow(new);
                    self.watch.data_came(count);
                    None
                }
            };
            match found {
                None => {}
                Some(Found::Head(head, doubt)) => self.watch.ambiguous(head, doubt),
                // What stands there now nobody takes for a chunk's size.
                Some(Found::Chunk(end)) => new[end] = b'?',
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch.written(result.is_ready());
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(context, pieces);
        self.watch.written(result.is_ready());
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
