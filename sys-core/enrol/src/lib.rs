//! The member's half of the registry's services: joining, renewing, watching and resolving.
//!
//! - [`attested`]: the attested join and its renewal
//! - [`folder`]: the data folder of a machine, bound to one cluster, one TPM and one role
//! - [`machine`]: the machine's TPM, opened, checked against the folder, with the keys that it unseals
//! - [`member`]: a member of the cluster, enrolled, opened and kept renewed
//! - [`registries`]: calls to whichever registry member answers
//! - [`watch`]: what the registry tells its members as it changes

pub mod attested;
pub mod folder;
pub mod machine;
pub mod member;
pub mod registries;
pub mod watch;
