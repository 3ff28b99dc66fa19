//! System calls, without libc's names for them.

use std::ffi::CStr;

use libc::{c_int, c_long, c_void};

/// `PATH_MAX`.
const PATH: usize = 4096;

/// What `fstat` says of a descriptor: its inode, its size and whether it is a regular file or a folder.
pub(crate) struct About {
    pub(crate) file: u64,
    pub(crate) size: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Other,
}

pub(crate) fn set_errno(error: c_int) {
    // SAFETY: the location is this thread's own.
    unsafe { *libc::__errno_location() = error };
}

pub(crate) fn errno() -> c_int {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() }
}

fn about(stat: &libc::stat) -> About {
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => Kind::File,
        libc::S_IFDIR => Kind::Folder,
        _ => Kind::Other,
    };
    About { file: stat.st_ino, size: u64::try_from(stat.st_size).unwrap_or(0), kind }
}

/// `fstat`.
pub(crate) fn stat(fd: c_int) -> Option<About> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel fills the struct of its own layout, which is libc's on 64-bit Linux.
    let done = unsafe { libc::syscall(libc::SYS_fstat, fd, stat.as_mut_ptr()) };
    // SAFETY: zeroed is a valid value, and filled if the call succeeded.
    (done == 0).then(|| about(unsafe { stat.assume_init_ref() }))
}

/// `lstat` relative to a folder.
pub(crate) fn stat_at(dir: c_int, path: &CStr) -> Option<About> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: as in `stat`; the path ends with zero.
    let done = unsafe { libc::syscall(libc::SYS_newfstatat, dir, path.as_ptr(), stat.as_mut_ptr(), flags) };
    // SAFETY: as in `stat`.
    (done == 0).then(|| about(unsafe { stat.assume_init_ref() }))
}

/// The path behind a descriptor, as the kernel knows it.
pub(crate) fn path_of(fd: c_int) -> Option<Vec<u8>> {
    let link = format!("/proc/self/fd/{fd}\0");
    let mut path = vec![0u8; PATH];
    // SAFETY: the link ends with zero, and the kernel writes at most the buffer's length.
    let len = unsafe {
        libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, link.as_ptr(), path.as_mut_ptr(), path.len())
    };
    path.truncate(usize::try_from(len).ok()?);
    Some(path)
}

/// Opens without any ado.
pub(crate) fn open(dir: c_int, path: &CStr, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the path ends with zero.
    let fd = unsafe { libc::syscall(libc::SYS_openat, dir, path.as_ptr(), flags, mode) };
    c_int::try_from(fd).unwrap_or(-1)
}

pub(crate) fn close(fd: c_int) {
    // SAFETY: the descriptor is our own.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// Reads up to `len` bytes at an offset.
pub(crate) fn read_at(fd: c_int, offset: u64, len: u64) -> Vec<u8> {
    // The descriptor may not allow reading: one of our own does.
    let link = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    let own = open(libc::AT_FDCWD, &link, libc::O_RDONLY | libc::O_CLOEXEC, 0);
    let mut bytes = vec![0u8; usize::try_from(len).unwrap_or(0)];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(done as u64);
        // SAFETY: the kernel writes at most the rest's length.
        let read = unsafe { libc::syscall(libc::SYS_pread64, own, rest.as_mut_ptr(), rest.len(), at) };
        match usize::try_from(read) {
            Ok(read) if read > 0 => done += read,
            _ => break,
        }
    }
    close(own);
    bytes.truncate(done);
    bytes
}

/// Writes all of it, or says that it could not.
pub(crate) fn append(fd: c_int, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: the kernel reads at most the slice's length.
        let written =
            unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr().cast::<c_void>(), bytes.len()) };
        match usize::try_from(written) {
            Ok(written) if written > 0 => bytes = bytes.get(written..).unwrap_or_default(),
            _ => return false,
        }
    }
    true
}

/// Milliseconds of the monotonic clock.
pub(crate) fn monotonic_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the struct.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    u64::try_from(now.tv_sec * 1000 + now.tv_nsec / 1_000_000).unwrap_or(0)
}

/// A call's result as libc's functions return it.
pub(crate) fn result(result: c_long) -> c_int {
    c_int::try_from(result).unwrap_or(-1)
}
