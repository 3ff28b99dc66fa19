//! Sessions through the real guard, with a clock of the test's own.

mod bad_input;
mod holes;
mod lasting;
mod signing_in;
mod support;
