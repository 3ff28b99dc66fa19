//! Unix sockets between a node and one module server: each end asks the kernel who is at the other.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::Stream;
use holdfast_certs::Peer;
use holdfast_domain::Reason;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tonic::transport::server::Connected;

/// Owner and group read and write; nobody else gets as far as being asked for his name.
const MODE: u32 = 0o660;

/// Connects to the module's socket, if its user is the one who listens there.
pub(super) async fn dial(path: PathBuf, uid: u32) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(&path).await?;
    let found = stream.peer_cred()?.uid();
    if found != uid {
        let text = format!("uid {found} listens at {}, not uid {uid}", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(stream)
}

/// Listens at `path` for users in `group`, in place of a socket that a node left there.
pub(super) fn listen(path: &Path, group: u32) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::os::unix::fs::chown(path, None, Some(group))?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// Connections of one user; others are told nothing and recorded, and so is one too many.
pub(super) struct Accepted {
    pub(super) open: Arc<Semaphore>,
    pub(super) listener: UnixListener,
    pub(super) uid: u32,
    /// The user as the guard knows it.
    pub(super) peer: Peer,
}

impl Stream for Accepted {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let (stream, _) = match std::task::ready!(self.listener.poll_accept(task)) {
                Ok(accepted) => accepted,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            let uid = stream.peer_cred().map(|credentials| credentials.uid());
            let genuine = uid.as_ref().is_ok_and(|uid| *uid == self.uid);
            let place = Arc::clone(&self.open).try_acquire_owned();
            if genuine && let Ok(place) = place {
                return Poll::Ready(Some(Ok(Connection { stream, peer: self.peer.clone(), _place: place })));
            }
            let reason = if genuine { Reason::TooMany } else { Reason::NotPermitted };
            let module = self.peer.identity.as_ref().map(|identity| identity.spiffe.subject.to_string());
            tracing::info!(
                target: "audit", decision = "deny", rule = "socket", module, uid = uid.ok(), wanted = self.uid,
                reason = reason.code()
            );
        }
    }
}

/// A connection of the module's user.
pub(super) struct Connection {
    stream: UnixStream,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(task, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
