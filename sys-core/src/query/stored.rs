//! Messages that their `.proto` declares entities are entities.

use std::{
    any::TypeId,
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

use holdfast_domain::{EntitySchema, Fields};
use holdfast_proto::module::Stored;

use super::{Entity, MessageSchema, NotAnEntity};

/// One for each type that is used, read when it is used first.
static SCHEMAS: LazyLock<RwLock<HashMap<TypeId, &'static MessageSchema>>> = LazyLock::new(RwLock::default);

fn schema<M: Stored>() -> &'static MessageSchema {
    let ty = TypeId::of::<M>();
    if let Some(known) = SCHEMAS.read().unwrap_or_else(PoisonError::into_inner).get(&ty) {
        return known;
    }
    // Read outside of the lock: whoever comes second finds the first's.
    let read = MessageSchema::embedded(M::DESCRIPTORS, M::NAME);
    let mut schemas = SCHEMAS.write().unwrap_or_else(PoisonError::into_inner);
    schemas.entry(ty).or_insert_with(|| Box::leak(Box::new(read)))
}

impl<M: Stored> Entity for M {
    fn schema() -> &'static EntitySchema {
        schema::<M>().entity()
    }

    fn encode(&self) -> Vec<u8> {
        MessageSchema::encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, NotAnEntity> {
        schema::<M>().decode(bytes)
    }

    fn fields(&self) -> Fields {
        schema::<M>().fields(self)
    }

    fn stored_fields(bytes: &[u8]) -> Result<Fields, NotAnEntity> {
        schema::<M>().stored_fields(bytes)
    }

    fn redact(&mut self) {
        schema::<M>().redact(self);
    }
}
