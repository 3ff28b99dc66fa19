//! What a voter offers to machines and clients. Who may call what is declared in the `.proto` files and enforced before a handler runs.

pub mod wire;
