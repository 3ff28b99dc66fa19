//! Acts that widen access: written here, signed here over their exact bytes, applied once by the cluster.
//!
//! Where several operators must sign, the first writes the signed request to a file, the others add their signatures, and any of
//! them submits it while it is fresh.

use holdfast_domain::{
    Admission, BanSubject, NodeRole, OperatorName, OperatorRequest, PcrApproval, PcrSelection, PcrValue,
    PolicyEpoch, Reason, RequestSerial, SignedAdmission, UnixMs,
    admission::MAX_ADMISSION,
    codec::{self, CodecError},
};
use holdfast_keys::{Signer as _, labels, random_array, sign_labelled};
use holdfast_proto::registry::v1::{self as pb, operators_client::OperatorsClient};
use holdfast_tpm_verify::{PolicyKey, approval::approval_message};
use tonic::transport::Channel;

use super::Operator;
use crate::{
    Error,
    limits::{ADMISSION_LIFE_MS, MAX_SIGNED_ADMISSION},
    registries::Repeat,
    time::now,
};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// Committed at this log index.
    At(u64),
    /// Committed by an earlier try whose reply was lost.
    Before,
}

/// A request with the signatures that it has so far.
pub struct Signing {
    signed: SignedAdmission,
    admission: Admission,
}

impl Signing {
    /// Reads a request that another operator signed. Its signatures are the cluster's to check; what it asks for is shown to
    /// whoever adds one.
    ///
    /// # Errors
    /// [`Error::Encode`] when it is no such request.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let signed: SignedAdmission = codec::decode(bytes, MAX_SIGNED_ADMISSION)?;
        let admission = codec::decode(&signed.bytes, MAX_ADMISSION)?;
        Ok(Self { signed, admission })
    }

    /// As it is handed to another operator.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(&self.signed)
    }

    /// What is asked for, and until when.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Who signed.
    pub fn signers(&self) -> impl Iterator<Item = &OperatorName> {
        self.signed.signatures.iter().map(|(name, _)| name)
    }

    /// One line for people: what signing this does.
    pub fn describe(&self) -> String {
        describe(&self.admission.request)
    }
}

