//! A session's secret, and the counter of its requests.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use holdfast_domain::UnixMs;
use holdfast_keys::{SessionRequest, hash::sha256};
use holdfast_proto::session as names;
use http::{HeaderMap, HeaderName, HeaderValue, header::ORIGIN};
use zeroize::Zeroizing;

use super::{Connected, Signer};

/// What the node gave. Its secret is wiped when dropped.
pub(super) struct Held {
    secret: Zeroizing<[u8; 32]>,
    /// By the node's clock.
    pub(super) expires: UnixMs,
    /// By ours: half of its life.
    half: Instant,
    counter: AtomicU64,
}

impl Held {
    pub(super) fn new(secret: [u8; 32], expires: UnixMs, now: UnixMs) -> Self {
        let half = Duration::from_millis(expires.since(now) / 2);
        let secret = Zeroizing::new(secret);
        Self { secret, expires, half: Instant::now() + half, counter: AtomicU64::new(0) }
    }

    pub(super) fn is_young(&self) -> bool {
        Instant::now() < self.half
    }

    /// Names the session.
    pub(super) fn present(&self, headers: &mut HeaderMap) {
        insert(headers, names::SESSION, &Zeroizing::new(URL_SAFE_NO_PAD.encode(self.secret.as_slice())));
    }

    /// Signs a request of a page.
    pub(super) fn sign(
        &self,
        signer: &Signer,
        to: &Connected,
        origin: &str,
        path: &str,
        body: &[u8],
        headers: &mut HeaderMap,
    ) {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let session = sha256(&*self.secret);
        let (cluster, node) = (signer.cluster, to.node);
        let request = SessionRequest { cluster, node, session: &session, path, body, counter };
        let signature = signer.key.sign_raw(&request.message());
        insert(headers, names::COUNTER, &counter.to_string());
        insert(headers, names::SIGNATURE, &URL_SAFE_NO_PAD.encode(signature.0));
        insert(headers, ORIGIN.as_str(), origin);
    }
}

/// Sets a header. What is no header's text cannot be an origin either: the node says so.
fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        value.set_sensitive(name == names::SESSION);
        headers.insert(name, value);
    }
}
