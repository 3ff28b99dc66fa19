//! Writes gathered until they are flushed.
//!
//! HTTP/2 writes a frame's head and its payload apart where writes cannot be vectored, and where they can it flushes after each payload of
//! 256 bytes or more. Over TLS both make records, system calls and packets of a few bytes: here a small message goes out with its headers
//! and its end at once, and a large one frame by frame.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

use crate::limits::WRITE_BUFFER;

/// A stream whose writes go out when it is flushed, or when [`WRITE_BUFFER`] bytes are together.
#[derive(Debug)]
pub struct Gathered<S>(BufWriter<S>);

impl<S: AsyncWrite> Gathered<S> {
    /// Over a stream that was not written to.
    pub fn new(stream: S) -> Self {
        Self(BufWriter::with_capacity(WRITE_BUFFER, stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_read(context, buffer)
    }
}

/// Says that it does not take vectored writes: that is when HTTP/2 copies what is small.
impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_is_flushed_comes_whole_and_in_one_piece_if_it_is_small() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut ours = Gathered::new(ours);
        assert!(!ours.is_write_vectored());
        ours.write_all(b"head").await.unwrap();
        ours.write_all(b"payload").await.unwrap();
        let mut read = vec![0; 64];
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(5), theirs.read(&mut read)).await;
        assert!(waiting.is_err(), "not before it is flushed");
        ours.flush().await.unwrap();
        assert_eq!(theirs.read(&mut read).await.unwrap(), "headpayload".len());
        let large: Vec<_> = (0..4 * WRITE_BUFFER).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for piece in large.chunks(WRITE_BUFFER / 3) {
            ours.write_all(piece).await.unwrap();
        }
        ours.shutdown().await.unwrap();
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).await.unwrap();
        assert!(all == large);
    }
}
