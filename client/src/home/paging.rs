//! Where a listing goes on.

use bytes::Bytes;

use crate::Error;

/// A listing under way.
pub(crate) struct Paging {
    /// What the next request says; `None` at the end.
    cursor: Option<Bytes>,
}

impl Paging {
    /// At the beginning.
    pub(crate) const fn begin() -> Self {
        Self { cursor: Some(Bytes::new()) }
    }

    /// The cursor to send; `None` at the end. Without [`Self::follow`] the listing ends here.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        self.cursor.take()
    }

    /// Takes the cursor that came with the page that was asked for with `sent`.
    ///
    /// # Errors
    /// One that does not advance: it would be followed for ever.
    pub(crate) fn follow(&mut self, sent: &Bytes, came: Bytes, action: &str) -> Result<(), Error> {
        if came == *sent && !came.is_empty() {
            return Err(Error::Reply { action: action.to_owned(), what: "cursor that advances" });
        }
        self.cursor = (!came.is_empty()).then_some(came);
        Ok(())
    }
}
