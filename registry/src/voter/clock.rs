//! Voters compare their clocks. A voter that is far off the median issues nothing, and says so as an error for a human.

use std::{sync::Arc, time::Instant};

use holdfast_certs::ExpectedServer;
use holdfast_domain::VoterEndpoint;
use holdfast_proto::registry::v1::{BootstrapRequest, directory_client::DirectoryClient};
use tonic::transport::Channel;

use super::Voter;
use crate::limits::{CLOCK_INTERVAL, CLOCK_TIMEOUT, FIRST_CLOCK_INTERVAL, MAX_CLOCK_SKEW_MS};

/// Connections to the other voters.
type Channels = Vec<(VoterEndpoint, Channel)>;

/// Runs for ever.
pub(crate) async fn run(voter: Arc<Voter>) {
    let mut was_off = false;
    let mut channels: Channels = Vec::new();
    let mut pause = FIRST_CLOCK_INTERVAL;
    loop {
        if let Some(offset_ms) = compare(&voter, &mut channels).await {
            pause = CLOCK_INTERVAL;
            let is_off = offset_ms.unsigned_abs() > MAX_CLOCK_SKEW_MS;
            voter.core.set_clock_sound(!is_off);
            if std::mem::replace(&mut was_off, is_off) != is_off {
                tell(offset_ms, is_off);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

fn tell(offset_ms: i64, is_off: bool) {
    if is_off {
        tracing::error!(
            offset_ms,
            reason = "clock_skew",
            "this clock is off the voters' median: nothing is issued until it is set"
        );
    } else {
        tracing::info!(offset_ms, "this clock agrees with the voters' median again");
    }
}

/// Asks all others how far the median is ahead of us, in milliseconds; `None` when fewer than a quorum can be compared.
async fn compare(voter: &Voter, channels: &mut Channels) -> Option<i64> {
    follow_voters(voter, channels);
    let voters = voter.core.state().voters().count();
    let asked = channels.iter().map(|(_, channel)| ask(voter, channel.clone()));
    let others: Vec<i64> = futures::future::join_all(asked).await.into_iter().flatten().collect();
    (voters > 0 && others.len().saturating_add(1) > voters / 2).then(|| median_offset(others))
}

fn follow_voters(voter: &Voter, channels: &mut Channels) {
    let own = voter.core.me();
    let others: Vec<VoterEndpoint> = {
        let state = voter.core.state();
        state.voters().map(|voter| voter.endpoint.clone()).filter(|other| other.node != own).collect()
    };
    channels.retain(|(known, _)| others.contains(known));
    for other in others {
        let expected = ExpectedServer::PinnedRegistry { id: other.node, spki: other.spki };
        if !channels.iter().any(|(known, _)| *known == other)
            && let Ok(channel) = voter.member.peer_dialer().channel(&other.address, expected)
        {
            channels.push((other, channel));
        }
    }
}

/// How far another voter's clock is ahead of ours, in milliseconds.
async fn ask(voter: &Voter, channel: Channel) -> Option<i64> {
    let sent = Instant::now();
    let mut client = DirectoryClient::new(channel);
    let answer = tokio::time::timeout(CLOCK_TIMEOUT, client.bootstrap(BootstrapRequest {})).await;
    let theirs = answer.ok()?.ok()?.into_inner().server_time_ms;
    let travelled_ms = u64::try_from(sent.elapsed().as_millis()).ok()? / 2;
    let ours = voter.core.now().0.saturating_sub(travelled_ms);
    i64::try_from(theirs).ok()?.checked_sub(i64::try_from(ours).ok()?)
}

/// How far the median of all voters, ours included, is ahead of us. Of two middle ones the nearer counts: with a single other voter nobody
/// can tell which of the two is off.
fn median_offset(mut others: Vec<i64>) -> i64 {
    others.push(0);
    others.sort_unstable();
    let upper = others.len() / 2;
    let lower = others.len().saturating_sub(1) / 2;
    let middle = [lower, upper].map(|place| others.get(place).copied().unwrap_or_default());
    middle.into_iter().min_by_key(|offset| offset.unsigned_abs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_tells_who_is_off() {
        assert_eq!(median_offset(vec![]), 0);
        assert_eq!(median_offset(vec![40_000]), 0);
        assert_eq!(median_offset(vec![40_000, 40_100]), 40_000, "we are off");
        assert_eq!(median_offset(vec![-40_000, 20]), 0, "one other is off");
        assert_eq!(median_offset(vec![-40_000, 20, 30, 50]), 20);
    }
}
