//! Policies as a matrix, and the service behind guard and gate over homes in memory.

mod desk;
mod holes;
mod logins;
mod members;
mod organisations;
mod policies;
mod projects;
mod races;
mod standings;
