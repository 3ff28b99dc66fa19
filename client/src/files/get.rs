//! Downloads: streamed to a file beside the target, checked, and put in place only when the hash is right.

use std::{
    fs::OpenOptions,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use holdfast_domain::Sha256Hash;
use holdfast_files_api::v1 as pb;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    File, FileError, FileName, Files, OnProgress, Progress, call::client, content::len, file_of, io,
    put::blocking,
};
use crate::{
    Error,
    error::Answer,
    home::{Tries, new_command, no_reply},
    limits::{CALL_TIMEOUT, CHUNKS_IN_FLIGHT},
    storage,
};

/// Where a download goes.
pub enum Target {
    /// A file, replaced when the content is complete and right.
    File(PathBuf),
    /// A stream, such as standard output: what was written before an error is the caller's to discard.
    Stream(Box<dyn Write + Send>),
}

/// How far a download is.
struct Download<'a> {
    name: &'a FileName,
    action: &'a str,
    chunks: mpsc::Sender<Bytes>,
    on_progress: OnProgress<'a>,
    /// From the first message of the first try.
    file: Option<File>,
    received: u64,
}

/// Why one stream ended.
enum Ended {
    Interrupted(Answer),
    Fatal(Error),
    /// The writer stopped; it knows why.
    Writer,
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl From<FileError> for Ended {
    fn from(error: FileError) -> Self {
        Self::Fatal(error.into())
    }
}

impl Files {
    /// Downloads a file.
    ///
    /// # Errors
    /// See [`Error`]. A target file is untouched unless all went well.
    pub async fn get(
        &self,
        name: &FileName,
        target: Target,
        on_progress: OnProgress<'_>,
    ) -> Result<File, Error> {
        match target {
            Target::Stream(stream) => self.receive(name, stream, on_progress).await,
            Target::File(path) => {
                let (temporary, writer) = create_beside(path.clone()).await?;
                let writer = Box::new(BufWriter::with_capacity(1 << 20, writer));
                let received = self.receive(name, writer, on_progress).await;
                blocking(move || put_in_place(received, &temporary, &path)).await
            }
        }
    }

    async fn receive(
        &self,
        name: &FileName,
        writer: Box<dyn Write + Send>,
        on_progress: OnProgress<'_>,
    ) -> Result<File, Error> {
        let action = format!("get {name}");
        let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let writing = start_writer(receiver, writer);
        let mut tries = self.home.reading(&action);
        let mut download =
            Download { name, action: &action, chunks: sender, on_progress, file: None, received: 0 };
        let ended = loop {
            match download.stream(self, &mut tries).await {
                Ok(()) => break Ok(()),
                Err(Ended::Interrupted(answer)) => {
                    if let Err(error) = tries.failed(answer).await {
                        break Err(error);
                    }
                }
                Err(Ended::Fatal(error)) => break Err(error),
                Err(Ended::Writer) => break Ok(()),
            }
        };
        let Download { chunks, file, received, .. } = download;
        drop(chunks);
        let written = writing.await.map_err(FileError::from)?;
        ended?;
        let sha256 = written.map_err(io("write", Path::new("the downloaded content")))?;
        let file = file.ok_or_else(|| Error::Reply { action: action.clone(), what: "file" })?;
        if received != file.size {
            return Err(FileError::Length { name: file.name, size: file.size, got: received }.into());
        }
        if sha256 == file.sha256 { Ok(file) } else { Err(FileError::Hash { name: file.name }.into()) }
    }
}

impl Download<'_> {
    /// One stream, from what was received so far to the end.
    async fn stream(&mut self, files: &Files, tries: &mut Tries<'_>) -> Result<(), Ended> {
        let (channel, route) = tries.connect(new_command()?).await?;
        let name = Bytes::copy_from_slice(self.name.as_bytes());
        let request = pb::GetRequest { route: Some(route), name, offset: self.received };
        let opened = tokio::time::timeout(CALL_TIMEOUT, client(channel).get(request)).await;
        let interrupted = |status: tonic::Status| Ended::Interrupted(Answer::of(&status));
        let silent = |_| Ended::Interrupted(no_reply());
        let mut messages = opened.map_err(silent)?.map_err(interrupted)?.into_inner();
        let mut first = true;
        loop {
            let message = tokio::time::timeout(CALL_TIMEOUT, messages.message()).await;
            let Some(pb::GetReply { file, data }) = message.map_err(silent)?.map_err(interrupted)? else {
                return self.ended();
            };
            if std::mem::take(&mut first) {
                self.describe(file, files)?;
            }
            if !data.is_empty() {
                self.take(data).await?;
                tries.progressed();
            }
        }
    }

    /// The first message says which content this is; it must be the same one for all tries.
    fn describe(&mut self, info: Option<pb::FileInfo>, files: &Files) -> Result<(), Ended> {
        let missing = || Error::Reply { action: self.action.to_owned(), what: "file" };
        let file = files.named(file_of(info.ok_or_else(missing)?, self.action)?, self.name, self.action)?;
        match &self.file {
            Some(known) if known.sha256 != file.sha256 || known.size != file.size => {
                Err(FileError::Replaced { name: self.name.clone() }.into())
            }
            _ => {
                self.file = Some(file);
                Ok(())
            }
        }
    }

    async fn take(&mut self, data: Bytes) -> Result<(), Ended> {
        let total = self.file.as_ref().map_or(0, |file| file.size);
        let received = self.received.saturating_add(len(&data));
        if received > total {
            return Err(FileError::Length { name: self.name.clone(), size: total, got: received }.into());
        }
        self.chunks.send(data).await.map_err(|_| Ended::Writer)?;
        self.received = received;
        (self.on_progress)(Progress { done: received, total });
        Ok(())
    }

    /// A stream that ends early without an error was cut.
    fn ended(&self) -> Result<(), Ended> {
        let complete = self.file.as_ref().is_some_and(|file| file.size == self.received);
        let cut = || Answer::Silent { last: "the stream ended early".to_owned(), sent: true };
        complete.then_some(()).ok_or_else(|| Ended::Interrupted(cut()))
    }
}

/// Hashes and writes on a thread of its own until the sender is gone.
fn start_writer(
    mut chunks: mpsc::Receiver<Bytes>,
    mut writer: Box<dyn Write + Send>,
) -> JoinHandle<std::io::Result<Sha256Hash>> {
    spawn_blocking(move || {
        let mut hasher = Sha256::new();
        while let Some(chunk) = chunks.blocking_recv() {
            hasher.update(&chunk);
            writer.write_all(&chunk)?;
        }
        writer.flush()?;
        Ok(Sha256Hash::new(hasher.finalize().into()))
    })
}

async fn create_beside(path: PathBuf) -> Result<(PathBuf, std::fs::File), Error> {
    blocking(move || {
        let temporary =
            storage::temporary_beside(&path).map_err(io("name a temporary file beside", &path))?;
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary);
        Ok((temporary.clone(), file.map_err(io("create a file beside", &path))?))
    })
    .await
}

fn put_in_place(received: Result<File, Error>, temporary: &Path, path: &Path) -> Result<File, Error> {
    let placed = received.and_then(|file| {
        std::fs::rename(temporary, path).map_err(io("write", path))?;
        Ok(file)
    });
    if placed.is_err() {
        // The first error is the one that matters.
        let _ = std::fs::remove_file(temporary);
    }
    placed
}
