//! The accounts module: organisations, their projects, and who is a member of what; and from these, for every module, who stands how
//! to an organisation's home ([`Memberships`]).
//!
//! An organisation, its projects and all their memberships live in the organisation's home, so that each change is one commit.
//!
//! Invariants: an organisation's owner stands as its admin, whatever the memberships say, so nobody can lock it out; nobody changes his own
//! role, other than by leaving; a membership is of an organisation or project that exists, because adding one requires the unchanged
//! row of what it is for, and what is to be deleted is closed first; an organisation that has ended keeps its row, so that nobody else
//! comes to own what is left in its home.

pub mod limits;
pub mod login;
mod member;
mod name;
mod organisation;
mod page;
mod project;
mod rows;
mod service;
mod standing;

pub use service::{OrganisationsService, server};
pub use standing::{GlobalRoles, Memberships};

/// The module's name, in its `.proto` and its policies.
pub const MODULE: &str = "accounts";

/// Who may do what to an organisation, its projects and its memberships.
pub const POLICIES: &str = include_str!("accounts.cedar");

#[cfg(test)]
mod tests;
