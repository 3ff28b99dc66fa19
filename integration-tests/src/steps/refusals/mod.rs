//! Step 9: what must be refused is refused, each with its stable reason.

mod identities;
mod joins;
mod machines;
mod requests;

pub use identities::{other_cluster, other_role};
pub use joins::{another_nodes_id, replayed_proof, ticket_twice, unknown_ek, unrestricted_ak};
pub use machines::{changed_boot, swapped_tpm};
pub use requests::{misbehaving_member, unsigned_admission};

use crate::{
    cluster::Cluster,
    job::Job,
    report::{Progress, seconds},
};

type Refusal = fn(&mut Cluster) -> anyhow::Result<()>;

/// Everything that needs no measuring.
const ALL: &[(&str, Refusal)] = &[
    ("an EK that nobody admitted", unknown_ek),
    ("a replayed proof", replayed_proof),
    ("another node's id", another_nodes_id),
    ("an unrestricted AK", unrestricted_ak),
    ("a ticket used twice, at two voters at once", ticket_twice),
    ("a changed boot chain", changed_boot),
    ("a swapped TPM", swapped_tpm),
    ("certificates of another cluster", other_cluster),
    ("certificates of another role", other_role),
    ("an unsigned admission", unsigned_admission),
];

/// All refusals, and how fast a ban works.
///
/// # Errors
/// Something is let in, or refused for another reason.
pub fn all(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    use anyhow::Context as _;
    progress.length(u64::try_from(ALL.len() + 1)?);
    for (what, refusal) in ALL {
        progress.say(*what);
        refusal(&mut job.cluster).context(*what)?;
        progress.advance(1);
    }
    progress.say("substituted wraps, foreign Raft frames, a ban");
    let ban = misbehaving_member(&mut job.cluster)?;
    job.figure("a banned node loses its rights", format!("{} after the command", seconds(ban)));
    Ok(format!("{} kinds, each with its reason; a ban works after {}", ALL.len() + 4, seconds(ban)))
}
