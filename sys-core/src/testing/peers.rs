//! Peers without a handshake, for this crate's tests.

use std::sync::Arc;

use holdfast_certs::{Exporter, Peer, PeerIdentity, Serial};
use holdfast_domain::{Home, SpiffeId, SpiffeSubject, SpkiHash, UnixMs};

pub(crate) const TRUST_DOMAIN: &str = "test";

pub(crate) const NOT_AFTER: UnixMs = UnixMs(4_000_000_000_000);

pub(crate) fn identity(subject: SpiffeSubject, home: Option<Home>) -> PeerIdentity {
    PeerIdentity {
        spki_hash: SpkiHash::of_der(subject.to_string().as_bytes()),
        spiffe: SpiffeId { trust_domain: TRUST_DOMAIN.parse().unwrap(), subject },
        serial: Serial::new([1; 16]),
        not_after: NOT_AFTER,
        home,
    }
}

pub(crate) fn peer(identity: Option<PeerIdentity>) -> Peer {
    Peer {
        identity: identity.map(Arc::new),
        exporter: Exporter::new([0; 32]),
        addr: ([127, 0, 0, 1], 9).into(),
    }
}

/// Audit events as text, of this thread.
#[derive(Clone, Default)]
pub(crate) struct AuditLog(Arc<std::sync::Mutex<Vec<String>>>);

impl AuditLog {
    /// Records until the guard is dropped.
    pub(crate) fn record(&self) -> tracing::subscriber::DefaultGuard {
        use tracing_subscriber::layer::SubscriberExt as _;
        tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone()))
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for AuditLog {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Fields(String);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                use std::fmt::Write as _;
                write!(self.0, "{}={value:?} ", field.name()).unwrap();
            }

            fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                use std::fmt::Write as _;
                write!(self.0, "{}={value} ", field.name()).unwrap();
            }
        }
        if event.metadata().target() == "audit" {
            let mut fields = Fields(String::new());
            event.record(&mut fields);
            self.0.lock().unwrap().push(fields.0);
        }
    }
}
