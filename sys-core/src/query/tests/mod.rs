//! Tables over a home in memory.

mod note;
mod support;
