//! One message of a stream of rows.

use holdfast_domain::codec;
use serde::{Deserialize, Serialize};

use super::TransferError;
use crate::{
    limits::MAX_MOVED_ROWS,
    machine::{Fence, MovedRow, Position},
};

/// Longest encoded piece: rows of one command, or the fence of all slots.
const MAX_PIECE: usize = 1 << 20;

/// One message of a stream of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) rows: Vec<MovedRow>,
    /// Where the import is after them.
    pub(super) to: Position,
    /// With the last piece of slots that are frozen.
    pub(super) fence: Option<Fence>,
}

impl Piece {
    pub(super) fn encode(&self) -> Result<Vec<u8>, TransferError> {
        Ok(codec::encode(self)?)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, TransferError> {
        let piece: Self = codec::decode(bytes, MAX_PIECE)?;
        if piece.rows.len() > MAX_MOVED_ROWS {
            let (len, max) = (piece.rows.len(), MAX_MOVED_ROWS);
            return Err(codec::CodecError::TooLong { len, max }.into());
        }
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_pieces_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Piece::decode(&bytes);
        }

        #[test]
        fn a_piece_reads_back(table: u8, key in prop::collection::vec(any::<u8>(), 0..40), next: u64) {
            let row = MovedRow { table, key: key.clone().into(), value: Some(key.into()) };
            let piece = Piece { rows: vec![row], to: Position::Feed { next, skip: 1 }, fence: None };
            prop_assert_eq!(Piece::decode(&piece.encode().unwrap()).unwrap(), piece);
        }
    }
}
