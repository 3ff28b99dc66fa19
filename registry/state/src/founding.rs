//! The first command, and the registry's own sealed secrets.

use holdfast_domain::{
    BanSubject, Genesis, KeyGeneration, KeySubject, NodeRole, Reason, RootHash, Sha256Hash, VoterEndpoint,
    codec, genesis::MAX_GENESIS,
};

use crate::{
    command::Found,
    joins, limits,
    member::{AdmittedBy, Voter, VoterState},
    outcome::Applied,
    state::{Founded, State},
    wraps::Recipient,
};

/// Generation of the registry's first key.
const FIRST: KeyGeneration = KeyGeneration(1);

impl State {
    /// Begins the cluster. The root's signature over the genesis record is checked by everyone who pins the root, before it gets here.
    pub(crate) fn found(&mut self, found: Found) -> Result<Applied, Reason> {
        if self.founded.is_some() {
            return Err(Reason::Conflict);
        }
        let next = Self { index: self.index, clock: self.clock, ..Self::default() }.founded_by(found)?;
        *self = next;
        Ok(Applied::Done)
    }

    fn founded_by(mut self, found: Found) -> Result<Self, Reason> {
        let Found {
            genesis: signed,
            root_der,
            sealed_root_key,
            sealed_secrets,
            approvals,
            founder,
            replica,
            spki,
            wraps,
        } = found;
        let genesis: Genesis = codec::decode(&signed.bytes, MAX_GENESIS).map_err(|_| Reason::Malformed)?;
        let sizes_fit = root_der.len() <= limits::MAX_ROOT
            && sealed_root_key.len() <= limits::MAX_SEALED
            && sealed_secrets.len() <= limits::MAX_SEALED;
        if !sizes_fit || RootHash::of_der(&root_der) != genesis.root {
            return Err(Reason::Malformed);
        }
        if founder.node != genesis.founder || founder.role != NodeRole::Registry {
            return Err(Reason::NodeIdMismatch);
        }
        self.install_operators(genesis.operators.clone(), genesis.operator_threshold)?;
        let address = founder.address.clone();
        let node = founder.node;
        let cluster = genesis.cluster;
        self.founded = Some(Founded { genesis, signed, root_der, sealed_root_key, bundle_sequence: 1 });
        self.secrets_generation = FIRST;
        self.sealed_secrets = sealed_secrets;
        for approval in approvals {
            self.approve_pcrs(approval)?;
        }
        self.next_replica = replica.0.saturating_add(1);
        joins::check(&self, &founder)?;
        let member = joins::admitted(founder, AdmittedBy::Genesis, None, self.clock, Some(replica));
        self.members.insert(node, member);
        let endpoint = VoterEndpoint { node, replica, address, spki };
        self.voters.insert(node, Voter { endpoint, state: VoterState::Voter });
        self.put_wraps(wraps)?;
        if !self.has_wrap(KeySubject::Crk, FIRST, Recipient::Recovery)
            || !self.has_wrap(KeySubject::Crk, FIRST, Recipient::Node(node))
        {
            return Err(Reason::WrapMismatch);
        }
        self.record(format!("cluster {cluster} founded by {node}"));
        Ok(self)
    }

    pub(crate) fn put_secrets(
        &mut self,
        generation: KeyGeneration,
        replaces: Sha256Hash,
        sealed: Vec<u8>,
    ) -> Result<Applied, Reason> {
        if sealed.len() > limits::MAX_SEALED {
            return Err(Reason::Malformed);
        }
        if replaces != Sha256Hash::of(&self.sealed_secrets) || generation < self.secrets_generation {
            return Err(Reason::Conflict);
        }
        let banned = |node| self.bans.contains(&BanSubject::Node(node));
        let reachable = self
            .voters
            .keys()
            .filter(|node| !banned(**node))
            .all(|node| self.has_wrap(KeySubject::Crk, generation, Recipient::Node(*node)));
        if !reachable || !self.has_wrap(KeySubject::Crk, generation, Recipient::Recovery) {
            return Err(Reason::WrapMismatch);
        }
        self.sealed_secrets = sealed;
        self.secrets_generation = generation;
        self.record(format!("registry secrets sealed anew under generation {generation}"));
        Ok(Applied::Done)
    }
}
