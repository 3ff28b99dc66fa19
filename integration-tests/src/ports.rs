//! Ports for servers that are stopped and started again.
//!
//! They lie below the range from which the kernel draws ports of outgoing connections, so that nobody takes one while its
//! server is down.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    sync::{LazyLock, Mutex, PoisonError},
};

use anyhow::bail;

/// Servers: what the recorder listens to.
pub const SERVERS: Range<u16> = 20_000..26_000;
/// Software TPMs: in a real machine that is a bus on the board and no network.
const TPMS: Range<u16> = 26_000..32_000;

/// All that this process handed out: its clusters run side by side.
static TAKEN: LazyLock<Mutex<BTreeSet<u16>>> = LazyLock::new(Mutex::default);

/// A port on the loopback interface that nobody listens on.
///
/// # Errors
/// All are taken.
pub fn one() -> anyhow::Result<u16> {
    run_of(1, SERVERS)
}

/// The first of two neighbouring ports, as a software TPM needs them.
///
/// # Errors
/// All are taken.
pub fn pair() -> anyhow::Result<u16> {
    run_of(2, TPMS)
}

fn run_of(length: u16, range: Range<u16>) -> anyhow::Result<u16> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = range.end.saturating_sub(range.start).saturating_sub(length);
    // Other processes that look at the same time begin elsewhere.
    let begin = u16::try_from(std::process::id().wrapping_mul(131) % u32::from(count)).unwrap_or(0);
    for step in 0..count {
        let first = range.start + (begin + step) % count;
        let wanted = first..first.saturating_add(length);
        if wanted.clone().all(|port| !taken.contains(&port) && is_free(port)) {
            taken.extend(wanted);
            return Ok(first);
        }
    }
    bail!("no free port in {range:?}")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_handed_out_twice() {
        let (a, b, c) = (one().unwrap(), pair().unwrap(), one().unwrap());
        assert!(a != b && c != b && c != b + 1 && a != c);
    }
}
