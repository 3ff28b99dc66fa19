//! Calls to the shard nodes that serve a home: finds the leader, follows it, tries again within the client's patience.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use bytes::Bytes;
use holdfast_domain::{CommandId, GroupId, Reason};
use holdfast_keys::random_array;
use holdfast_proto::module::v1 as wire;
use tonic::{Response, Status, transport::Channel};

use super::{Home, Left, Turns};
use crate::{
    Error, ErrorKind,
    error::{Answer, is_passing},
    limits::{CALL_TIMEOUT, TRY_TIMEOUT},
    map::{Offer, Replica, Route},
    registries::{jitter, millis},
    retry::{Failure, MapStep, NewerMap, Retry, Step},
};

/// The tries of one operation, which may be several calls.
pub(crate) struct Tries<'a> {
    home: &'a Home,
    action: &'a str,
    max_staleness: Duration,
    began: Instant,
    retry: Retry,
    turns: Turns,
    /// The group that the home's slot moves to is asked, not the one that has it.
    ahead: bool,
    /// Who was asked the last time.
    asked: Option<Asked>,
    /// Tries that nobody answered in time.
    silent: u32,
}

struct Asked {
    group: GroupId,
    replica: Replica,
    replicas: Vec<Replica>,
}

impl<'a> Tries<'a> {
    pub(super) fn new(home: &'a Home, action: &'a str, max_staleness: Duration) -> Self {
        let retry = Retry::new(millis(home.shared.registries.patience()), 0);
        // Stale reads are spread over the replicas.
        let begin = if max_staleness.is_zero() { 0 } else { jitter().into() };
        let turns = Turns::beginning_at(begin);
        let (began, ahead, asked, silent) = (Instant::now(), false, None, 0);
        Self { home, action, max_staleness, began, retry, turns, ahead, asked, silent }
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
            match tokio::time::timeout(self.time_of_a_try(), call(channel, route)).await {
                Ok(Ok(reply)) => {
                    self.answered();
                    return Ok(reply.into_inner());
                }
                Ok(Err(status)) => self.failed(Answer::of(&status)).await?,
                Err(_) => self.failed(no_reply()).await?,
            }
        }
    }

    /// The node to ask now, and what a request to it says of the way there.
    pub(crate) async fn connect(&mut self, command: CommandId) -> Result<(Channel, wire::Route), Error> {
        let Home { shared, id, .. } = self.home;
        let Route { epoch, group, replicas } = self.route().await?;
        let known = if self.max_staleness.is_zero() { shared.leaders.of(group) } else { None };
        let none = || Error::Reply { action: self.action.to_owned(), what: "replica" };
        let replica = self.turns.next(group, &replicas, known).ok_or_else(none)?.clone();
        let channel = shared.nodes.channel(self.action, &replica)?;
        self.asked = Some(Asked { group, replica, replicas });
        let route = wire::Route {
            map_epoch: epoch.0,
            group: group.0,
            command_id: Bytes::copy_from_slice(command.as_bytes()),
            // Servers take the caller's own when it is left out.
            home: (*id != shared.home.into()).then(|| (*id).into()),
            max_staleness_ms: u32::try_from(self.max_staleness.as_millis()).unwrap_or(u32::MAX),
        };
        Ok((channel, route))
    }

    async fn route(&mut self) -> Result<Route, Error> {
        let Home { shared, id, .. } = self.home;
        if self.ahead
            && let Some(route) = shared.next_route(*id)
        {
            return Ok(route);
        }
        self.ahead = false;
        loop {
            match shared.route(*id, self.action).await {
                // The cluster has no group for this home yet.
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    let last = holdfast_domain::causes(&error);
                    self.failed(Answer::Silent { last, sent: false }).await?;
                }
                other => return other,
            }
        }
    }

    fn time_of_a_try(&self) -> Duration {
        let time = TRY_TIMEOUT.saturating_mul(1 << self.silent.min(8)).min(CALL_TIMEOUT);
        time.min(Duration::from_millis(self.retry.left_ms(millis(self.began.elapsed()))))
    }

    /// Something was achieved: patience begins anew.
    pub(crate) fn progressed(&mut self) {
        self.retry.progressed(millis(self.began.elapsed()));
        self.answered();
    }

    fn answered(&mut self) {
        self.silent = 0;
        if let (Some(Asked { group, replica, .. }), true) = (&self.asked, self.max_staleness.is_zero()) {
            self.home.shared.leaders.answered(*group, replica.node);
        }
    }

    /// Waits and sees to the map and the replica of the next try, or gives up with the error.
    pub(crate) async fn failed(&mut self, answer: Answer) -> Result<(), Error> {
        if matches!(answer, Answer::Refused { reason: Reason::NotPermitted, .. }) {
            self.home.shared.denials.send_replace(());
        }
        let failure = self.judge(&answer);
        let step = self.retry.after(failure, millis(self.began.elapsed()), jitter());
        let Step::Again { after_ms, map } = step else {
            return Err(answer.into_error(self.action, self.began.elapsed()));
        };
        tracing::debug!(action = self.action, after_ms, ?failure, ?map, ?answer, "trying again");
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let Home { shared, id, .. } = self.home;
        match map {
            MapStep::Keep => Ok(()),
            MapStep::TakeAttached => self.take_attached(answer),
            MapStep::AskServer => self.ask_server().await,
            MapStep::Refresh => {
                shared.refresh(*id);
                Ok(())
            }
        }
    }

    /// What an answer means for the next try.
    fn judge(&mut self, answer: &Answer) -> Failure {
        match answer {
            Answer::Silent { sent, .. } => {
                self.silent = self.silent.saturating_add(u32::from(*sent));
                if let Some(Asked { group, replica, .. }) = &self.asked {
                    self.home.shared.leaders.was_silent(*group, replica.node);
                }
                self.pass_over()
            }
            Answer::Refused { reason: Reason::StaleMap | Reason::WrongGroup, map, .. } => {
                if map.is_some() {
                    Failure::StaleMap(NewerMap::Attached)
                } else if self.turn_to_the_other_group() {
                    Failure::Moving
                } else {
                    Failure::StaleMap(NewerMap::Elsewhere)
                }
            }
            Answer::Refused { reason: Reason::NotLeader, leader: Some(leader), .. } => match &self.asked {
                Some(Asked { replica, replicas, .. }) => {
                    next(self.turns.hint(replica.node, *leader, replicas))
                }
                None => Failure::NoServer,
            },
            Answer::Refused { reason: Reason::NotReady, .. } if self.turn_to_the_other_group() => {
                Failure::Moving
            }
            Answer::Refused { reason: Reason::NotReady | Reason::NoQuorum | Reason::NotLeader, .. } => {
                self.pass_over()
            }
            Answer::Refused { reason, .. } if is_passing(*reason) => Failure::Busy,
            _ => Failure::Final,
        }
    }

    fn pass_over(&mut self) -> Failure {
        match &self.asked {
            Some(Asked { replica, replicas, .. }) => next(self.turns.of_no_use(replica.node, replicas)),
            None => Failure::NoServer,
        }
    }

    /// While a slot moves, the group that has it and the one that is to have it are asked in turns: exactly one of them serves it sooner or
    /// later, and the map says which one only after that.
    fn turn_to_the_other_group(&mut self) -> bool {
        let moves = self.home.shared.next_route(self.home.id).is_some();
        self.ahead = moves && !self.ahead;
        moves
    }

    fn take_attached(&self, answer: Answer) -> Result<(), Error> {
        let Answer::Refused { map: Some(map), .. } = answer else { return Ok(()) };
        self.home.shared.take_map(&map).map(drop)
    }

    /// The node has a newer map; should it be silent, others have it too.
    async fn ask_server(&self) -> Result<(), Error> {
        let Home { shared, id, .. } = self.home;
        let offered = match &self.asked {
            Some(Asked { replica, .. }) => shared.ask_node(self.action, replica).await?,
            None => Offer::Known,
        };
        if offered == Offer::Known {
            shared.refresh(*id);
        }
        Ok(())
    }
}

const fn next(left: Left) -> Failure {
    match left {
        Left::Somebody => Failure::NextServer,
        Left::Nobody => Failure::NoServer,
    }
}

pub(crate) fn no_reply() -> Answer {
    Answer::Silent { last: "no reply in time".to_owned(), sent: true }
}

pub(crate) fn new_command() -> Result<CommandId, Error> {
    Ok(CommandId::new(random_array()?))
}
