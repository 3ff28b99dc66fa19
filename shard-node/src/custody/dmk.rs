//! Making, receiving and opening a group's keys on this machine.
//!
//! A generation counts from the moment at which the folder lists it: one that was made here is listed when the registry has its wraps, one
//! that was received when its sealed copy is on disk.

use holdfast_domain::{GroupId, KeyGeneration, KeySubject, NodeId, NodeRole, Signed, WrapRow, WrapTarget};
use holdfast_enrol::member::Member;
use holdfast_keys::{Dmk, RecoveryPublic, custody::recovery_info, recovery::seal_to_recovery};
use holdfast_tpm_verify::{TpmTarget, wrap::wrap_key};

use super::{CustodyError, FIRST, Keeper, newcomer, rows};

/// Keys of a group by generation, oldest first.
pub type Generations = Vec<(KeyGeneration, Dmk)>;

fn file(group: GroupId, generation: KeyGeneration) -> String {
    format!("dmk-{group}-{generation}.key")
}

/// Beside the keys, so that it goes as they go.
fn list(group: GroupId) -> String {
    format!("dmk-{group}.generations")
}

fn listed(member: &Member, group: GroupId) -> Result<Vec<KeyGeneration>, CustodyError> {
    Ok(member.folder.get(&format!("sealed/{}", list(group)))?.unwrap_or_default())
}

fn put_list(member: &Member, group: GroupId, generations: &[KeyGeneration]) -> Result<(), CustodyError> {
    Ok(member.folder.put(&format!("sealed/{}", list(group)), &generations)?)
}

fn adopt(member: &Member, group: GroupId, generation: KeyGeneration) -> Result<(), CustodyError> {
    let mut generations = listed(member, group)?;
    if !generations.contains(&generation) {
        generations.push(generation);
        generations.sort_unstable();
        put_list(member, group, &generations)?;
    }
    Ok(())
}

/// Opens the group's keys from the folder's sealed copies: all that a restart needs, with or without a registry. Never empty.
///
/// # Errors
/// [`CustodyError::Missing`] when this machine has none.
pub async fn open(member: &Member, group: GroupId) -> Result<Generations, CustodyError> {
    let mut opened = Vec::new();
    for generation in listed(member, group)? {
        opened.push((generation, unseal(member, group, generation).await?));
    }
    if opened.is_empty() { Err(CustodyError::Missing(group)) } else { Ok(opened) }
}

async fn unseal(member: &Member, group: GroupId, generation: KeyGeneration) -> Result<Dmk, CustodyError> {
    let name = file(group, generation);
    if member.folder.sealed(&name)?.is_none() {
        return Err(CustodyError::Missing(group));
    }
    Ok(Dmk::from_secret(member.machine.unseal(&member.folder, &name, &member.proof).await?))
}

/// Forgets the keys of a group that this machine has no replica of any more.
///
/// # Errors
/// The folder's.
pub fn forget(member: &Member, group: GroupId) -> Result<(), CustodyError> {
    let mut generations = listed(member, group)?;
    // One that was about to be made.
    generations.push(next(generations.last().copied()));
    for generation in generations {
        member.folder.remove_sealed(&file(group, generation))?;
    }
    Ok(member.folder.remove_sealed(&list(group))?)
}

/// Forgets a generation that nothing on this machine is sealed under any more.
///
/// # Errors
/// The folder's.
pub fn retire(member: &Member, group: GroupId, generation: KeyGeneration) -> Result<(), CustodyError> {
    let mut generations = listed(member, group)?;
    generations.retain(|known| *known != generation);
    put_list(member, group, &generations)?;
    Ok(member.folder.remove_sealed(&file(group, generation))?)
}

fn next(newest: Option<KeyGeneration>) -> KeyGeneration {
    newest.map_or(FIRST, |newest| KeyGeneration(newest.0.saturating_add(1)))
}

/// Makes the key of a new group, or finds the one that an interrupted start made. On return the registry has it wrapped to this TPM
/// and sealed to the officers.
///
/// # Errors
/// See [`CustodyError`].
pub async fn found(keeper: &Keeper, group: GroupId) -> Result<Generations, CustodyError> {
    match open(&keeper.member, group).await {
        Err(CustodyError::Missing(_)) => {}
        known => return known,
    }
    let dmk = make(keeper, group, FIRST, |_| Ok(Vec::new())).await?;
    Ok(vec![(FIRST, dmk)])
}

/// Makes the generation after the newest that this machine has, or finds the one that an interrupted rotation made. On return the registry
/// has it wrapped to this TPM, sealed to the officers, and wrapped to what `others` makes of it.
///
/// # Errors
/// [`CustodyError::Overtaken`] when another replica has made it: [`receive`] that one.
pub async fn rotate(
    keeper: &Keeper,
    group: GroupId,
    others: impl FnOnce(&Dmk) -> Result<Vec<WrapTarget>, CustodyError>,
) -> Result<(KeyGeneration, Dmk), CustodyError> {
    let generation = next(listed(&keeper.member, group)?.last().copied());
    Ok((generation, make(keeper, group, generation, others).await?))
}

