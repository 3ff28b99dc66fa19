//! The operators' signatures on whatever widens access: checked by the replicated state and again by replicas before they wrap.

use std::collections::BTreeMap;

use holdfast_domain::{
    Admission, ClusterId, OperatorKey, OperatorName, OperatorRequest, Reason, SignedAdmission,
    admission::MAX_ADMISSION, codec,
};
use holdfast_keys::{P256Public, labels};

use crate::denial::Denial;
use crate::limits::{OPERATORS_MAX, SIGNATURES_MAX};

/// Who may sign, and how many must: one link of the chain that begins in the genesis record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSet {
    keys: BTreeMap<OperatorName, P256Public>,
    threshold: u8,
}

/// A list of operators that is no operator set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorSetError {
    /// Nobody, or more than the limit.
    #[error("an operator set has 1 to {OPERATORS_MAX} operators, not {0}")]
    Size(usize),
    /// The same name or key twice: one person would count as two.
    #[error("operator {0} or its key is listed twice")]
    Repeated(OperatorName),
    /// The key is not on the curve.
    #[error("operator {0}'s key is not a P-256 key")]
    Key(OperatorName),
    /// Zero, or more than there are operators.
    #[error("a threshold of {0} cannot be met or demands nothing")]
    Threshold(u8),
}

impl OperatorSet {
    /// Checks a set from the genesis record or a signed change.
    ///
    /// # Errors
    /// See [`OperatorSetError`].
    pub fn new(operators: &[OperatorKey], threshold: u8) -> Result<Self, OperatorSetError> {
        if operators.is_empty() || operators.len() > OPERATORS_MAX {
            return Err(OperatorSetError::Size(operators.len()));
        }
        if threshold == 0 || usize::from(threshold) > operators.len() {
            return Err(OperatorSetError::Threshold(threshold));
        }
        let mut keys = BTreeMap::new();
        for OperatorKey { name, key } in operators {
            let key = P256Public::from_point(key).map_err(|_| OperatorSetError::Key(name.clone()))?;
            if keys.values().any(|known| *known == key) || keys.insert(name.clone(), key).is_some() {
                return Err(OperatorSetError::Repeated(name.clone()));
            }
        }
        Ok(Self { keys, threshold })
    }

    /// How many must sign.
    #[must_use]
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    /// An operator's key.
    #[must_use]
    pub fn key(&self, name: &OperatorName) -> Option<&P256Public> {
        self.keys.get(name)
    }

    /// The operators, by name.
    pub fn operators(&self) -> impl Iterator<Item = (&OperatorName, &P256Public)> {
        self.keys.iter()
    }
}

/// A request that enough operators signed. Serial and expiry are the replicated state's to check: it knows time and history.
#[derive(Debug, PartialEq, Eq)]
pub struct VerifiedAdmission {
    admission: Admission,
    signers: Vec<OperatorName>,
}

impl VerifiedAdmission {
    /// What was signed.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// What is asked for.
    #[must_use]
    pub fn request(&self) -> &OperatorRequest {
        &self.admission.request
    }

    /// Who signed it, by name.
    #[must_use]
    pub fn signers(&self) -> &[OperatorName] {
        &self.signers
    }

    /// The request itself.
    #[must_use]
    pub fn into_admission(self) -> Admission {
        self.admission
    }
}

/// Checks that at least the threshold of different operators signed these exact bytes, and only then decodes them.
///
/// # Errors
/// [`Reason::AdmissionUnsigned`] for too few or any wrong signature, [`Reason::WrongCluster`], [`Reason::Malformed`].
pub fn verify(
    cluster: ClusterId,
    operators: &OperatorSet,
    signed: &SignedAdmission,
) -> Result<VerifiedAdmission, Denial> {
    let SignedAdmission { bytes, signatures } = signed;
    if bytes.len() > MAX_ADMISSION || signatures.len() > SIGNATURES_MAX {
        return Err(Denial::new(Reason::Malformed, "admission exceeds its limits"));
    }
    let mut signers = Vec::new();
    for (name, signature) in signatures {
        let unsigned =
            |detail: &str| Denial::new(Reason::AdmissionUnsigned, format_args!("{name}: {detail}"));
        let key = operators.key(name).ok_or_else(|| unsigned("not an operator"))?;
        if signers.contains(name) {
            return Err(unsigned("signed twice"));
        }
        key.verify(labels::ADMISSION, bytes, signature).map_err(|_| unsigned("signature does not verify"))?;
        signers.push(name.clone());
    }
    if signers.len() < usize::from(operators.threshold) {
        let detail = format_args!("{} of {} signatures", signers.len(), operators.threshold);
        return Err(Denial::new(Reason::AdmissionUnsigned, detail));
    }
    let admission: Admission =
        codec::decode(bytes, MAX_ADMISSION).map_err(|fault| Denial::new(Reason::Malformed, fault))?;
    if admission.cluster != cluster {
        return Err(Denial::new(Reason::WrongCluster, "admission for another cluster"));
    }
    Ok(VerifiedAdmission { admission, signers })
}
