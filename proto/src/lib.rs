//! Generated types of the platform's APIs, their descriptors, and checked conversions to domain values.

mod codec;
pub mod declared;
pub mod error_details;
mod home;
mod stored;

pub use codec::Codec;

/// Options that `.proto` files declare.
pub mod options {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::as_conversions, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("holdfast.options.v1");
    }
}

/// What every module's requests share.
pub mod module {
    pub use crate::stored::Stored;

    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::as_conversions, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("holdfast.module.v1");

        pub use crate::home::HomeError;
    }
}

/// What module servers reach of a node's rows.
pub mod data {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::as_conversions, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("holdfast.data.v1");
    }
}

/// Raft between members.
pub mod consensus {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::as_conversions, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("holdfast.consensus.v1");
    }
}

/// The registry's services.
pub mod registry {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::as_conversions, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("holdfast.registry.v1");
    }
}

/// Shard nodes' services.
pub mod node {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::as_conversions, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("holdfast.node.v1");
    }
}

/// Sessions of clients that show no certificate.
pub mod session {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::as_conversions, unreachable_pub)]
    pub mod v1 {
        tonic::include_proto!("holdfast.session.v1");
    }

    /// Metadata: the session's secret, base64url without padding.
    pub const SESSION: &str = "holdfast-session";

    /// Metadata of a web session's request: its counter, decimal.
    pub const COUNTER: &str = "holdfast-counter";

    /// Metadata of a web session's request: its signature, base64url without padding.
    pub const SIGNATURE: &str = "holdfast-signature";
}

/// All descriptors of this crate as the compiler encoded them, custom options included.
///
/// Decode them with `prost-reflect`: `prost-types` silently drops the options, and with them every rule.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
