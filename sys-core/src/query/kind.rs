//! One kind of row for whoever handles rows as bytes, its Rust type known or not.

use std::marker::PhantomData;

use holdfast_domain::{EntitySchema, Fields};

use super::{Entity, MessageSchema, NotAnEntity};

/// How stored rows are read: all that tables, scopes and indexes need of them.
pub(crate) trait Kind: Send + Sync + 'static {
    /// The declaration.
    fn schema(&self) -> &EntitySchema;

    /// The values of all declared fields of a stored row.
    ///
    /// # Errors
    /// [`NotAnEntity`] for other bytes.
    fn stored_fields(&self, bytes: &[u8]) -> Result<Fields, NotAnEntity>;
}

/// A kind with a Rust type.
struct Typed<E>(PhantomData<fn() -> E>);

impl<E: Entity> Typed<E> {
    const KIND: Self = Self(PhantomData);
}

/// The kind of an entity.
pub(super) fn of<E: Entity>() -> &'static dyn Kind {
    &Typed::<E>::KIND
}

impl<E: Entity> Kind for Typed<E> {
    fn schema(&self) -> &EntitySchema {
        E::schema()
    }

    fn stored_fields(&self, bytes: &[u8]) -> Result<Fields, NotAnEntity> {
        E::stored_fields(bytes)
    }
}

/// A kind that is known by its descriptor only.
impl Kind for MessageSchema {
    fn schema(&self) -> &EntitySchema {
        self.entity()
    }

    fn stored_fields(&self, bytes: &[u8]) -> Result<Fields, NotAnEntity> {
        Self::stored_fields(self, bytes)
    }
}
