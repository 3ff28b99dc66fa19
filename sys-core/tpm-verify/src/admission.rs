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
    number: u32,
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
    /// Checks a set from the genesis record, whose `number` is 0, or from the signed change of this number.
    ///
    /// # Errors
    /// See [`OperatorSetError`].
    pub fn new(number: u32, operators: &[OperatorKey], threshold: u8) -> Result<Self, OperatorSetError> {
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
        Ok(Self { number, keys, threshold })
    }

    /// Number of changes of the operators since the genesis record.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
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

/// Checks that at least the threshold of different operators signed these exact bytes as this very set, and only then decodes them.
///
/// # Errors
/// [`Reason::AdmissionUnsigned`] for too few or any wrong signature, or one that was given as another set, [`Reason::WrongCluster`], [`Reason::Malformed`].
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
    if admission.set != operators.number {
        let detail = format_args!("signed as operator set {}, not {}", admission.set, operators.number);
        return Err(Denial::new(Reason::AdmissionUnsigned, detail));
    }
    Ok(VerifiedAdmission { admission, signers })
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{EkHash, NodeRole, RequestSerial, Signature64, UnixMs};
    use holdfast_keys::{Signer, SoftSigner, sign_labelled};

    use super::*;

    const CLUSTER: ClusterId = ClusterId::new([1; 16]);

    fn name(index: usize) -> OperatorName {
        format!("operator-{index}").parse().unwrap()
    }

    fn operators(signers: &[SoftSigner]) -> Vec<OperatorKey> {
        let key = |(index, signer): (usize, &SoftSigner)| OperatorKey {
            name: name(index),
            key: signer.public().to_point(),
        };
        signers.iter().enumerate().map(key).collect()
    }

    fn three() -> (Vec<SoftSigner>, OperatorSet) {
        let signers: Vec<_> = (0..3).map(|_| SoftSigner::generate().unwrap()).collect();
        let set = OperatorSet::new(0, &operators(&signers), 2).unwrap();
        (signers, set)
    }

    fn request(cluster: ClusterId) -> Vec<u8> {
        let request = OperatorRequest::AllowEk { ek: EkHash::new([7; 32]), role: NodeRole::Node };
        let (issued, expires) = (UnixMs(1), UnixMs(2));
        let serial = RequestSerial::new([3; 16]);
        codec::encode(&Admission { cluster, set: 0, serial, issued, expires, request }).unwrap()
    }

    fn signed(signers: &[SoftSigner], by: &[usize], bytes: Vec<u8>) -> SignedAdmission {
        let sign = |index: &usize| {
            (name(*index), sign_labelled(&signers[*index], labels::ADMISSION, &bytes).unwrap())
        };
        SignedAdmission { signatures: by.iter().map(sign).collect(), bytes }
    }

    fn reason(result: Result<VerifiedAdmission, Denial>) -> Reason {
        result.unwrap_err().reason
    }

    #[test]
    fn the_threshold_of_operators_admits() {
        let (signers, set) = three();
        let verified = verify(CLUSTER, &set, &signed(&signers, &[2, 0], request(CLUSTER))).unwrap();
        assert_eq!(verified.signers(), [name(2), name(0)]);
        assert!(matches!(verified.request(), OperatorRequest::AllowEk { .. }));
    }

    #[test]
    fn too_few_repeated_foreign_or_wrong_signatures_are_refused() {
        let (signers, set) = three();
        for by in [&[][..], &[1], &[1, 1], &[1, 1, 1]] {
            let result = verify(CLUSTER, &set, &signed(&signers, by, request(CLUSTER)));
            assert_eq!(reason(result), Reason::AdmissionUnsigned);
        }
        let mut renamed = signed(&signers, &[0, 1], request(CLUSTER));
        renamed.signatures[1].0 = name(2);
        assert_eq!(reason(verify(CLUSTER, &set, &renamed)), Reason::AdmissionUnsigned);
        let mut foreign = signed(&signers, &[0, 1, 2], request(CLUSTER));
        foreign.signatures[2].0 = "nobody".parse().unwrap();
        assert_eq!(reason(verify(CLUSTER, &set, &foreign)), Reason::AdmissionUnsigned);
        let mut other = signed(&signers, &[0, 1], request(CLUSTER));
        other.bytes = request(ClusterId::new([2; 16]));
        assert_eq!(reason(verify(CLUSTER, &set, &other)), Reason::AdmissionUnsigned);
    }

    #[test]
    fn a_signature_under_another_label_is_refused() {
        let (signers, set) = three();
        let mut wrong = signed(&signers, &[0, 1], request(CLUSTER));
        wrong.signatures[0].1 = sign_labelled(&signers[0], labels::OPERATOR_SET, &wrong.bytes).unwrap();
        assert_eq!(reason(verify(CLUSTER, &set, &wrong)), Reason::AdmissionUnsigned);
    }

    #[test]
    fn another_cluster_noise_and_excess_are_refused() {
        let (signers, set) = three();
        let other = signed(&signers, &[0, 1], request(ClusterId::new([2; 16])));
        assert_eq!(reason(verify(CLUSTER, &set, &other)), Reason::WrongCluster);
        let noise = signed(&signers, &[0, 1], vec![9; 40]);
        assert_eq!(reason(verify(CLUSTER, &set, &noise)), Reason::Malformed);
        let mut many = signed(&signers, &[0, 1], request(CLUSTER));
        many.signatures = vec![(name(0), Signature64([0; 64])); SIGNATURES_MAX + 1];
        assert_eq!(reason(verify(CLUSTER, &set, &many)), Reason::Malformed);
    }

    #[test]
    fn the_same_operators_of_another_time_sign_nothing() {
        let (signers, _) = three();
        let later = OperatorSet::new(1, &operators(&signers), 2).unwrap();
        let early = verify(CLUSTER, &later, &signed(&signers, &[0, 1], request(CLUSTER)));
        assert_eq!(reason(early), Reason::AdmissionUnsigned);
    }

    #[test]
    fn sets_that_count_one_person_twice_or_demand_nothing_are_refused() {
        let (signers, _) = three();
        let whole = operators(&signers);
        assert_eq!(OperatorSet::new(0, &[], 1), Err(OperatorSetError::Size(0)));
        assert_eq!(OperatorSet::new(0, &whole, 0), Err(OperatorSetError::Threshold(0)));
        assert_eq!(OperatorSet::new(0, &whole, 4), Err(OperatorSetError::Threshold(4)));
        let mut same_key = whole.clone();
        same_key[1].key = same_key[0].key;
        assert_eq!(OperatorSet::new(0, &same_key, 2), Err(OperatorSetError::Repeated(name(1))));
        let mut same_name = whole.clone();
        same_name[1].name = name(0);
        assert_eq!(OperatorSet::new(0, &same_name, 2), Err(OperatorSetError::Repeated(name(0))));
        let mut off_curve = whole;
        off_curve[2].key.y[0] ^= 1;
        assert_eq!(OperatorSet::new(0, &off_curve, 2), Err(OperatorSetError::Key(name(2))));
    }
}
