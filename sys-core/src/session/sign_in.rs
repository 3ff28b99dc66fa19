//! A request to sign in, read and checked.

use holdfast_certs::{
    CertChain, Exporter, Peer, PeerIdentity, Purpose, SubjectKey, VerifyError, verify_chain,
};
use holdfast_domain::{Reason, Signature64, SpiffeSubject, UnixMs};
use holdfast_keys::{ClientPublic, SessionBinding, SessionOpening};
use holdfast_proto::session::v1::{SignInRequest, sign_in_request::Binding};

use super::{
    SessionSettings,
    limits::SESSION_MS,
    live::{Bound, Web},
    origin::WebOrigin,
};

/// A request whose parts have the right form. Nothing in it is proven.
#[derive(Debug)]
pub(super) struct SignIn {
    chain: CertChain,
    pub(super) nonce: [u8; 32],
    binding: Wanted,
    expires: UnixMs,
    signature: Signature64,
}

#[derive(Debug)]
enum Wanted {
    Connection(Exporter),
    Origin(WebOrigin),
}

/// Who has proven to hold a client's key, and what he wants of it.
pub(super) struct Proven {
    pub(super) identity: PeerIdentity,
    pub(super) bound: Bound,
}

impl TryFrom<SignInRequest> for SignIn {
    type Error = Reason;

    fn try_from(request: SignInRequest) -> Result<Self, Reason> {
        let SignInRequest { chain, nonce, expires_ms, signature, binding } = request;
        let malformed = Reason::Malformed;
        let binding = match binding.ok_or(malformed)? {
            Binding::Connection(exporter) => {
                Wanted::Connection(Exporter::new((&*exporter).try_into().map_err(|_| malformed)?))
            }
            Binding::Origin(origin) => Wanted::Origin(origin.parse().map_err(|_| malformed)?),
        };
        let chain = chain.iter().map(|der| der.to_vec()).collect();
        Ok(Self {
            chain: CertChain::from_ders(chain).map_err(|_| malformed)?,
            nonce: (&*nonce).try_into().map_err(|_| malformed)?,
            binding,
            expires: UnixMs(expires_ms),
            signature: Signature64((&*signature).try_into().map_err(|_| malformed)?),
        })
    }
}

impl SignIn {
    /// Checks the certificate as a handshake would, and then the signature by its key.
    pub(super) fn prove(
        self,
        settings: &SessionSettings,
        peer: &Peer,
        now: UnixMs,
    ) -> Result<Proven, Reason> {
        let Self { chain, nonce, binding, expires, signature } = self;
        let bundle = settings.trust.current();
        let verified = verify_chain(&bundle, &chain, Purpose::Client, now);
        let mut identity = verified.map_err(|error| refusal_of(&error))?;
        let (SpiffeSubject::Client(_), Some(_)) = (&identity.spiffe.subject, identity.home) else {
            // Machines and operators have handshakes.
            return Err(Reason::SessionSignature);
        };
        let Some(SubjectKey::Ed25519(key)) = chain.leaf_key() else { return Err(Reason::SessionSignature) };
        let bound = match &binding {
            Wanted::Connection(exporter) => SessionBinding::Connection(exporter.as_bytes()),
            Wanted::Origin(origin) => SessionBinding::Origin(origin.as_str()),
        };
        let SessionSettings { cluster, node, .. } = settings;
        let opening =
            SessionOpening { cluster: *cluster, node: *node, nonce: &nonce, binding: bound, expires };
        key.verify_raw(&opening.message(), &signature).map_err(|_| Reason::SessionSignature)?;
        // A handshake is exact to the second, as certificates are; a session to the millisecond.
        match (identity.not_after <= now, expires <= now) {
            (true, _) => return Err(Reason::IdentityExpired),
            (_, true) => return Err(Reason::Malformed),
            _ => identity.not_after = identity.not_after.min(expires).min(now.plus_ms(SESSION_MS)),
        }
        Ok(Proven { identity, bound: bound_to(binding, key, settings, peer)? })
    }
}

/// What the session is good for; nothing else than what was signed.
fn bound_to(
    wanted: Wanted,
    key: ClientPublic,
    settings: &SessionSettings,
    peer: &Peer,
) -> Result<Bound, Reason> {
    match wanted {
        Wanted::Connection(exporter) if exporter == peer.exporter => Ok(Bound::Connection(exporter)),
        // Signed on another connection: relayed.
        Wanted::Connection(_) => Err(Reason::SessionSignature),
        Wanted::Origin(origin) if settings.web_origins.contains(&origin) => {
            Ok(Bound::Web(Box::new(Web::new(origin, key))))
        }
        Wanted::Origin(_) => Err(Reason::NotPermitted),
    }
}

/// The owner of the key learns that his certificate is over; anything else is said of no certificate.
fn refusal_of(error: &VerifyError) -> Reason {
    tracing::debug!(error = %holdfast_domain::causes(error), "a sign-in with a chain that does not hold");
    if error.is_out_of_time() { Reason::IdentityExpired } else { Reason::SessionSignature }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(request) = SignInRequest::decode(&*bytes) {
                let _ = SignIn::try_from(request);
            }
        }

        #[test]
        fn only_parts_of_the_right_size_are_read(
            nonce in 0usize..40, signature in 60usize..68, exporter in 28usize..36, certificates in 0usize..7,
        ) {
            let request = SignInRequest {
                chain: vec![vec![1; 10].into(); certificates],
                nonce: vec![0; nonce].into(),
                expires_ms: 1,
                signature: vec![0; signature].into(),
                binding: Some(Binding::Connection(vec![0; exporter].into())),
            };
            let right = nonce == 32 && signature == 64 && exporter == 32 && (1..=4).contains(&certificates);
            prop_assert_eq!(SignIn::try_from(request).is_ok(), right);
        }
    }
}
