//! People with perfectly good certificates of another cluster, and members who pose as something else.

use holdfast_certs::{Dialer, ExpectedServer, LiveIdentity, LiveTrust, testing::TestCluster};
use holdfast_domain::{NodeId, RootHash};
use holdfast_proto::registry::v1::{
    BootstrapRequest, StatusRequest, directory_client::DirectoryClient, operators_client::OperatorsClient,
};

use super::Answer;

/// Another cluster, whose authorities we hold.
pub struct Outsider {
    other: TestCluster,
}

impl Outsider {
    /// A cluster of its own.
    ///
    /// # Errors
    /// No keys.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { other: TestCluster::fresh().map_err(|error| anyhow::anyhow!("{error}"))? })
    }

    /// An operator of the other cluster asks a voter of ours, whose root it knows and pins.
    ///
    /// # Errors
    /// No identity.
    pub async fn asks_as_operator(&self, voter: &str, root: RootHash) -> anyhow::Result<Answer> {
        let identity = self.other.operator("admin").map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(status(Dialer::new(root, Some(identity)), voter).await)
    }

    /// A voter of the other cluster asks a voter of ours.
    ///
    /// # Errors
    /// No identity.
    pub async fn asks_as_registry(&self, voter: &str, root: RootHash) -> anyhow::Result<Answer> {
        let identity =
            self.other.registry(NodeId::new([9; 16])).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(status(Dialer::new(root, Some(identity)), voter).await)
    }

    /// A member of the other cluster meets our voter: whom its own trust must refuse.
    pub async fn meets(&self, voter: &str) -> Answer {
        let dialer = Dialer::new(self.other.trust(), None);
        match dialer.connect(voter, &ExpectedServer::AnyRegistry).await {
            Ok(_) => Answer::Done,
            Err(error) => Answer::Refused(chain(&error)),
        }
    }
}

/// A call that operators may make, with any identity.
pub async fn status(dialer: Dialer, voter: &str) -> Answer {
    match dialer.connect(voter, &ExpectedServer::AnyRegistry).await {
        Ok(dialed) => Answer::of(OperatorsClient::new(dialed.channel).status(StatusRequest {}).await),
        Err(error) => Answer::Refused(chain(&error)),
    }
}

/// Takes the server at `address` for a registry.
pub async fn takes_for_registry(trust: LiveTrust, identity: Option<LiveIdentity>, address: &str) -> Answer {
    match Dialer::new(trust, identity).connect(address, &ExpectedServer::AnyRegistry).await {
        Ok(dialed) => Answer::of(DirectoryClient::new(dialed.channel).bootstrap(BootstrapRequest {}).await),
        Err(error) => Answer::Refused(chain(&error)),
    }
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
