//! A network of namespaces on one bridge, in which any machine can be cut off from any other, in one direction or both.
//!
//! Everything is named after this process and goes when the network is dropped; what a killed process left behind goes when the
//! next network is made. A cut is a neighbour entry that leads nowhere: packets are lost silently, of old connections and new
//! ones. Needs root.

use std::{
    fs::{self, File},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU8, AtomicU32, Ordering},
    thread,
};

use anyhow::{Context as _, bail};

/// Where `ip netns` keeps its names.
const NAMES: &str = "/run/netns";
const PREFIX: &str = "hfx";
/// Nobody has it.
const NOBODY: &str = "02:00:00:de:ad:00";
/// Several networks may live in one process, one after the other or side by side.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A bridge with this host at its first address.
#[derive(Debug)]
pub struct Network {
    bridge: String,
    /// The first three numbers of its addresses.
    subnet: String,
    taken: AtomicU8,
}

/// One machine of a network.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: String,
    address: String,
}

impl Network {
    /// Makes the bridge.
    ///
    /// # Errors
    /// Not root, or the kernel refuses.
    pub fn new() -> anyhow::Result<Self> {
        sweep();
        let (id, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let bridge = format!("{PREFIX}{id}b{count}");
        let place = id.wrapping_mul(31).wrapping_add(count);
        let subnet = format!("10.{}.{}", 64 + (place >> 8) % 128, place % 256);
        ip(&["link", "add", &bridge, "type", "bridge"]).context("a bridge (are we root?)")?;
        let network = Self { bridge, subnet, taken: AtomicU8::new(10) };
        ip(&["address", "add", &format!("{}/24", network.host()), "dev", &network.bridge])?;
        ip(&["link", "set", &network.bridge, "up"])?;
        Ok(network)
    }

    /// The address of this host on it.
    pub fn host(&self) -> String {
        format!("{}.1", self.subnet)
    }

    /// A new machine on it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn join(&self) -> anyhow::Result<Namespace> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}n{number}", self.bridge);
        let address = format!("{}.{number}", self.subnet);
        // Names of links have at most 15 letters.
        let link = name.clone();
        ip(&["netns", "add", &name])?;
        ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
        ip(&["link", "set", &link, "master", &self.bridge, "up"])?;
        ip(&["-n", &name, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        Ok(Namespace { name, address })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(&self.bridge);
    }
}

impl Namespace {
    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its handle, for `nsenter --net=`.
    pub fn handle(&self) -> PathBuf {
        Path::new(NAMES).join(&self.name)
    }

    /// Does something inside: sockets that are opened and programs that are started there belong to it.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let handle = File::open(self.handle()).context("opening a namespace")?;
        let inside = || -> anyhow::Result<T> {
            enter(&handle)?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|_| bail!("it panicked inside"))
    }

    /// From now on nothing that this machine sends reaches `address`; the other way round all does.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn cut(&self, address: &str) -> anyhow::Result<()> {
        let entry = [address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent"];
        ip(&[&["-n", &self.name, "neigh", "replace"][..], &entry].concat())
    }

    /// Everything gets through again.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn heal(&self) -> anyhow::Result<()> {
        ip(&["-n", &self.name, "neigh", "flush", "dev", "eth0", "nud", "permanent"])
    }
}

#[expect(unsafe_code, reason = "the kernel's call has no safe form among the crates in use")]
fn enter(handle: &File) -> anyhow::Result<()> {
    // SAFETY: a descriptor that is open, and no pointers. It concerns this thread alone, which ends after its work.
    let done = unsafe { libc::setns(handle.as_raw_fd(), libc::CLONE_NEWNET) };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()).context("entering a namespace") }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output = output.context("starting `ip`: install the package `iproute2`")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`ip {}` failed: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}

/// Removes a bridge with all its namespaces, and their links with them.
fn remove(bridge: &str) {
    let machines = format!("{bridge}n");
    for name in names().into_iter().filter(|name| name.starts_with(&machines)) {
        drop(ip(&["netns", "del", &name]));
        // The kernel takes its time with the links of a namespace that is gone.
        drop(ip(&["link", "del", &name]));
    }
    drop(ip(&["link", "del", bridge]));
}

fn names() -> Vec<String> {
    let Ok(entries) = fs::read_dir(NAMES) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Removes every network of this process, as its end in order would.
pub fn remove_own() {
    remove_of(|id| id == std::process::id());
}

/// Removes what processes left that are no more.
fn sweep() {
    remove_of(|id| !Path::new(&format!("/proc/{id}")).exists());
}

fn remove_of(is_theirs: impl Fn(u32) -> bool) {
    let links = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let links = links.filter_map(|entry| entry.file_name().into_string().ok());
    for name in links.chain(names()) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let Some((id, count)) = rest.split_once('b') else { continue };
        let count: String = count.chars().take_while(char::is_ascii_digit).collect();
        if id.parse().is_ok_and(&is_theirs) {
            remove(&format!("{PREFIX}{id}b{count}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    use super::*;

    /// Connects from one machine to another and echoes a byte: whether it came back.
    fn echoes(from: &Namespace, to: &Namespace) -> bool {
        let listener = to.run(|| TcpListener::bind((to.address(), 0)).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..60 {
                    if let Ok((mut stream, _)) = listener.accept() {
                        stream.set_nonblocking(false).unwrap();
                        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                        let mut byte = [0];
                        let _ = stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte));
                        return;
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            });
            let ask = || -> std::io::Result<()> {
                let timeout = Duration::from_millis(500);
                let mut stream = TcpStream::connect_timeout(&address, timeout)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.write_all(&[7])?;
                stream.read_exact(&mut [0])
            };
            from.run(ask).unwrap().is_ok()
        })
    }

    #[test]
    fn machines_reach_each_other_until_they_are_cut_and_after_they_are_healed() {
        let Ok(network) = Network::new() else {
            eprintln!("skipped: no network namespaces here (not root?)");
            return;
        };
        let (a, b, c) = (network.join().unwrap(), network.join().unwrap(), network.join().unwrap());
        assert!(echoes(&a, &b) && echoes(&b, &a));
        a.cut(b.address()).unwrap();
        assert!(!echoes(&a, &b) && echoes(&a, &c) && echoes(&c, &b));
        a.heal().unwrap();
        assert!(echoes(&a, &b) && echoes(&b, &a));
        let names_of =
            |network: &Network| names().into_iter().filter(|name| name.starts_with(&network.bridge)).count();
        assert_eq!(names_of(&network), 3);
        let bridge = network.bridge.clone();
        drop(network);
        assert!(!names().iter().any(|name| name.starts_with(&bridge)));
        assert!(!Path::new("/sys/class/net").join(&bridge).exists());
    }
}
