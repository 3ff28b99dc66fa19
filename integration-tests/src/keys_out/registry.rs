//! Keys in an export of the registry's state.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use holdfast_domain::{ClusterId, GroupId, Kcv, KeyGeneration, KeySubject, WrapRow, WrapTarget, codec};
use holdfast_keys::{Crk, Dmk, RecoverySecret, Secret32, custody::recovery_info};
use holdfast_registry_state::{Recipient, State};

/// A group's master key.
pub struct GroupKey {
    /// The group.
    pub group: GroupId,
    /// The generation.
    pub generation: KeyGeneration,
    /// The key.
    pub dmk: Dmk,
}

/// What the officers can open of the registry's state.
pub struct RegistryKeys {
    /// The cluster.
    pub cluster: ClusterId,
    /// The registry's own key, every generation.
    pub crk: Vec<Crk>,
    /// The groups' keys, every generation.
    pub groups: Vec<GroupKey>,
}

/// Opens every key that an exported state holds for the officers.
///
/// # Errors
/// A key in it does not open or is not the one that it claims to be.
pub fn registry_keys(state: &State, recovery: &RecoverySecret) -> anyhow::Result<RegistryKeys> {
    let cluster = state.genesis().context("no genesis")?.cluster;
    let open = Opener { state, cluster, recovery };
    let crk = open.all(KeySubject::Crk, Crk::from_secret, Crk::kcv)?;
    let crk = crk.into_iter().map(|(_, key)| key).collect();
    let mut groups = Vec::new();
    for group in state.map().map(|(_, map)| map.groups.as_slice()).unwrap_or_default() {
        let group = group.group;
        let keys = open.all(KeySubject::Dmk(group), Dmk::from_secret, Dmk::kcv)?;
        ensure!(!keys.is_empty(), "group {group} has no key for the officers");
        groups.extend(keys.into_iter().map(|(generation, dmk)| GroupKey { group, generation, dmk }));
    }
    Ok(RegistryKeys { cluster, crk, groups })
}

struct Opener<'a> {
    state: &'a State,
    cluster: ClusterId,
    recovery: &'a RecoverySecret,
}

impl Opener<'_> {
    /// Every generation of one key, checked against its check value.
    fn all<K>(
        &self,
        subject: KeySubject,
        key: impl Fn(Secret32) -> K,
        kcv: impl Fn(&K) -> Kcv,
    ) -> anyhow::Result<Vec<(KeyGeneration, K)>> {
        let newest = self.state.generation(subject).map_or(0, |generation| generation.0);
        let mut keys = Vec::new();
        for generation in (0..=newest).map(KeyGeneration) {
            let wraps = self.state.wraps_of(subject, generation);
            for (_, signed) in wraps.filter(|(to, _)| *to == Recipient::Recovery) {
                let row: WrapRow = codec::decode(&signed.bytes, holdfast_domain::wrap::MAX_WRAP)?;
                let WrapTarget::Recovery { sealed } = &row.target else { continue };
                let plain = self.recovery.open(&recovery_info(self.cluster, subject, generation), sealed);
                let opened = key(Secret32::from_slice(&plain.with_context(|| format!("{subject:?}"))?)?);
                ensure!(kcv(&opened) == row.kcv, "{subject:?} is not the key that it claims to be");
                keys.push((generation, opened));
            }
        }
        Ok(keys)
    }
}

impl RegistryKeys {
    /// The groups' keys by group, oldest generation first.
    pub fn by_group(&self) -> BTreeMap<GroupId, Vec<(KeyGeneration, &Dmk)>> {
        let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for GroupKey { group, generation, dmk } in &self.groups {
            groups.entry(*group).or_default().push((*generation, dmk));
        }
        groups
    }
}
