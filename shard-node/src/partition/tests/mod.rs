//! Tests over a whole group.
