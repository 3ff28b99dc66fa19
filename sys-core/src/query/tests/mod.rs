//! Tables over a home in memory.

mod indexes;
mod limits;
mod listings;
mod messages;
mod model;
mod note;
mod scopes;
mod support;
mod writers;
