//! The disk: which files it is about, its journal, and its faults.

use std::{
    ffi::{CStr, CString},
    os::unix::ffi::OsStringExt as _,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use libc::c_int;

use crate::{
    control::{Control, is_due},
    journal::{Record, Sequence},
    sys::{self, About, Kind},
};

/// Held over each change, so that the journal has them in their order.
pub(crate) struct Disk {
    root: Vec<u8>,
    victims: Vec<u8>,
    journal: c_int,
    pub(crate) no_sync: bool,
    sequence: Sequence,
    pub(crate) control: Control,
}

static DISK: OnceLock<Option<Mutex<Disk>>> = OnceLock::new();

/// The disk, if this process has one.
pub(crate) fn disk() -> Option<MutexGuard<'static, Disk>> {
    let disk = DISK.get_or_init(|| Disk::from_environment().map(Mutex::new)).as_ref()?;
    Some(disk.lock().unwrap_or_else(PoisonError::into_inner))
}

fn variable(name: &str) -> Option<Vec<u8>> {
    Some(std::env::var_os(name)?.into_vec())
}

fn c_path(parts: &[&[u8]]) -> CString {
    CString::new(parts.concat()).unwrap_or_default()
}

impl Disk {
    fn from_environment() -> Option<Self> {
        let (root, folder) = (variable("HOLDFAST_DISK_ROOT")?, variable("HOLDFAST_DISK_JOURNAL")?);
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        let journal = sys::open(libc::AT_FDCWD, &c_path(&[&folder, b"/journal"]), flags, 0o600);
        let victims = [&folder[..], b"/victims"].concat();
        // SAFETY: the path ends with zero.
        unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, c_path(&[&victims]).as_ptr(), 0o700) };
        // Later processes on the same journal go on above all that was counted before: a record is longer than one byte.
        let sequence = sys::stat(journal)?.size;
        let control = Control::new(c_path(&[&folder, b"/control"]));
        let no_sync = variable("HOLDFAST_DISK_NO_SYNC").is_some();
        Some(Self { root, victims, journal, no_sync, sequence, control })
    }

    /// A path below the folder, or nothing.
    pub(crate) fn inside(&self, path: &[u8]) -> Option<Vec<u8>> {
        let rest = path.strip_prefix(&self.root[..])?;
        match rest.first() {
            None => Some(Vec::new()),
            Some(b'/') => Some(rest.get(1..)?.to_vec()),
            Some(_) => None,
        }
    }

    /// The path that a call means, below the folder.
    pub(crate) fn inside_at(&self, dir: c_int, path: &CStr) -> Option<Vec<u8>> {
        let path = path.to_bytes();
        if path.starts_with(b"/") {
            return self.inside(path);
        }
        let dir = if dir == libc::AT_FDCWD {
            std::env::current_dir().ok()?.into_os_string().into_vec()
        } else {
            sys::path_of(dir)?
        };
        self.inside(&[&dir[..], b"/", path].concat())
    }

    /// What a descriptor is, if it is a file or folder below the folder.
    pub(crate) fn watched(&self, fd: c_int) -> Option<(About, Vec<u8>)> {
        let about = sys::stat(fd)?;
        if about.kind == Kind::Other {
            return None;
        }
        let path = self.inside(&sys::path_of(fd)?)?;
        Some((about, path))
    }

    /// The newest record's number.
    pub(crate) fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Writes a record. A journal that cannot be written would make images that never were: the process ends.
    pub(crate) fn record(&mut self, record: &Record) {
        self.sequence += 1;
        if !sys::append(self.journal, &record.encode(self.sequence)) {
            std::process::abort();
        }
    }

    /// Before each change and sync: the moment at which the process may be killed.
    pub(crate) fn step(&mut self) {
        self.control.refresh();
        if is_due(&mut self.control.kill_at) {
            // SAFETY: a signal to ourselves.
            unsafe { libc::syscall(libc::SYS_kill, libc::syscall(libc::SYS_getpid), libc::SIGKILL) };
        }
    }

    /// How many of the bytes that a file is to grow by fit.
    pub(crate) fn grow(&mut self, bytes: u64) -> u64 {
        let Some(room) = &mut self.control.room else { return bytes };
        let fits = bytes.min(*room);
        *room -= fits;
        fits
    }

    /// Keeps a file that is about to lose its name, under the number that the next record will have.
    pub(crate) fn keep_victim(&self, dir: c_int, path: &CStr) -> bool {
        let number = (self.sequence + 1).to_string();
        let to = c_path(&[&self.victims, b"/", number.as_bytes()]);
        // SAFETY: both paths end with zero.
        let done =
            unsafe { libc::syscall(libc::SYS_linkat, dir, path.as_ptr(), libc::AT_FDCWD, to.as_ptr(), 0) };
        done == 0
    }

    /// Writes down what a write will replace. Returns how many bytes may be written: fewer, or none, when the disk is full.
    pub(crate) fn before_write(&mut self, fd: c_int, about: &About, offset: u64, len: u64) -> u64 {
        let end = offset.saturating_add(len);
        let growth = end.saturating_sub(about.size.max(offset));
        let len = len - (growth - self.grow(growth));
        if len > 0 {
            let there = about.size.saturating_sub(offset).min(len);
            let old = if there == 0 { Vec::new() } else { sys::read_at(fd, offset, there) };
            self.record(&Record::Write { file: about.file, offset, len, size: about.size, old });
        }
        len
    }
}
