//! Where a listing goes on: sealed, so that a client can neither read tokens nor ask for other places. Any replica that
//! holds the slot opens it: pages of one listing may come from several.

use holdfast_domain::{HomeId, Reason, codec};
use holdfast_keys::{LenPrefixed, WrapKey, aead, labels};
use holdfast_sys_core::{
    errors::Refusal,
    module::{Cursor, RecordKey, Scan},
};
use serde::{Deserialize, Serialize};

use super::{homes::HomeRef, refusals};
use crate::{limits::MAX_CURSOR_BYTES, machine::Blob};

/// What a cursor holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Which of the listing's ranges.
    pub(super) range: u16,
    /// Where in it: above the last visited key.
    pub(super) start: Blob,
}

/// A listing of one caller: what its cursors are bound to.
pub(super) struct Listing<'a> {
    pub(super) at: HomeRef,
    pub(super) client: holdfast_domain::ClientId,
    pub(super) scan: &'a Scan,
}

impl Listing<'_> {
    pub(super) fn seal(&self, key: &WrapKey, position: &Position) -> Result<Cursor, Refusal> {
        let plain = codec::encode(position).map_err(refusals::codec)?;
        aead::seal(key, &self.context(), &plain).map(Cursor).map_err(refusals::aead)
    }

    /// # Errors
    /// `Malformed` for a cursor of another caller or listing.
    pub(super) fn open(&self, key: &WrapKey, cursor: &Cursor) -> Result<Position, Refusal> {
        let malformed = || Refusal::new(Reason::Malformed).because("not a cursor of this listing");
        if cursor.0.len() > MAX_CURSOR_BYTES {
            return Err(malformed());
        }
        let plain = aead::open(key, &self.context(), &cursor.0).map_err(|_| malformed())?;
        codec::decode(&plain, MAX_CURSOR_BYTES).map_err(|_| malformed())
    }

    fn context(&self) -> Vec<u8> {
        let Self { at: HomeRef { home, slot, spec }, client, scan } = self;
        let Scan { prefixes, select: _, bound_to } = scan;
        let kind: &[u8] = match home {
            HomeId::Account(_) => b"account",
            HomeId::Organisation(_) => b"organisation",
            HomeId::Login(_) => b"login",
        };
        let context = LenPrefixed::new(labels::CURSOR_KEY)
            .field(kind)
            .field(home.as_bytes())
            .number(slot.number())
            .number(spec.id.0)
            .field(client.as_bytes())
            .field(bound_to.as_ref().map_or(&[], |hash| hash.as_bytes()));
        let prefixes = prefixes.iter().map(RecordKey::components).fold(context, |context, prefix| {
            // An empty field ends a prefix: components are never empty.
            prefix.iter().fold(context, |context, component| context.field(component)).field(&[])
        });
        prefixes.into_bytes()
    }
}
