//! Calls to the shard node that serves a home: finds it, follows it when it moves, tries again within the client's patience.

use std::{future::Future, time::Instant};

use bytes::Bytes;
use holdfast_domain::{CommandId, MapEpoch, Reason};
use holdfast_keys::random_array;
use holdfast_proto::module::v1 as wire;
use tonic::{Response, Status, transport::Channel};

use super::Home;
use crate::{
    Error, ErrorKind,
    error::{Answer, is_passing},
    limits::CALL_TIMEOUT,
    map::Route,
    registries::{jitter, millis},
    retry::{Failure, MapStep, NewerMap, Retry, Step},
};

/// The tries of one operation, which may be several calls.
pub(crate) struct Tries<'a> {
    home: &'a Home,
    action: &'a str,
    began: Instant,
    retry: Retry,
    /// Which of the route's replicas is asked next.
    replica: usize,
}

impl<'a> Tries<'a> {
    pub(super) fn new(home: &'a Home, action: &'a str) -> Self {
        let retry = Retry::new(millis(home.shared.registries.patience()), 0);
        Self { home, action, began: Instant::now(), retry, replica: 0 }
    }
}

impl Tries<'_> {
    /// One unary call, again and again until it is answered.
    pub(crate) async fn unary<T, F, Fut>(&mut self, command: CommandId, call: F) -> Result<T, Error>
    where
        F: Fn(Channel, wire::Route) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        loop {
            let (channel, route) = self.connect(command).await?;
            match tokio::time::timeout(CALL_TIMEOUT, call(channel, route)).await {
                Ok(Ok(reply)) => return Ok(reply.into_inner()),
                Ok(Err(status)) => self.failed(Answer::of(&status)).await?,
                Err(_) => self.failed(no_reply()).await?,
            }
        }
    }

    /// The node that serves the home now, and what a request to it says of the way there.
    pub(crate) async fn connect(&mut self, command: CommandId) -> Result<(Channel, wire::Route), Error> {
        let Home { shared, id } = self.home;
        loop {
            match shared.route(*id, self.action).await {
                Ok(Route { epoch, group, replicas }) => {
                    let at = self.replica.checked_rem(replicas.len()).unwrap_or(0);
                    let none = || Error::Reply { action: self.action.to_owned(), what: "replica" };
                    let channel = shared.nodes.channel(self.action, replicas.get(at).ok_or_else(none)?)?;
                    let route = wire::Route {
                        map_epoch: epoch.0,
                        group: group.0,
                        command_id: Bytes::copy_from_slice(command.as_bytes()),
                        // Servers take the caller's own when it is left out.
                        home: (*id != shared.home.into()).then(|| (*id).into()),
                        max_staleness_ms: 0,
                    };
                    return Ok((channel, route));
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
    pub(crate) fn progressed(&mut self) {
        self.retry.progressed(millis(self.began.elapsed()));
    }

    /// Waits and updates the map for the next try, or gives up with the error.
    pub(crate) async fn failed(&mut self, answer: Answer) -> Result<(), Error> {
        if matches!(answer, Answer::Refused { reason: Reason::NotPermitted, .. }) {
            self.home.shared.denials.send_replace(());
        }
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
        newer.map.map_or(Ok(()), |map| self.home.shared.take_map(&map))
    }

    async fn ask_registry(&self, answer: &Answer) -> Result<(), Error> {
        let Home { shared, id } = self.home;
        let known = shared.map_epoch();
        let at_least = match answer {
            Answer::Refused { newer: Some(newer), .. } => newer.epoch,
            Answer::Refused { reason: Reason::WrongGroup, .. } => MapEpoch(known.0.saturating_add(1)),
            _ => known,
        };
        match shared.ask_registry(*id, self.action, at_least).await {
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

pub(crate) fn no_reply() -> Answer {
    Answer::Silent { last: "no reply in time".to_owned(), sent: true }
}

pub(crate) fn new_command() -> Result<CommandId, Error> {
    Ok(CommandId::new(random_array()?))
}
