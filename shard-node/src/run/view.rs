//! What the registry says, kept in the folder for starts without it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::Context as _;
use holdfast_consensus::{Member as RaftMember, PeerDirectory, Pin};
use holdfast_domain::{GroupId, ReplicaId, ShardMap, Signed, VoterEndpoint};
use holdfast_enrol::{
    member::{Member, MemberError, files, genuine, remember},
    watch::{VerifiedMap, View},
};
use holdfast_keys::P256Public;
use holdfast_sys_core::BanList;
use tokio::sync::watch;

/// What the folder remembers of the registry: enough to serve while that is away.
pub(super) fn known(member: &Member, map_key: &P256Public) -> anyhow::Result<View> {
    let signed: Option<Signed<ShardMap>> = member.folder.get(files::MAP)?;
    let verify = |signed| VerifiedMap::verify(signed, member.settings().cluster, map_key).map(Arc::new);
    let map = signed.map(verify).transpose().context("the shard map in the data folder")?;
    Ok(View {
        index: member.folder.get(files::INDEX)?.unwrap_or_default(),
        map,
        approvals: member.folder.get(files::APPROVALS)?.unwrap_or_default(),
        voters: member.folder.get::<Vec<VoterEndpoint>>(files::VOTERS)?.unwrap_or_default(),
        bans: member.folder.get(files::BANS)?.unwrap_or_default(),
        global_roles: Arc::new(member.folder.get(files::GLOBAL_ROLES)?.unwrap_or_default()),
        // What was wanted then may be done: that is the registry's to repeat.
        drops: BTreeSet::new(),
        rotations: BTreeMap::new(),
    })
}

/// Takes over what each view says: bans at once, and the rest into the folder for the next start.
pub(super) async fn follow(member: Arc<Member>, mut view: watch::Receiver<Arc<View>>, bans: BanList) {
    let mut kept: Option<Arc<View>> = None;
    loop {
        let current = Arc::clone(&view.borrow_and_update());
        if let Err(error) = bans.replace(current.bans.clone()) {
            // Without the list the banned would be let in.
            tracing::error!(%error, "stopping");
            std::process::exit(1);
        }
        let (to, new, before) = (Arc::clone(&member), Arc::clone(&current), kept.clone());
        // Syncing blocks, and the next bans wait for it: only what changed is written.
        let keeping = tokio::task::spawn_blocking(move || keep(&to, &new, before.as_deref()));
        match keeping.await {
            Ok(Ok(())) => kept = Some(current),
            Ok(Err(error)) => {
                tracing::error!(error = %holdfast_domain::causes(&error), "what the registry says is not kept on disk");
            }
            Err(_) => return,
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

fn keep(member: &Member, view: &View, before: Option<&View>) -> Result<(), MemberError> {
    if let Some(map) = &view.map
        && before.and_then(|before| before.map.as_ref()).is_none_or(|before| before.signed != map.signed)
    {
        member.folder.put(files::MAP, &map.signed)?;
    }
    if before.is_none_or(|before| before.bans != view.bans) {
        member.folder.put(files::BANS, &view.bans)?;
    }
    if before.is_none_or(|before| before.global_roles != view.global_roles) {
        member.folder.put(files::GLOBAL_ROLES, &*view.global_roles)?;
    }
    if view.index == 0 {
        return Ok(());
    }
    if before.is_none_or(|before| before.voters != view.voters) {
        member.folder.put(files::VOTERS, &view.voters)?;
    }
    if before.is_none_or(|before| before.approvals != view.approvals) {
        remember(&member.folder, &genuine(&member.genesis, &view.approvals)?)?;
    }
    // Last: an index without the bans of that moment would refuse them later.
    Ok(member.folder.put(files::INDEX, &view.index)?)
}

/// Members by the signed map.
pub(super) struct MapDirectory(pub(super) watch::Receiver<Arc<View>>);

impl PeerDirectory for MapDirectory {
    fn member(&self, group: GroupId, replica: ReplicaId) -> Option<RaftMember> {
        let view = self.0.borrow();
        let descriptor = view.map.as_ref()?.map.group(group)?;
        let found = descriptor.replicas.iter().find(|of| of.replica == replica)?;
        Some(RaftMember { node: found.node, address: found.address.clone(), pin: Pin::Certificate })
    }
}
