//! What evidence is measured against: the genesis record and what the cluster knows of the node.

use holdfast_domain::{ClusterId, Genesis, PcrSelection, TpmPolicy, UnixMs};

use crate::attest::ClockInfo;
use crate::ek_certificate::EkRoots;

/// Whether selected PCRs may hold what they start with, all zero or all one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmeasuredPcrs {
    /// Firmware must have measured something into each.
    Refuse,
    /// Virtual machines without measuring firmware are welcome.
    Accept,
}

/// The verifier's side of a join.
#[derive(Clone, Copy, Debug)]
pub struct VerifyContext<'a> {
    /// Our cluster.
    pub cluster: ClusterId,
    /// Which TPMs it admits.
    pub tpm_policy: TpmPolicy,
    /// Roots of EK certificates.
    pub ek_roots: &'a EkRoots,
    /// The PCRs that were asked for.
    pub selection: &'a PcrSelection,
    /// What is said of PCRs that nothing was measured into.
    pub unmeasured: UnmeasuredPcrs,
    /// The clock in this node's last accepted quote, if there was one.
    pub last_clock: Option<ClockInfo>,
    /// For validity periods of EK certificates.
    pub now: UnixMs,
}

impl<'a> VerifyContext<'a> {
    /// The context of a node's first join in the cluster of `genesis`; `ek_roots` are its roots, prepared.
    #[must_use]
    pub fn of_genesis(genesis: &'a Genesis, ek_roots: &'a EkRoots, now: UnixMs) -> Self {
        let unmeasured = match genesis.tpm_policy {
            TpmPolicy::HardwareOnly => UnmeasuredPcrs::Refuse,
            TpmPolicy::AdmitsVirtual => UnmeasuredPcrs::Accept,
        };
        Self {
            cluster: genesis.cluster,
            tpm_policy: genesis.tpm_policy,
            ek_roots,
            selection: &genesis.pcr_selection,
            unmeasured,
            last_clock: None,
            now,
        }
    }

    /// The same for a node whose last accepted quote carried `clock`.
    #[must_use]
    pub fn after(self, clock: ClockInfo) -> Self {
        Self { last_clock: Some(clock), ..self }
    }
}
