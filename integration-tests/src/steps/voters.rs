//! Step 2: two more voters.

use anyhow::ensure;

use crate::{job::Job, report::Progress};

/// Two machines join the registry by attestation and become voters.
///
/// # Errors
/// They do not.
pub fn join_voters(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    for number in 2..=3 {
        progress.say(format!("voter {number} joins"));
        job.cluster.add_voter()?;
    }
    let status = job.cluster.status()?;
    let voting = status.members.iter().filter(|row| row.is_voter).count();
    ensure!(voting == 3, "{voting} voters instead of 3");
    Ok("3 voters".to_owned())
}
