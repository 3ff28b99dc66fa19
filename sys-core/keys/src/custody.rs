//! What ties a wrapped key to its place: cluster, subject and generation.

use holdfast_domain::{ClusterId, KeyGeneration, KeySubject};

use crate::{hash::LenPrefixed, labels};

/// The `info` of [`crate::recovery::seal_to_recovery`] for a key: without it the officers' copy does not open.
pub fn recovery_info(cluster: ClusterId, subject: KeySubject, generation: KeyGeneration) -> Vec<u8> {
    let (kind, group) = match subject {
        KeySubject::Crk => (0u32, 0),
        KeySubject::Dmk(group) => (1, group.0),
    };
    LenPrefixed::new(labels::RECOVERY_WRAP)
        .field(cluster.as_bytes())
        .number(kind)
        .number(group)
        .number(generation.0)
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use holdfast_domain::GroupId;

    use super::*;

    #[test]
    fn every_key_has_its_own_info() {
        let cluster = ClusterId::new([1; 16]);
        let infos = [
            recovery_info(cluster, KeySubject::Crk, KeyGeneration(1)),
            recovery_info(cluster, KeySubject::Dmk(GroupId(0)), KeyGeneration(1)),
            recovery_info(cluster, KeySubject::Dmk(GroupId(1)), KeyGeneration(1)),
            recovery_info(cluster, KeySubject::Dmk(GroupId(1)), KeyGeneration(2)),
            recovery_info(ClusterId::new([2; 16]), KeySubject::Dmk(GroupId(1)), KeyGeneration(2)),
        ];
        let distinct: std::collections::BTreeSet<_> = infos.iter().collect();
        assert_eq!(distinct.len(), infos.len());
    }
}
