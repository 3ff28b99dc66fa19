//! Calls to the shard node that serves the home: finds it, follows it when it moves, tries again within the client's patience.

use std::{future::Future, time::Instant};

use bytes::Bytes;
use holdfast_domain::{CommandId, MapEpoch, Reason};
use holdfast_files_api::v1::{self as pb, files_client::FilesClient};
use holdfast_keys::random_array;
use holdfast_proto::module::v1 as wire;
use tonic::{Response, Status, transport::Channel};

use super::{File, FileError, FileName, Files, Usage, file_of};
use crate::{
    Error, ErrorKind,
    error::{Answer, is_passing},
    limits::{CALL_TIMEOUT, MAX_REPLY_BYTES, PAGE_FILES},
    map::Route,
    registries::{jitter, millis},
    retry::{Failure, MapStep, NewerMap, Retry, Step},
};

/// The tries of one operation, which may be several calls.
pub(super) struct Tries<'a> {
    files: &'a Files,
    action: &'a str,
    began: Instant,
    retry: Retry,
    /// Which of the route's replicas is asked next.
    replica: usize,
}

impl Files {
    pub(super) fn tries<'a>(&'a self, action: &'a str) -> Tries<'a> {
        let retry = Retry::new(millis(self.shared.registries.patience()), 0);
        Tries { files: self, action, began: Instant::now(), retry, replica: 0 }
    }

    /// One unary call under one command id.
    pub(super) async fn call<T, F, Fut>(&self, action: &str, call: F) -> Result<T, Error>
    where
        F: Fn(FilesClient<Channel>, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut tries = self.tries(action);
        let command = new_command()?;
        tries.unary(command, call).await
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
        let info = self.call(&action, call).await?;
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
            self.call("ask for the account's usage", call).await?;
        Ok(Usage { used_bytes, quota_bytes, files })
    }

    /// The files under a prefix of whole components, page by page; an empty prefix lists all.
    pub fn list(&self, prefix: &[u8]) -> Listing {
        let prefix = Bytes::copy_from_slice(super::name::trim_slashes(prefix));
        Listing { files: self.clone(), prefix, cursor: Some(Bytes::new()) }
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
    cursor: Option<Bytes>,
}

impl Listing {
    /// The next page; `None` at the end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<File>>, Error> {
        const ACTION: &str = "list files";
        let Some(cursor) = self.cursor.take() else { return Ok(None) };
        let call = |mut client: FilesClient<Channel>, route| {
            let request = pb::ListRequest {
                route: Some(route),
                prefix: self.prefix.clone(),
                cursor: cursor.clone(),
                limit: PAGE_FILES,
            };
            async move { client.list(request).await }
        };
        let pb::ListReply { files, cursor: next } = self.files.call(ACTION, call).await?;
        if next == cursor && !next.is_empty() {
            return Err(Error::Reply { action: ACTION.to_owned(), what: "cursor that advances" });
        }
        self.cursor = (!next.is_empty()).then_some(next);
        files.into_iter().map(|info| file_of(info, ACTION)).collect::<Result<_, _>>().map(Some)
    }
}

impl Tries<'_> {
    /// One unary call, again and again until it is answered.
    pub(super) async fn unary<T, F, Fut>(&mut self, command: CommandId, call: F) -> Result<T, Error>
    where
        F: Fn(FilesClient<Channel>, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        loop {
            let (client, route) = self.connect(command).await?;
            match tokio::time::timeout(CALL_TIMEOUT, call(client, route)).await {
                Ok(Ok(reply)) => return Ok(reply.into_inner()),
                Ok(Err(status)) => self.failed(Answer::of(&status)).await?,
                Err(_) => self.failed(no_reply()).await?,
            }
        }
    }

    /// A client of the node that serves the home now.
    pub(super) async fn connect(
        &mut self,
        command: CommandId,
    ) -> Result<(FilesClient<Channel>, wire::Route), Error> {
        let shared = &self.files.shared;
        loop {
            match shared.route(self.action).await {
                Ok(Route { epoch, group, replicas }) => {
                    let at = self.replica.checked_rem(replicas.len()).unwrap_or(0);
                    let none = || Error::Reply { action: self.action.to_owned(), what: "replica" };
                    let channel = shared.nodes.channel(self.action, replicas.get(at).ok_or_else(none)?)?;
                    let route = wire::Route {
                        map_epoch: epoch.0,
                        group: group.0,
                        command_id: Bytes::copy_from_slice(command.as_bytes()),
                        home: None,
                    };
                    let client = FilesClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES);
                    return Ok((client, route));
                }
                // The cluster has no group for this home yet.
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    let last = holdfast_domain::causes(&error);
                    self.failed(Answer::Silent { last, sent: false }).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Something was achieved: patience begins anew.
    pub(super) fn progressed(&mut self) {
        self.retry.progressed(millis(self.began.elapsed()));
    }

    /// Waits and updates the map for the next try, or gives up with the error.
    pub(super) async fn failed(&mut self, answer: Answer) -> Result<(), Error> {
        let failure = failure_of(&answer);
        let step = self.retry.after(failure, millis(self.began.elapsed()), jitter());
        let Step::Again { after_ms, map } = step else {
            return Err(answer.into_error(self.action, self.began.elapsed()));
        };
        tracing::debug!(action = self.action, after_ms, ?map, ?answer, "trying again");
        if failure == Failure::Unavailable {
            self.replica = self.replica.wrapping_add(1);
        }
        tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
        match map {
            MapStep::Keep => Ok(()),
            MapStep::TakeAttached => self.take_attached(answer),
            MapStep::AskRegistry => self.ask_registry(&answer).await,
        }
    }

    fn take_attached(&self, answer: Answer) -> Result<(), Error> {
        let Answer::Refused { newer: Some(newer), .. } = answer else { return Ok(()) };
        newer.map.map_or(Ok(()), |map| self.files.shared.take_map(&map))
    }

    async fn ask_registry(&self, answer: &Answer) -> Result<(), Error> {
        let shared = &self.files.shared;
        let known = shared.map_epoch();
        let at_least = match answer {
            Answer::Refused { newer: Some(newer), .. } => newer.epoch,
            Answer::Refused { reason: Reason::WrongGroup, .. } => MapEpoch(known.0.saturating_add(1)),
            _ => known,
        };
        match shared.ask_registry(self.action, at_least).await {
            // The registry is silent too; the known map may still be right.
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(()),
            // Nothing newer, says the registry: then the node is behind and catches up.
            Err(Error::Map(crate::map::MapRefused::Older { .. })) => Ok(()),
            other => other,
        }
    }
}

fn failure_of(answer: &Answer) -> Failure {
    match answer {
        Answer::Silent { .. } => Failure::Unavailable,
        Answer::Refused { reason: Reason::StaleMap | Reason::WrongGroup, newer } => {
            let attached = newer.as_ref().is_some_and(|newer| newer.map.is_some());
            Failure::StaleMap(if attached { NewerMap::Attached } else { NewerMap::Elsewhere })
        }
        Answer::Refused { reason, .. } if is_passing(*reason) => Failure::Unavailable,
        _ => Failure::Final,
    }
}

pub(super) fn no_reply() -> Answer {
    Answer::Silent { last: "no reply in time".to_owned(), sent: true }
}

pub(super) fn new_command() -> Result<CommandId, Error> {
    Ok(CommandId::new(random_array()?))
}

impl From<tokio::task::JoinError> for FileError {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Worker
    }
}
