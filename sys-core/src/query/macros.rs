//! The macro that makes a module's messages entities.

/// Makes messages entities: `entity! { v1::Note = "holdfast.notes.v1.Note" in DESCRIPTORS; }`, with the module's own descriptor set.
#[macro_export]
macro_rules! entity {
    ($($message:ty = $name:literal in $set:expr;)+) => { $(
        const _: () = {
            use ::std::{result::Result, sync::LazyLock, vec::Vec};
            use $crate::query::{Entity, EntitySchema, Fields, MessageSchema, NotAnEntity};

            static SCHEMA: LazyLock<MessageSchema> = LazyLock::new(|| MessageSchema::embedded($set, $name));

            impl Entity for $message {
                fn schema() -> &'static EntitySchema {
                    SCHEMA.entity()
                }

                fn encode(&self) -> Vec<u8> {
                    MessageSchema::encode(self)
                }

                fn decode(bytes: &[u8]) -> Result<Self, NotAnEntity> {
                    SCHEMA.decode(bytes)
                }

                fn fields(&self) -> Fields {
                    SCHEMA.fields(self)
                }

                fn stored_fields(bytes: &[u8]) -> Result<Fields, NotAnEntity> {
                    SCHEMA.stored_fields(bytes)
                }

                fn redact(&mut self) {
                    SCHEMA.redact(self);
                }
            }
        };
    )+ };
}
