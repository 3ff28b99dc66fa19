//! gRPC health, as one answer for the whole server.

use tonic_health::{ServingStatus, server::HealthReporter};

/// Says whether the server serves. Clones share one state.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

impl Health {
    /// Not ready yet.
    pub(super) async fn starting() -> Self {
        let health = Self(HealthReporter::new());
        health.not_ready().await;
        health
    }

    /// Answers SERVING from now on.
    pub async fn ready(&self) {
        self.0.set_service_status("", ServingStatus::Serving).await;
    }

    /// Answers NOT_SERVING from now on.
    pub async fn not_ready(&self) {
        self.0.set_service_status("", ServingStatus::NotServing).await;
    }

    /// Ends the calls that watch, after what they last saw.
    pub(super) async fn end_watches(&self) {
        self.0.clone().clear_service_status("").await;
    }

    pub(super) fn reporter(&self) -> HealthReporter {
        self.0.clone()
    }
}
