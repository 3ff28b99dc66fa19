//! Making files shorter or longer.

use libc::{c_int, off64_t};

use super::{fail, unsigned};
use crate::{disk::disk, journal::Record, sys};

fn resize_watched(fd: c_int, to: off64_t) -> c_int {
    let resize = || {
        // SAFETY: no pointers.
        sys::result(unsafe { libc::syscall(libc::SYS_ftruncate, fd, to) })
    };
    let Some(mut disk) = disk() else { return resize() };
    let Some((about, _)) = disk.watched(fd) else { return resize() };
    disk.step();
    let to = unsigned(to);
    let growth = to.saturating_sub(about.size);
    if disk.grow(growth) < growth {
        return fail(libc::ENOSPC);
    }
    let old = sys::read_at(fd, to, about.size.saturating_sub(to));
    disk.record(&Record::Resize { file: about.file, size: about.size, to, old });
    resize()
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(fd: c_int, to: off64_t) -> c_int {
    resize_watched(fd, to)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(fd: c_int, to: off64_t) -> c_int {
    resize_watched(fd, to)
}

fn allocate_watched(fd: c_int, mode: c_int, offset: off64_t, len: off64_t) -> c_int {
    let allocate = || {
        // SAFETY: no pointers.
        sys::result(unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, offset, len) })
    };
    let Some(mut disk) = disk() else { return allocate() };
    let Some((about, _)) = disk.watched(fd) else { return allocate() };
    disk.step();
    let to = unsigned(offset).saturating_add(unsigned(len));
    let growth = to.saturating_sub(about.size);
    if disk.grow(growth) < growth {
        return fail(libc::ENOSPC);
    }
    if mode & libc::FALLOC_FL_KEEP_SIZE == 0 && growth > 0 {
        disk.record(&Record::Resize { file: about.file, size: about.size, to, old: Vec::new() });
    }
    allocate()
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate(fd: c_int, mode: c_int, offset: off64_t, len: off64_t) -> c_int {
    allocate_watched(fd, mode, offset, len)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off64_t, len: off64_t) -> c_int {
    allocate_watched(fd, mode, offset, len)
}
