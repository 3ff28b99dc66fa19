//! What the node serves beside modules.

mod maps;
mod peer;
mod status;

pub use maps::MapsService;
pub use peer::PeerService;
pub use status::NodeService;
