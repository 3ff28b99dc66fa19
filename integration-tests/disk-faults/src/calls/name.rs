//! Renaming, removing and making what has a name.

use std::ffi::CStr;

use libc::{c_char, c_int, c_uint, mode_t};

use super::path;
use crate::{
    disk::disk,
    journal::Record,
    sys::{self, Kind},
};

fn rename_watched(from_dir: c_int, from: &CStr, to_dir: c_int, to: &CStr, flags: c_uint) -> c_int {
    let rename = || {
        // SAFETY: both paths end with zero.
        sys::result(unsafe {
            libc::syscall(libc::SYS_renameat2, from_dir, from.as_ptr(), to_dir, to.as_ptr(), flags)
        })
    };
    let Some(mut disk) = disk() else { return rename() };
    let Some((old, new)) = disk.inside_at(from_dir, from).zip(disk.inside_at(to_dir, to)) else {
        return rename();
    };
    disk.step();
    let replaced = sys::stat_at(to_dir, to).is_some_and(|about| about.kind == Kind::File)
        && disk.keep_victim(to_dir, to);
    disk.record(&Record::Renamed { from: old, to: new, replaced });
    rename()
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's duty.
    let (from, to) = unsafe { (path(from), path(to)) };
    rename_watched(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
) -> c_int {
    // SAFETY: the caller's duty.
    let (from, to) = unsafe { (path(from), path(to)) };
    rename_watched(from_dir, from, to_dir, to, 0)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat2(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    // SAFETY: the caller's duty.
    let (from, to) = unsafe { (path(from), path(to)) };
    rename_watched(from_dir, from, to_dir, to, flags)
}

fn unlink_watched(dir: c_int, name: &CStr, flags: c_int) -> c_int {
    let unlink = || {
        // SAFETY: the path ends with zero.
        sys::result(unsafe { libc::syscall(libc::SYS_unlinkat, dir, name.as_ptr(), flags) })
    };
    let Some(mut disk) = disk() else { return unlink() };
    let Some(inside) = disk.inside_at(dir, name) else { return unlink() };
    disk.step();
    if flags & libc::AT_REMOVEDIR != 0 {
        let done = unlink();
        let error = sys::errno();
        if done == 0 {
            disk.record(&Record::RemovedFolder { path: inside });
        }
        sys::set_errno(error);
        return done;
    }
    if disk.keep_victim(dir, name) {
        disk.record(&Record::Removed { path: inside });
    }
    unlink()
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    // SAFETY: the caller's duty.
    unlink_watched(libc::AT_FDCWD, unsafe { path(name) }, 0)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(dir: c_int, name: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's duty.
    unlink_watched(dir, unsafe { path(name) }, flags)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(name: *const c_char) -> c_int {
    // SAFETY: the caller's duty.
    unlink_watched(libc::AT_FDCWD, unsafe { path(name) }, libc::AT_REMOVEDIR)
}

fn mkdir_watched(dir: c_int, name: &CStr, mode: mode_t) -> c_int {
    // SAFETY: the path ends with zero.
    let done = sys::result(unsafe { libc::syscall(libc::SYS_mkdirat, dir, name.as_ptr(), mode) });
    if done == 0
        && let Some(mut disk) = disk()
        && let Some(path) = disk.inside_at(dir, name)
    {
        disk.record(&Record::MadeFolder { path });
    }
    done
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(name: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's duty.
    mkdir_watched(libc::AT_FDCWD, unsafe { path(name) }, mode)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdirat(dir: c_int, name: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's duty.
    mkdir_watched(dir, unsafe { path(name) }, mode)
}
