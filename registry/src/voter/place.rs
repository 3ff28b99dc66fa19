//! The leader's second duty: replicas come to be where they should. Everyone runs this; it acts on the leader only.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast_registry_state::{MapChange, placement, plan};
use holdfast_sys_core::Refusal;
use tokio::time::MissedTickBehavior;

use super::Voter;
use crate::{
    core::Core,
    limits::{CHANGES_A_ROUND, FLOOR_INTERVAL, PLACEMENT_INTERVAL},
};

/// Runs for ever.
pub(crate) async fn run(voter: Arc<Voter>, lost_after: Duration) {
    let mut rounds = tokio::time::interval(PLACEMENT_INTERVAL);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut epoch = voter.core.state().map_epoch();
    let mut changes = voter.core.applied();
    let mut leading: Option<(u64, Instant)> = None;
    let mut floors_at = Instant::now();
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = voter.core.state().map_epoch();
                if std::mem::replace(&mut epoch, now) == now {
                    continue;
                }
            }
        }
        let Some(term) = voter.group.leading_term() else {
            leading = None;
            continue;
        };
        let now = Instant::now();
        let since = match leading {
            Some((of, since)) if of == term => since,
            _ => leading.insert((term, now)).1,
        };
        if let Err(refusal) = tell(&voter.core, since, lost_after).await {
            tracing::debug!(%refusal, "what nodes say is not written down yet");
            continue;
        }
        if now.saturating_duration_since(floors_at) >= FLOOR_INTERVAL {
            floors_at = now;
            raise_floors(&voter.core).await;
        }
        place(&voter.core).await;
    }
}

/// Commits what nodes' words and silence change.
async fn tell(core: &Core, leading_since: Instant, lost_after: Duration) -> Result<(), Refusal> {
    let acts = core.health().acts(&core.state(), Instant::now(), leading_since, lost_after);
    for act in acts {
        core.propose(core.myself(), act).await?;
    }
    Ok(())
}

async fn raise_floors(core: &Core) {
    let floors = core.health().floors(&core.state());
    if let Some(floors) = floors
        && let Err(refusal) = core.propose(core.myself(), floors).await
    {
        tracing::debug!(%refusal, "log positions are not written down");
    }
}

/// One change after the other, each planned from the state that the one before it led to.
pub(crate) async fn place(core: &Core) {
    for _ in 0..CHANGES_A_ROUND {
        let next = {
            let state = core.state();
            placement::next(&state, &core.health().observed(&state, Instant::now()))
        };
        let Some(change) = next else { return };
        if let Err(refusal) = change_map(core, &change).await {
            tracing::debug!(?change, %refusal, "a change of the map is not made yet");
            return;
        }
        tracing::info!(?change, "replicas are placed");
    }
}

async fn change_map(core: &Core, change: &MapChange) -> Result<(), Refusal> {
    let planned = |state: &holdfast_registry_state::State| plan::plan(state, change.clone()).map(Some);
    core.change_map(&core.myself(), planned).await.map(drop)
}
