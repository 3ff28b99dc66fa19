//! What a table can hold.

use holdfast_domain::{EntitySchema, Fields};

/// Stored bytes that are not the entity they should be: damage, or a defect of the module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a stored {entity}: {detail}")]
pub struct NotAnEntity {
    /// The entity's type.
    pub entity: String,
    /// What is wrong.
    pub detail: String,
}

/// One kind of row, as the module's `.proto` declares it. Every [`Stored`](holdfast_proto::module::Stored) message is one.
pub trait Entity: Sized + Send + Sync + 'static {
    /// Its declaration.
    fn schema() -> &'static EntitySchema;

    /// The row as stored.
    fn encode(&self) -> Vec<u8>;

    /// A row that was stored.
    ///
    /// # Errors
    /// [`NotAnEntity`] for other bytes.
    fn decode(bytes: &[u8]) -> Result<Self, NotAnEntity>;

    /// The values of all declared fields. One that is left out names no row, is found by no index and passes no filter.
    fn fields(&self) -> Fields;

    /// The same of a stored row: all that is needed of rows that are left out.
    ///
    /// # Errors
    /// [`NotAnEntity`] for other bytes.
    fn stored_fields(bytes: &[u8]) -> Result<Fields, NotAnEntity> {
        Ok(Self::decode(bytes)?.fields())
    }

    /// Clears every secret field: what answers to clients pass through.
    fn redact(&mut self);
}