async fn make(
    keeper: &Keeper,
    group: GroupId,
    generation: KeyGeneration,
    others: impl FnOnce(&Dmk) -> Result<Vec<WrapTarget>, CustodyError>,
) -> Result<Dmk, CustodyError> {
    let Keeper { member, registries } = keeper;
    let dmk = match unseal(member, group, generation).await {
        Ok(dmk) => dmk,
        Err(CustodyError::Missing(_)) => {
            let dmk = Dmk::generate()?;
            let secret = holdfast_keys::Secret32::from_bytes(*dmk.expose_for_wrapping());
            member.machine.seal(&member.folder, &file(group, generation), &secret, &member.proof).await?;
            dmk
        }
        Err(error) => return Err(error),
    };
    // A step that was interrupted after this point is repeated, and the officers' copy is written once for all: another sealing of the
    // same key would be refused for ever.
    match deposited(keeper, group, generation, &dmk).await {
        Ok(true) => {
            adopt(member, group, generation)?;
            return Ok(dmk);
        }
        Ok(false) => {}
        Err(error) => {
            if matches!(error, CustodyError::Overtaken(..)) {
                member.folder.remove_sealed(&file(group, generation))?;
            }
            return Err(error);
        }
    }
    let keys = member.machine.keys();
    let own = TpmTarget { ek: &keys.ek, ak_name: keys.ak.name(), srk: &keys.srk };
    let blob = wrap_key(&own, &member.proof.sealing_policy(), dmk.expose_for_wrapping())?;
    let to_us =
        WrapTarget::Tpm { node: member.settings().node, srk_name: keys.srk.name().as_bytes().to_vec(), blob };
    let officers = RecoveryPublic::from_bytes(member.genesis.recovery.as_bytes())?;
    let info = recovery_info(member.genesis.cluster, KeySubject::Dmk(group), generation);
    let sealed = seal_to_recovery(&officers, &info, dmk.expose_for_wrapping())?;
    let made = [to_us, WrapTarget::Recovery { sealed }].into_iter().chain(others(&dmk)?);
    let rows = made.map(|target| rows::row(member, group, generation, target, dmk.kcv())).collect();
    rows::put(member, registries, rows).await?;
    adopt(member, group, generation)?;
    Ok(dmk)
}

/// Whether the registry has our wraps of this very key. Rows are stored all or none, so the one to us stands for the others too.
async fn deposited(
    keeper: &Keeper,
    group: GroupId,
    generation: KeyGeneration,
    dmk: &Dmk,
) -> Result<bool, CustodyError> {
    let Keeper { member, registries } = keeper;
    let own = member.settings().node;
    for signed in rows::get(registries, group).await? {
        let claimed = claimed(&signed)?;
        let to_us = matches!(&claimed.target, WrapTarget::Tpm { node, .. } if *node == own);
        if !to_us || claimed.generation != generation {
            continue;
        }
        if claimed.by != own {
            return Err(CustodyError::Overtaken(group, generation));
        }
        let row = rows::verify(&signed, group, own, member.machine.keys().tls.key())?;
        if row.cluster == member.settings().cluster && row.subject == KeySubject::Dmk(group) {
            // Another key there means that the officers could not open what this one seals.
            let (expected, actual) = (row.kcv, dmk.kcv());
            let mismatch = CustodyError::Mismatch { group, expected, actual };
            return if expected == actual { Ok(true) } else { Err(mismatch) };
        }
    }
    Ok(false)
}

/// Takes over the keys that current replicas wrapped to this TPM and that it does not have, and keeps them sealed. `sources` are the
/// machines of the group's replicas: a wrap of anybody else does not count. Returns what is new, oldest first.
///
/// # Errors
/// [`CustodyError::NoWrap`] while there is none at all.
pub async fn receive(
    keeper: &Keeper,
    group: GroupId,
    sources: &[NodeId],
) -> Result<Generations, CustodyError> {
    let Keeper { member, registries } = keeper;
    let own = member.settings().node;
    let (mut known, mut received, mut refused) = (listed(member, group)?, Vec::new(), None);
    for signed in rows::get(registries, group).await? {
        let claimed = claimed(&signed)?;
        let to_us = matches!(&claimed.target, WrapTarget::Tpm { node, .. } if *node == own);
        if !to_us || claimed.by == own || known.contains(&claimed.generation) {
            continue;
        }
        if !sources.contains(&claimed.by) {
            // Who left may have made the right key. Who stays will wrap it, too, or a later one.
            refused = Some(CustodyError::Wrapper { group, by: claimed.by });
            continue;
        }
        let wrapper = newcomer::check(keeper, claimed.by, NodeRole::Node).await?;
        let row = rows::verify(&signed, group, claimed.by, wrapper.tls().key())?;
        let generation = row.generation;
        received.push((generation, unwrap(member, group, row).await?));
        known.push(generation);
    }
    match refused {
        Some(refused) if received.is_empty() => Err(refused),
        _ if known.is_empty() => Err(CustodyError::NoWrap(group)),
        _ => Ok(received),
    }
}

/// What a row says, read before its signature is checked only to learn whose key to check it with.
fn claimed(signed: &Signed<WrapRow>) -> Result<WrapRow, CustodyError> {
    Ok(holdfast_domain::codec::decode(&signed.bytes, holdfast_domain::wrap::MAX_WRAP)?)
}

async fn unwrap(member: &Member, group: GroupId, row: WrapRow) -> Result<Dmk, CustodyError> {
    let WrapRow { cluster, subject, generation, target, kcv, by } = row;
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
    member.folder.put_sealed(&file(group, generation), &sealed)?;
    adopt(member, group, generation)?;
    Ok(dmk)
}
