//! Making, receiving and opening a group's key on this machine.

use holdfast_domain::{GroupId, KeySubject, NodeId, NodeRole, WrapTarget};
use holdfast_enrol::member::Member;
use holdfast_keys::{Dmk, RecoveryPublic, custody::recovery_info, recovery::seal_to_recovery};
use holdfast_tpm_verify::{TpmTarget, wrap::wrap_key};

use super::{CustodyError, FIRST, Keeper, newcomer, rows};

fn file(group: GroupId) -> String {
    format!("dmk-{group}.key")
}

/// Opens the key from the folder's sealed copy: all that a restart needs, with or without a registry.
///
/// # Errors
/// [`CustodyError::Missing`] when this machine has none.
pub async fn open(member: &Member, group: GroupId) -> Result<Dmk, CustodyError> {
    let name = file(group);
    if member.folder.sealed(&name)?.is_none() {
        return Err(CustodyError::Missing(group));
    }
    Ok(Dmk::from_secret(member.machine.unseal(&member.folder, &name, &member.proof).await?))
}

/// Forgets the key of a group that this machine has no replica of any more.
///
/// # Errors
/// The folder's.
pub fn forget(member: &Member, group: GroupId) -> Result<(), CustodyError> {
    Ok(member.folder.remove_sealed(&file(group))?)
}

/// Makes the key of a new group, or finds the one that an interrupted start made. On return the registry has it wrapped to this TPM
/// and sealed to the officers.
///
/// # Errors
/// See [`CustodyError`].
pub async fn found(keeper: &Keeper, group: GroupId) -> Result<Dmk, CustodyError> {
    let Keeper { member, registries } = keeper;
    let dmk = match open(member, group).await {
        Ok(dmk) => dmk,
        Err(CustodyError::Missing(_)) => {
            let dmk = Dmk::generate()?;
            let secret = holdfast_keys::Secret32::from_bytes(*dmk.expose_for_wrapping());
            member.machine.seal(&member.folder, &file(group), &secret, &member.proof).await?;
            dmk
        }
        Err(error) => return Err(error),
    };
    // A step that was interrupted after this point is repeated, and the officers' copy is written once for all: another sealing of the
    // same key would be refused for ever.
    if is_deposited(keeper, group, &dmk).await? {
        return Ok(dmk);
    }
    let keys = member.machine.keys();
    let own = TpmTarget { ek: &keys.ek, ak_name: keys.ak.name(), srk: &keys.srk };
    let blob = wrap_key(&own, &member.proof.sealing_policy(), dmk.expose_for_wrapping())?;
    let to_us =
        WrapTarget::Tpm { node: member.settings().node, srk_name: keys.srk.name().as_bytes().to_vec(), blob };
    let officers = RecoveryPublic::from_bytes(member.genesis.recovery.as_bytes())?;
    let info = recovery_info(member.genesis.cluster, KeySubject::Dmk(group), FIRST);
    let sealed = seal_to_recovery(&officers, &info, dmk.expose_for_wrapping())?;
    let made = [to_us, WrapTarget::Recovery { sealed }];
    let rows = made.into_iter().map(|target| rows::row(member, group, FIRST, target, dmk.kcv())).collect();
    rows::put(member, registries, rows).await?;
    Ok(dmk)
}

/// Whether the registry has our wraps of this very key. Rows are stored all or none, so the one to us stands for the officers' too.
async fn is_deposited(keeper: &Keeper, group: GroupId, dmk: &Dmk) -> Result<bool, CustodyError> {
    let Keeper { member, registries } = keeper;
    let own = member.settings().node;
    for signed in rows::get(registries, group).await? {
        let row = rows::verify(&signed, group, own, member.machine.keys().tls.key())?;
        let to_us = matches!(&row.target, WrapTarget::Tpm { node, .. } if *node == own);
        if to_us && row.cluster == member.settings().cluster && row.subject == KeySubject::Dmk(group) {
            // Another key there means that the officers could not open what this one seals.
            let (expected, actual) = (row.kcv, dmk.kcv());
            let mismatch = CustodyError::Mismatch { group, expected, actual };
            return if expected == actual { Ok(true) } else { Err(mismatch) };
        }
    }
    Ok(false)
}

/// Takes over the key that a current replica wrapped to this TPM, and keeps it sealed. `sources` are the group's current replicas:
/// a wrap of anybody else is refused.
///
/// # Errors
/// [`CustodyError::NoWrap`] until the source has made one.
pub async fn receive(keeper: &Keeper, group: GroupId, sources: &[NodeId]) -> Result<Dmk, CustodyError> {
    let Keeper { member, registries } = keeper;
    match open(member, group).await {
        Err(CustodyError::Missing(_)) => {}
        known => return known,
    }
    for signed in rows::get(registries, group).await? {
        // Read before its signature is checked only to learn whose key to check it with.
        let claimed: holdfast_domain::WrapRow =
            holdfast_domain::codec::decode(&signed.bytes, holdfast_domain::wrap::MAX_WRAP)?;
        let WrapTarget::Tpm { node, .. } = &claimed.target else { continue };
        if *node != member.settings().node || claimed.by == member.settings().node {
            continue;
        }
        if !sources.contains(&claimed.by) {
            return Err(CustodyError::Wrapper { group, by: claimed.by });
        }
        let wrapper = newcomer::check(keeper, claimed.by, NodeRole::Node).await?;
        let row = rows::verify(&signed, group, claimed.by, wrapper.tls().key())?;
        return unwrap(member, group, row).await;
    }
    Err(CustodyError::NoWrap(group))
}

async fn unwrap(member: &Member, group: GroupId, row: holdfast_domain::WrapRow) -> Result<Dmk, CustodyError> {
    let holdfast_domain::WrapRow { cluster, subject, generation: _, target, kcv, by } = row;
    let WrapTarget::Tpm { blob, .. } = target else { return Err(CustodyError::NoWrap(group)) };
    if cluster != member.settings().cluster || subject != KeySubject::Dmk(group) {
        return Err(CustodyError::Wrapper { group, by });
    }
    let opened = member.machine.tpm().unwrap_key(blob, member.proof.clone()).await;
    let (secret, sealed) = opened.map_err(|source| CustodyError::Tpm { group, source })?;
    let dmk = Dmk::from_secret(secret);
    if dmk.kcv() != kcv {
        return Err(CustodyError::Mismatch { group, expected: kcv, actual: dmk.kcv() });
    }
    member.folder.put_sealed(&file(group), &sealed)?;
    Ok(dmk)
}
