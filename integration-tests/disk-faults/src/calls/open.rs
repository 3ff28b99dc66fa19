//! Opening files, which may make or empty them.

use std::ffi::CStr;

use libc::{c_char, c_int, mode_t};

use super::path;
use crate::{
    disk::{Disk, disk},
    journal::Record,
    sys::{self, Kind},
};

fn open_watched(dir: c_int, path: &CStr, flags: c_int, mode: mode_t) -> c_int {
    let creates = flags & libc::O_CREAT != 0;
    let cuts = flags & libc::O_TRUNC != 0;
    let inside = |disk: &Disk| disk.inside_at(dir, path);
    let Some((mut disk, name)) = (creates || cuts).then(disk).flatten().and_then(|disk| {
        let name = inside(&disk)?;
        Some((disk, name))
    }) else {
        return sys::open(dir, path, flags, mode);
    };
    disk.step();
    let before = sys::stat_at(dir, path);
    if cuts && let Some(about) = before.as_ref().filter(|about| about.kind == Kind::File && about.size > 0) {
        let fd = sys::open(dir, path, libc::O_RDONLY | libc::O_CLOEXEC, 0);
        let old = sys::read_at(fd, 0, about.size);
        sys::close(fd);
        disk.record(&Record::Resize { file: about.file, size: about.size, to: 0, old });
    }
    let fd = sys::open(dir, path, flags, mode);
    // A file that is made and not written down yet would stay after a power loss at worst, empty: that may be so anyway.
    if fd >= 0
        && before.is_none()
        && let Some(about) = sys::stat(fd)
    {
        disk.record(&Record::Created { file: about.file, path: name });
    }
    fd
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's duty.
    open_watched(libc::AT_FDCWD, unsafe { path(name) }, flags, mode)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's duty.
    open_watched(libc::AT_FDCWD, unsafe { path(name) }, flags, mode)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(dir: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's duty.
    open_watched(dir, unsafe { path(name) }, flags, mode)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(dir: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's duty.
    open_watched(dir, unsafe { path(name) }, flags, mode)
}
