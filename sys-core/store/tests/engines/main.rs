//! Both engines against one suite: what the trait promises, kill -9, power cuts on a loop device, full disks.
//!
//! `HOLDFAST_CRASH_ROUNDS` sets the number of rounds of each crash test, `HOLDFAST_CRASH_SEED` replays one.

#[cfg(test)]
mod blobs;
#[cfg(test)]
mod child;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod device;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod power;
#[cfg(test)]
mod workload;
