//! What the node serves beside modules.

mod peer;
mod status;

pub use peer::PeerService;
pub use status::NodeService;
