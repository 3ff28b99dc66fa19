//! The one task of a process that lets quiet groups sleep and asks whether the processes live that sleeping ones depend on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::liveness::{Liveness, holds};
use crate::net::wire::Pong;
use crate::net::{Hosted, Link};
use crate::replica::Replica;
use crate::{Hibernation, PeerId, limits};

/// Runs until the process shuts down.
pub(crate) async fn run(
    hosted: Hosted,
    liveness: Arc<Liveness>,
    hibernation: Hibernation,
    mut closing: watch::Receiver<bool>,
) {
    let Hibernation::After(quiet) = hibernation else { return };
    let mut beat = interval(limits::PING_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let look_every = (quiet / 4).clamp(limits::PING_EVERY / 4, Duration::from_secs(1));
    let mut look = interval(look_every);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let falling = Arc::new(Semaphore::new(1));
    loop {
        tokio::select! {
            () = closed(&mut closing) => return,
            _ = look.tick() => if let Ok(one) = falling.clone().try_acquire_owned() {
                let quiet: Vec<_> = replicas(&hosted).into_iter().filter(|replica| may_sleep(replica, quiet)).collect();
                tokio::spawn(async move {
                    let attempts = quiet.into_iter().map(Replica::try_to_sleep);
                    futures::stream::iter(attempts).buffer_unordered(limits::MAX_FALLING_ASLEEP).collect::<()>().await;
                    drop(one);
                });
            },
            _ = beat.tick() => ping_all(&hosted, &liveness).await,
        }
    }
}

fn may_sleep(replica: &Replica, quiet: Duration) -> bool {
    let sleep = replica.sleep();
    !sleep.is_asleep() && sleep.quiet_for() >= quiet && replica.hibernates() && replica.leads()
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

fn replicas(hosted: &Hosted) -> Vec<Arc<Replica>> {
    hosted.read().unwrap_or_else(std::sync::PoisonError::into_inner).values().cloned().collect()
}

/// Pings every process that a sleeping group depends on, and wakes the groups of those that are lost.
async fn ping_all(hosted: &Hosted, liveness: &Liveness) {
    let sleeping: Vec<_> = replicas(hosted)
        .into_iter()
        .filter(|replica| replica.sleep().is_asleep())
        .flat_map(|replica| {
            replica.sleep().watched().into_iter().map(move |watched| (replica.clone(), watched))
        })
        .collect();
    let links: BTreeMap<PeerId, Arc<Link>> =
        sleeping.iter().map(|(_, watched)| (watched.peer, watched.link.clone())).collect();
    let pings = links.into_iter().map(|(peer, link)| async move {
        let pong = ping(&link).await;
        liveness.pinged(peer, Instant::now(), pong.is_some());
        (peer, pong)
    });
    let pongs: BTreeMap<PeerId, Option<Pong>> = join_all(pings).await.into_iter().collect();
    for (replica, watched) in sleeping {
        let lives = pongs
            .get(&watched.peer)
            .and_then(Option::as_ref)
            .is_some_and(|pong| holds(watched.met, pong, replica.group()));
        if !lives {
            tokio::spawn(replica.lost(watched.replica));
        }
    }
}

/// Twice: a connection that was just replaced is no death.
async fn ping(link: &Link) -> Option<Pong> {
    if let Ok(pong) = link.ping(limits::PING_PATIENCE).await {
        return Some(pong);
    }
    tokio::time::sleep(limits::RECONNECT_MIN * 2).await;
    link.ping(limits::PING_PATIENCE).await.ok()
}
