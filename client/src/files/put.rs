//! Uploads: small files in one call, others in parts that the service makes durable, so that any try goes on where the last one
//! stopped, in this process or a later one.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use holdfast_domain::{Reason, Sha256Hash, UploadId};
use holdfast_files_api::v1::{self as pb, files_client::FilesClient};
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Response, Status, transport::Channel};

use super::{
    File, FileError, FileName, Files, OnProgress, Progress,
    call::client,
    content::{Source, len},
    file_of,
    resume::{ResumeStore, UploadKey},
};
use crate::{
    Error,
    error::Answer,
    home::{Tries, new_command, no_reply},
    limits::{APPEND_CALL_BYTES, CALL_TIMEOUT, CHUNKS_IN_FLIGHT, SMALL_FILE_BYTES, UPLOAD_RESENDS},
    time::now,
};

/// One large upload under way.
struct Upload<'a> {
    name: &'a FileName,
    action: &'a str,
    store: ResumeStore,
    key: UploadKey,
    id: UploadId,
    /// A forgotten upload is begun anew once.
    renewed: bool,
    size: u64,
}

/// How appending ended.
enum Appended {
    /// All of it is durable.
    All,
    /// Ask how much is durable and go on.
    Interrupted(Answer),
}

impl Files {
    /// Uploads a local file, replacing what had the name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put(
        &self,
        name: &FileName,
        path: &Path,
        on_progress: OnProgress<'_>,
    ) -> Result<File, Error> {
        let path = path.to_owned();
        let source = blocking(move || Source::open(&path)).await?;
        if source.size() <= SMALL_FILE_BYTES {
            self.put_small(name, source, on_progress).await
        } else {
            self.put_large(name, source, on_progress).await
        }
    }

    async fn put_small(
        &self,
        name: &FileName,
        mut source: Source,
        on_progress: OnProgress<'_>,
    ) -> Result<File, Error> {
        let (data, sha256) = blocking(move || {
            let data = source.read_all()?;
            Ok((data, source.finish()?))
        })
        .await?;
        let action = format!("put {name}");
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        let call = |mut client: FilesClient<Channel>, route| {
            let sha256 = Bytes::copy_from_slice(sha256.as_bytes());
            let request =
                pb::PutSmallRequest { route: Some(route), name: bytes.clone(), data: data.clone(), sha256 };
            async move { client.put_small(request).await }
        };
        let reply = self.call(&action, call).await?;
        on_progress(Progress { done: len(&data), total: len(&data) });
        self.committed(reply, name, len(&data), sha256, &action)
    }

    async fn put_large(
        &self,
        name: &FileName,
        source: Source,
        on_progress: OnProgress<'_>,
    ) -> Result<File, Error> {
        let action = format!("put {name}");
        let path_key = UploadKey::of(self.home.id(), name, source.path(), source.metadata())?;
        let store = ResumeStore::new(self.home.shared.uploads_dir.clone());
        let id = store.begin(&path_key, now())?;
        let size = source.size();
        let mut upload = Upload { name, action: &action, store, key: path_key, id, renewed: false, size };
        let mut tries = self.home.tries(&action);
        let mut source = Some(source);
        let mut resent = 0;
        let (sha256, result) = loop {
            self.append_all(&mut upload, &mut tries, &mut source, on_progress).await?;
            let mut whole = source.take().ok_or(FileError::Worker)?;
            let (whole, sha256) = blocking(move || {
                let sha256 = whole.finish()?;
                Ok((whole, sha256))
            })
            .await?;
            source = Some(whole);
            match self.commit(&upload, &mut tries, sha256).await {
                // What was sent stayed behind with the group that had the home until now.
                Err(Error::Refused { reason: Reason::UploadIncomplete, .. }) if resent < UPLOAD_RESENDS => {
                    resent += 1
                }
                result => break (sha256, result),
            }
        };
        if !matches!(&result, Err(error) if error.kind() == crate::ErrorKind::Unavailable) {
            upload.store.forget(&upload.key);
        }
        let reply = result?;
        self.committed(reply, name, size, sha256, &action)
    }

    /// Asks how much is durable, sends the rest, and again after each interruption.
    async fn append_all(
        &self,
        upload: &mut Upload<'_>,
        tries: &mut Tries<'_>,
        source: &mut Option<Source>,
        on_progress: OnProgress<'_>,
    ) -> Result<(), Error> {
        let mut durable_before = 0;
        loop {
            let durable = match self.begin(upload, tries).await {
                Err(Error::Refused { reason: Reason::UploadUnknown, .. }) if !upload.renewed => {
                    upload.renew()?;
                    continue;
                }
                other => other?,
            };
            if durable > durable_before {
                tries.progressed();
                durable_before = durable;
            }
            on_progress(Progress { done: durable, total: upload.size });
            match self.append_from(durable, upload, tries, source, on_progress).await? {
                Appended::All => return Ok(()),
                Appended::Interrupted(Answer::Refused { reason: Reason::UploadUnknown, .. })
                    if !upload.renewed =>
                {
                    upload.renew()?;
                }
                Appended::Interrupted(answer) => tries.failed(answer).await?,
            }
        }
    }

    async fn begin(&self, upload: &Upload<'_>, tries: &mut Tries<'_>) -> Result<u64, Error> {
        let call = |channel, route| {
            let request = pb::BeginRequest {
                route: Some(route),
                name: Bytes::copy_from_slice(upload.name.as_bytes()),
                size: upload.size,
                upload_id: upload.id_bytes(),
            };
            async move { client(channel).begin(request).await }
        };
        let pb::BeginReply { durable_bytes } = tries.unary(new_command()?, call).await?;
        upload.check_durable(durable_bytes)
    }

    async fn append_from(
        &self,
        from: u64,
        upload: &Upload<'_>,
        tries: &mut Tries<'_>,
        source: &mut Option<Source>,
        on_progress: OnProgress<'_>,
    ) -> Result<Appended, Error> {
        let mut offset = from;
        while offset < upload.size {
            let to = upload.size.min(offset.saturating_add(APPEND_CALL_BYTES));
            let (channel, route) = tries.connect(new_command()?).await?;
            let first = pb::AppendRequest {
                route: Some(route),
                upload_id: upload.id_bytes(),
                offset,
                data: Bytes::new(),
            };
            let reading = source.take().ok_or(FileError::Worker)?;
            let span = (offset, to, upload.size);
            let (returned, reply) = append_once(client(channel), first, reading, span, on_progress).await?;
            *source = Some(returned);
            match reply {
                Ok(pb::AppendReply { durable_bytes }) => {
                    let durable = upload.check_durable(durable_bytes)?;
                    if durable <= offset {
                        return Ok(Appended::Interrupted(no_reply()));
                    }
                    offset = durable;
                    tries.progressed();
                }
                Err(answer) => return Ok(Appended::Interrupted(answer)),
            }
        }
        Ok(Appended::All)
    }

    async fn commit(
        &self,
        upload: &Upload<'_>,
        tries: &mut Tries<'_>,
        sha256: Sha256Hash,
    ) -> Result<pb::CommitReply, Error> {
        let call = |channel, route| {
            let request = pb::CommitRequest {
                route: Some(route),
                upload_id: upload.id_bytes(),
                sha256: Bytes::copy_from_slice(sha256.as_bytes()),
            };
            async move { client(channel).commit(request).await }
        };
        tries.unary(new_command()?, call).await
    }

    /// Both ends must agree on what was stored.
    fn committed(
        &self,
        reply: pb::CommitReply,
        name: &FileName,
        size: u64,
        sha256: Sha256Hash,
        action: &str,
    ) -> Result<File, Error> {
        let missing = || Error::Reply { action: action.to_owned(), what: "file" };
        let file = self.named(file_of(reply.file.ok_or_else(missing)?, action)?, name, action)?;
        if file.size == size && file.sha256 == sha256 {
            Ok(file)
        } else {
            Err(FileError::Hash { name: name.clone() }.into())
        }
    }
}

