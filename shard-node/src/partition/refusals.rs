//! What the caller is told when something below the partition fails. The detail stays in this node's log.

use std::error::Error;

use holdfast_consensus::{ProposeError, ReadError};
use holdfast_domain::{Reason, causes, codec::CodecError};
use holdfast_keys::AeadError;
use holdfast_store::{EngineError, SegmentError, abort_on_failed_sync, records::RecordError};
use holdfast_sys_core::errors::Refusal;

use crate::machine::StateError;

impl From<StateError> for Refusal {
    fn from(error: StateError) -> Self {
        let reason = match &error {
            StateError::Engine(EngineError::DiskFull { .. }) => Reason::DiskFull,
            _ => Reason::Internal,
        };
        because(reason, &error)
    }
}

/// Every record, keyring and cursor that does not open or seal is a defect or damage, whoever asked.
pub(crate) fn record(error: RecordError) -> Refusal {
    because(Reason::Internal, &error)
}

pub(crate) fn aead(error: AeadError) -> Refusal {
    because(Reason::Internal, &error)
}

pub(crate) fn codec(error: CodecError) -> Refusal {
    because(Reason::Internal, &error)
}

/// The outcome of a segment operation. A failed sync ends the process here.
pub(crate) fn segments<T>(result: Result<T, SegmentError>) -> Result<T, Refusal> {
    abort_on_failed_sync(result).map_err(|error| match &error {
        SegmentError::DiskFull { .. } => because(Reason::DiskFull, &error),
        _ => because(Reason::Internal, &error),
    })
}

pub(super) fn propose(error: ProposeError) -> Refusal {
    let reason = match &error {
        ProposeError::Overloaded { .. } => Reason::Overloaded,
        ProposeError::TooLarge { .. } => Reason::Malformed,
        ProposeError::Stopped { .. } => Reason::NotReady,
        _ => Reason::NoQuorum,
    };
    because(reason, &error)
}

pub(super) fn read(error: ReadError) -> Refusal {
    let reason = match &error {
        ReadError::Stopped { .. } => Reason::NotReady,
        _ => Reason::NoQuorum,
    };
    because(reason, &error)
}

/// A refusal whose detail is the error with its causes.
pub(crate) fn because(reason: Reason, error: &dyn Error) -> Refusal {
    Refusal::new(reason).because(causes(error))
}
