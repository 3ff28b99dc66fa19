//! What takes one call: stat, remove, usage, and each page of a listing.

use std::future::Future;

use bytes::Bytes;
#[cfg(doc)]
use holdfast_domain::Reason;
use holdfast_files_api::v1::{self as pb, files_client::FilesClient};
use holdfast_proto::module::v1 as wire;
use tonic::{Response, Status, transport::Channel};

use super::{File, FileError, FileName, Files, Usage, file_of};
use crate::{
    Error,
    home::Paging,
    limits::{MAX_REPLY_BYTES, PAGE_FILES},
};

/// The service at the other end of a channel.
pub(super) fn client(channel: Channel) -> FilesClient<Channel> {
    FilesClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)
}

impl Files {
    /// One unary call under one command id, which only reads.
    async fn read<T, F, Fut>(&self, action: &str, call: F) -> Result<T, Error>
    where
        F: Fn(FilesClient<Channel>, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.home.read(action, |channel, route| call(client(channel), route)).await
    }

    /// One unary call under one command id.
    pub(super) async fn call<T, F, Fut>(&self, action: &str, call: F) -> Result<T, Error>
    where
        F: Fn(FilesClient<Channel>, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.home.call(action, |channel, route| call(client(channel), route)).await
    }

    /// What the service says of a file.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::NotFound`] when there is none.
    pub async fn stat(&self, name: &FileName) -> Result<File, Error> {
        let action = format!("stat {name}");
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        let call = |mut client: FilesClient<Channel>, route| {
            let request = pb::StatRequest { route: Some(route), name: bytes.clone() };
            async move { client.stat(request).await }
        };
        let info = self.read(&action, call).await?;
        self.named(file_of(info, &action)?, name, &action)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::NotFound`] when there is none.
    pub async fn remove(&self, name: &FileName) -> Result<(), Error> {
        let action = format!("remove {name}");
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        let call = |mut client: FilesClient<Channel>, route| {
            let request = pb::RemoveRequest { route: Some(route), name: bytes.clone() };
            async move { client.remove(request).await }
        };
        self.call(&action, call).await.map(|pb::RemoveReply {}| ())
    }

    /// What the account uses.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn usage(&self) -> Result<Usage, Error> {
        let call = |mut client: FilesClient<Channel>, route| async move {
            client.usage(pb::UsageRequest { route: Some(route) }).await
        };
        let pb::UsageReply { used_bytes, quota_bytes, files } =
            self.read("ask for the account's usage", call).await?;
        Ok(Usage { used_bytes, quota_bytes, files })
    }

    /// The files under a prefix of whole components, page by page; an empty prefix lists all.
    pub fn list(&self, prefix: &[u8]) -> Listing {
        let prefix = Bytes::copy_from_slice(super::name::trim_slashes(prefix));
        Listing { files: self.clone(), prefix, paging: Paging::begin() }
    }

    /// Refuses an answer about another file than the one that was asked for.
    pub(super) fn named(&self, file: File, name: &FileName, action: &str) -> Result<File, Error> {
        let other = || Error::Reply { action: action.to_owned(), what: "file of that name" };
        (file.name == *name).then_some(file).ok_or_else(other)
    }
}

/// A listing under way.
pub struct Listing {
    files: Files,
    prefix: Bytes,
    paging: Paging,
}

impl Listing {
    /// The next page; `None` at the end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<File>>, Error> {
        const ACTION: &str = "list files";
        let Some(cursor) = self.paging.next() else { return Ok(None) };
        let call = |mut client: FilesClient<Channel>, route| {
            let request = pb::ListRequest {
                route: Some(route),
                prefix: self.prefix.clone(),
                cursor: cursor.clone(),
                limit: PAGE_FILES,
            };
            async move { client.list(request).await }
        };
        let pb::ListReply { files, cursor: next } = self.files.read(ACTION, call).await?;
        self.paging.follow(&cursor, next, ACTION)?;
        files.into_iter().map(|info| file_of(info, ACTION)).collect::<Result<_, _>>().map(Some)
    }
}

impl From<tokio::task::JoinError> for FileError {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Worker
    }
}