impl Upload<'_> {
    fn id_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.id.as_bytes())
    }

    fn renew(&mut self) -> Result<(), Error> {
        self.renewed = true;
        self.id = self.store.renew(&self.key, now())?;
        Ok(())
    }

    fn check_durable(&self, durable: u64) -> Result<u64, Error> {
        let impossible = || Error::Reply { action: self.action.to_owned(), what: "number of durable bytes" };
        (durable <= self.size).then_some(durable).ok_or_else(impossible)
    }
}

/// One call: a thread reads and hashes ahead while the network takes what it can. The source comes back in any case.
async fn append_once(
    mut client: FilesClient<Channel>,
    first: pb::AppendRequest,
    mut source: Source,
    (from, to, total): (u64, u64, u64),
    on_progress: OnProgress<'_>,
) -> Result<(Source, Result<pb::AppendReply, Answer>), Error> {
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let reader = spawn_blocking(move || {
        let fed = source.feed(from, to, &sender);
        (source, fed)
    });
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let chunks = ReceiverStream::new(receiver).map(move |data| {
        counter.fetch_add(len(&data), Ordering::Relaxed);
        pb::AppendRequest { route: None, upload_id: Bytes::new(), offset: 0, data }
    });
    let call = client.append(tokio_stream::once(first).chain(chunks));
    let answer = watched(call, &sent, |done| on_progress(Progress { done: from + done, total })).await;
    // The stream is gone by now, so a reader that is ahead stops.
    let (source, fed) = reader.await.map_err(FileError::from)?;
    fed?;
    Ok((source, answer))
}

/// Waits for a reply as long as bytes go out.
async fn watched<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
    sent: &AtomicU64,
    on_sent: impl Fn(u64),
) -> Result<T, Answer> {
    let mut call = std::pin::pin!(call);
    let (mut seen, mut idle_ticks) = (0, 0u64);
    let tick = std::time::Duration::from_millis(200);
    loop {
        tokio::select! {
            reply = &mut call => {
                return reply.map(Response::into_inner).map_err(|status| Answer::of(&status));
            }
            () = tokio::time::sleep(tick) => {
                let now = sent.load(Ordering::Relaxed);
                idle_ticks = if now == seen { idle_ticks + 1 } else { 0 };
                seen = now;
                on_sent(seen);
                if tick.saturating_mul(u32::try_from(idle_ticks).unwrap_or(u32::MAX)) > CALL_TIMEOUT {
                    return Err(no_reply());
                }
            }
        }
    }
}

/// Runs what blocks where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.map_err(FileError::from)?
}
