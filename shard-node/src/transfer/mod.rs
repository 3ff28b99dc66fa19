//! Moving slots from one group to another while both serve.
//!
//! The signed map's `moves` is the intent, and only the registry begins and ends one. Everything between is decided by two logs, the
//! source's and the target's; this module is what the two leaders do about what their logs say. A step that was interrupted anywhere
//! is repeated by whoever leads then: nothing that matters is in memory.
//!
//! # States of a slot
//! ```text
//! source:  Active ─BeginMove→ Moving ─FreezeSlots→ Frozen ─PartWithSlots→ Gone ─DropRows…, ForgetSlots→ Left
//!            ↑──────UnfreezeSlots───┴────────────────┘
//! target:  none/Left ─BeginImport→ Importing ─Activate→ Active (epoch + 1, stale key) ─RekeySlot→ Active
//!                                      └──AbortImport→ Gone ─DropRows…, ForgetSlots→ Left
//! ```
//! `Active` and `Moving` serve; nothing else does. Between `BeginMove` and the end each slot's row says `Moving`, and the move's own row
//! whether that means `Frozen`: a freeze is one row, however many slots it stops. `Left` stays for ever, so that nobody takes the slot for one that was never here.
//!
//! # Who decides what
//! 1. Registry: the move begins. The map lists it; the slots are still the source's.
//! 2. Target's log: `PutTransferKey`, an X25519 key whose private half is sealed under the target's DMK. Its leader signs the public
//!    half with its TPM's TLS key and shows it to the source's leader (`BeginTransfer`), which verifies the machine's evidence, its admission and
//!    the signature as for a newcomer of its own group, and that the map names that machine as a voter of the move's target.
//! 3. Source's log: `BeginMove`. From this command on, `apply` notes the keys of all rows that it changes in these slots.
//! 4. Target's log: `BeginImport`, then `ImportRows` piece by piece: all rows, then what was noted (`PullSlots`). Each piece says
//!    where the import must be and where it is then; `apply` refuses every other, so none is left out and one that comes twice changes
//!    nothing. Rows travel byte-identical: records, partition keyrings, command ids with their order, files, pages. A slot's keyring
//!    alone is opened: by the source's leader, which seals it to the transfer key, and by the target's, which seals it under its DMK.
//!    Chunks of published files come from the source's replicas, before the freeze but for the last ones.
//! 5. Source's log: `FreezeSlots`, asked for by the target when little is missing. The last pieces follow, and the fence: the ordinal of the
//!    freeze, and every slot's epoch, high-water mark, digest and counts.
//! 6. Target's log: `Activate` with that fence. `apply` compares the import's position with the ordinal, and digests and counts with its
//!    own. Or `AbortImport`, when the map says `give_up`: whichever is first in this log refuses the other for ever.
//! 7. Registry: the target's leader reports; the move leaves the map, and its slots are the target's, or stay the source's.
//! 8. Source's log, when the map says so: `PartWithSlots`, or `UnfreezeSlots`. Rows go after a delay. The target gives the slots new SKs
//!    and new data keys for new writes, as the source knew theirs.
//!
//! # Why no two groups acknowledge one slot
//! The target acknowledges after `Activate` only, which needs a fence, which exists after `FreezeSlots` only; from there the source
//! acknowledges nothing unless it applies `UnfreezeSlots`, which its leader proposes only under a signed map without the move in which the
//! slots are still its own. The registry writes such a map after the target's report of an abort only, and then the target's log refuses
//! `Activate`. A command that a deposed leader left in a log names the slot's epoch: epochs grow with every hand-over, so it is
//! refused wherever it surfaces. Reads look at the slot's state after the read index was confirmed, so none is answered from
//! slots that froze before it began.
//!
//! # Why no write is lost, and none counts twice
//! What the source applied before `BeginMove` is in the rows; what it applied later is in the feed, up to the ordinal of the freeze; after
//! that nothing is applied. A row is read after its key was noted, so a later change is noted again. `Activate` demands the very
//! position behind the freeze. Command ids travel as rows, so a client that tries again at the target is told `Duplicate`. The
//! high-water mark travels in the fence, so versions go on growing.
//!
//! # Crashes
//! - Before `BeginMove`, either side: the step is repeated; a transfer key that is in the log is used again.
//! - While rows travel: the new target leader reads the position in its state and asks any new source leader from there on: the feed
//!   is replicated and its ordinals are those of the log.
//! - After the freeze: as before, and the source stays frozen until the target's log has decided. That needs no registry.
//! - After `Activate`: the slots are served on the fence's proof. The report is repeated until the map shows it.
//! - After the map changed: the source's leader parts with the slots when it sees the map; dropping goes on where it was.
//! - The target never comes back: nothing but an operator's recovery of that group ends the move, as only its log knows whether it activated.

mod drive;
mod error;
mod import;
mod key;
mod piece;
mod plan;
mod rekey;
mod serve;
mod taking;

pub(crate) use self::key::resealed as resealed_transfer_key;
pub use self::{
    drive::{Pace, keep_moving},
    error::TransferError,
    serve::TransferService,
};
