//! From when on keyrings under an old generation of the group's key are refused: what is under way at a rotation must not come after it.

use holdfast_domain::KeyGeneration;

use super::{
    super::{Outcome, StateError, rows::GroupRow},
    Applying, Refused, refuse,
};

impl Applying<'_> {
    pub(super) fn require_generation(&mut self, generation: KeyGeneration) -> Result<(), Refused> {
        let present = self.txn.get::<GroupRow>(&[])?.unwrap_or_default();
        if present.min_generation < generation {
            self.txn.put(&[], &GroupRow { min_generation: generation, ..present })?;
        }
        Ok(())
    }

    /// Whether something may be kept sealed under a generation: the log decides that, and then this replica waits until it has the key.
    pub(super) fn admit_generation(&mut self, generation: KeyGeneration) -> Result<(), Refused> {
        if generation < self.txn.get::<GroupRow>(&[])?.unwrap_or_default().min_generation {
            return refuse(Outcome::Conflict);
        }
        Ok(self.state.keys().await_generation(generation).map_err(StateError::from)?)
    }
}
