//! The words of Holdfast: identifiers, entities and rules that every crate shares.
//!
//! Nothing here does I/O, reads a clock or draws randomness, and this crate depends on none of ours.
//! Values that are signed, replicated or stored are plain data encoded by [`codec`].

pub mod access;
pub mod admission;
mod causes;
pub mod codec;
pub mod evidence;
pub mod genesis;
mod hex_id;
pub mod ids;
pub mod login;
pub mod map;
pub mod reason;
pub mod rule;
pub mod schema;
pub mod screen;
pub mod signed;
pub mod spiffe;
pub mod wrap;

pub use access::{HomeId, NoRole, OrgId, ProjectId, Role, Scope, Standing};
pub use admission::{
    Admission, BanSubject, EkHash, InvitePublic, OperatorName, OperatorRequest, RequestSerial, SetupPublic,
    SignedAdmission, TicketPublic,
};
pub use causes::causes;
pub use evidence::{
    Attested, ChallengeId, JoinEvidence, NodeRole, PcrSelection, PcrValue, TicketProof, TpmClass,
};
pub use genesis::{Genesis, OperatorKey, P256Point, PcrApproval, RecoveryKey, TpmPolicy};
pub use ids::{
    AccountId, ClientId, ClusterId, CommandId, FileId, GroupId, Home, IdError, Kcv, KeyGeneration, Lineage,
    MapEpoch, NodeId, PendingId, PolicyEpoch, ReplicaId, RootHash, Sha256Hash, ShardEpoch, Slot, SlotError,
    SpkiHash, UnixMs, UploadId,
};
pub use login::{LoginId, LoginName, LoginNameError};
pub use map::{GroupDescriptor, ReplicaDescriptor, ReplicaState, ShardMap, SlotMove, VoterEndpoint};
pub use reason::Reason;
pub use rule::{Audience, Rule};
pub use schema::{Check, EntitySchema, FieldSchema, FieldType, FieldValue, Fields, MethodRule, ModuleSchema};
pub use screen::{NotAPath, ScreenPath, ScreenSchema};
pub use signed::{Signature64, Signed};
pub use spiffe::{SpiffeId, SpiffeSubject, TrustDomain};
pub use wrap::{CredentialBlob, KeySubject, WrapRow, WrapTarget, WrappedBlob};
