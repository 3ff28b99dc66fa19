//! Refusals: a stable reason code and safe text on the wire, the detail in the log only.
//!
//! On the wire a refusal is a gRPC status whose details hold a `google.rpc.ErrorInfo` with the reason's code, and for a stale map the
//! newer signed map. Which gRPC code a reason has is decided in one place, [`grpc_code`].

mod code;
mod refusal;

pub use code::grpc_code;
pub use holdfast_proto::error_details::ERROR_DOMAIN;
pub use refusal::{NotARefusal, Refusal};
