//! Bounds of a voter's own doing, each with its reason. Those of the services are in [`crate::services`].

use std::time::Duration;

/// Bytes of one chunk of an export.
pub const EXPORT_CHUNK: usize = 256 * 1024;
/// Chunks of an export on their way.
pub const EXPORT_QUEUE: usize = 4;
/// How long a promotion is waited for before the operator is told to look again.
pub const PROMOTION_PATIENCE: Duration = Duration::from_secs(8);

/// How often a leader compares the membership with the state.
pub const DUTY_INTERVAL: Duration = Duration::from_millis(500);
/// How often voters compare their clocks.
pub const CLOCK_INTERVAL: Duration = Duration::from_secs(5);
/// The same until the first comparison, for which everything else waits.
pub const FIRST_CLOCK_INTERVAL: Duration = Duration::from_millis(250);
/// How long another voter may take to tell its clock.
pub const CLOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// Difference from the voters' median beyond which a voter issues nothing.
pub const MAX_CLOCK_SKEW_MS: u64 = 30_000;
/// Pause after a renewal of the voter's own identity failed.
pub const RENEWAL_RETRY: Duration = Duration::from_secs(2);
/// How often a newcomer without a leader looks for the registry's present members.
pub const LEARN_INTERVAL: Duration = Duration::from_secs(1);
/// How long the first voter of a new cluster may take to lead itself.
pub const FOUNDING_PATIENCE: Duration = Duration::from_secs(30);

/// How often a leader looks whether replicas are where they should be.
pub const PLACEMENT_INTERVAL: Duration = Duration::from_secs(1);
/// Changes of the map in one round, so that other duties are not forgotten meanwhile.
pub const CHANGES_A_ROUND: usize = 64;
/// How often log positions are written down, if they grew: what a rollback of a whole group goes unnoticed for at most.
pub const FLOOR_INTERVAL: Duration = Duration::from_secs(5);
/// Nodes that were heard of within this are there: two heartbeats may be late.
pub const ALIVE: Duration = Duration::from_secs(8);
/// Replicas that one node may tell of: one of each group.
pub const MAX_REPLICAS_A_NODE: usize = holdfast_registry_state::limits::MAX_GROUPS;
/// Longest word of a node on what is wrong with a replica.
pub const MAX_FAULT: usize = 256;