impl Operator {
    /// Writes a request for the operators of today, and signs it in this operator's name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sign(&self, request: OperatorRequest) -> Result<Signing, Error> {
        let set = self.status().await?.operator_set;
        self.sign_as(set, request)
    }

    /// Writes a request for the operators of this number and signs it: a cluster with others than these refuses it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn sign_as(&self, set: u32, request: OperatorRequest) -> Result<Signing, Error> {
        let issued = now();
        let admission = Admission {
            cluster: self.description().cluster,
            set,
            serial: RequestSerial::new(random_array()?),
            issued,
            expires: issued.plus_ms(ADMISSION_LIFE_MS),
            request,
        };
        let signed = SignedAdmission { bytes: codec::encode(&admission)?, signatures: vec![] };
        self.cosign(Signing { signed, admission })
    }

    /// Adds this operator's signature to a request of the same cluster.
    ///
    /// # Errors
    /// [`Reason::WrongCluster`] for another cluster's request.
    pub fn cosign(&self, signing: Signing) -> Result<Signing, Error> {
        let Signing { mut signed, admission } = signing;
        if admission.cluster != self.description().cluster {
            return Err(Error::Refused {
                action: "sign this request".to_owned(),
                reason: Reason::WrongCluster,
            });
        }
        let name = self.description().name.clone();
        let signature = sign_labelled(self.credential.signer(), labels::ADMISSION, &signed.bytes);
        signed.signatures.retain(|(signer, _)| *signer != name);
        signed.signatures.push((name, signature.map_err(Error::signing)?));
        Ok(Signing { signed, admission })
    }

    /// Signs a request and has it applied, for clusters where one operator is enough.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn submit(&self, request: OperatorRequest) -> Result<Submitted, Error> {
        self.submit_signed(&self.sign(request).await?).await
    }

    /// Has a signed request applied.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn submit_signed(&self, signing: &Signing) -> Result<Submitted, Error> {
        let action = signing.describe();
        let bytes = bytes::Bytes::from(signing.to_bytes()?);
        let tried = std::sync::atomic::AtomicU32::new(0);
        let call = |mut client: OperatorsClient<Channel>| {
            tried.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let request = pb::SubmitRequest { admission: bytes.clone() };
            async move { client.submit(request).await }
        };
        match self.call(&action, Repeat::Safe, call).await {
            Ok(pb::SubmitReply { index }) => Ok(Submitted::At(index)),
            // Nobody else has this serial: the try before this one was applied.
            Err(Error::Refused { reason: Reason::AdmissionReplayed, .. })
                if tried.into_inner() > 1 && signing.admission.expires > now() =>
            {
                Ok(Submitted::Before)
            }
            Err(error) => Err(error),
        }
    }

    /// Approves a boot state with the PCR policy key of this credential, as a TPM will check it.
    ///
    /// # Errors
    /// When the credential has no such key, or not the cluster's.
    pub fn approve_pcrs(
        &self,
        role: NodeRole,
        epoch: PolicyEpoch,
        pcrs: Vec<PcrValue>,
    ) -> Result<OperatorRequest, Error> {
        const ACTION: &str = "approve a boot state";
        let genesis = self.credential.trust().genesis();
        let malformed = || Error::Refused { action: ACTION.to_owned(), reason: Reason::PcrSelection };
        let indices: Vec<u8> = pcrs.iter().map(|value| value.index).collect();
        let selection = PcrSelection::try_from(indices).map_err(|_| malformed())?;
        if selection != genesis.pcr_selection {
            return Err(malformed());
        }
        let key = self.credential.policy_signer()?;
        let refused = || Error::Refused { action: ACTION.to_owned(), reason: Reason::NotPermitted };
        let key = key.filter(|key| key.public().to_point() == genesis.pcr_policy_key).ok_or_else(refused)?;
        let cluster = self.description().cluster;
        let message = approval_message(cluster, role, epoch, &selection, &pcrs).map_err(Error::signing)?;
        let signature = key.sign(&message).map_err(Error::signing)?;
        let approval = PcrApproval { role, policy_epoch: epoch, selection, pcrs, signature };
        // As every machine will: an approval that does not verify would lock them out.
        PolicyKey::new(&genesis.pcr_policy_key)
            .map_err(Error::signing)?
            .verify(cluster, &approval)
            .map_err(Error::signing)?;
        Ok(OperatorRequest::ApprovePcrs(approval))
    }

    /// The PCRs that this cluster binds keys to.
    pub fn pcr_selection(&self) -> &PcrSelection {
        &self.credential.trust().genesis().pcr_selection
    }
}

/// What a request does, in the words of its verbs.
pub(crate) fn describe(request: &OperatorRequest) -> String {
    let until = |expires: &UnixMs| crate::time::rfc3339(*expires);
    match request {
        OperatorRequest::AllowEk { ek, role } => format!("allow the TPM {ek} as {role}"),
        OperatorRequest::Approve { pending, ek, role } => {
            format!("approve the waiting join {pending} of TPM {ek} as {role}")
        }
        OperatorRequest::IssueTicket { ticket: _, role, expires } => {
            format!("issue a ticket for one {role} until {}", until(expires))
        }
        OperatorRequest::ApprovePcrs(PcrApproval { role, policy_epoch, selection, .. }) => {
            let indices = selection.indices();
            format!("approve a boot state for role {role}: PCRs {indices:?}, policy epoch {policy_epoch}")
        }
        OperatorRequest::Invite { invite: _, quota_bytes, expires } => {
            format!("invite one client with a quota of {quota_bytes} bytes until {}", until(expires))
        }
        OperatorRequest::SetupToken { token: _, expires } => {
            format!("let one account become superadmin with a set-up token until {}", until(expires))
        }
        OperatorRequest::Ban(subject) => format!("ban {}", describe_subject(subject)),
        OperatorRequest::Unban(subject) => format!("unban {}", describe_subject(subject)),
        OperatorRequest::SetOperators { operators, threshold, keep } => {
            let names: Vec<_> = operators.iter().map(|operator| operator.name.as_str()).collect();
            let (names, kept) = (names.join(", "), keep.len());
            format!(
                "make the operators {names}, of whom {threshold} must sign, and keep {kept} admitted TPMs"
            )
        }
    }
}

fn describe_subject(subject: &BanSubject) -> String {
    match subject {
        BanSubject::Node(id) => format!("node {id}"),
        BanSubject::Client(id) => format!("client {id}"),
        BanSubject::Account(id) => format!("account {id}"),
        BanSubject::Operator(name) => format!("operator {name}"),
    }
}

#[cfg(test)]
mod tests;
