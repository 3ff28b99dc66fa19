//! Bounds on what a module may declare. Cost of a decision is linear in policies, so that these are generous, not free.

/// Bytes of one module's policy text.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;

/// Policies of one module.
pub const MAX_POLICIES: usize = 256;

/// Nesting of one policy's conditions: what recurses over them stays far from the end of a small stack.
pub(crate) const MAX_DEPTH: usize = 64;
