//! Writing into files.

use libc::{c_int, c_uint, c_void, iovec, off64_t, size_t, ssize_t};

use super::{fail, unsigned};
use crate::{
    disk::disk,
    sys::{self, Kind},
};

/// Where a write goes.
#[derive(Clone, Copy)]
enum Place {
    /// The descriptor's own position, or the end for one that appends.
    Own,
    At(u64),
}

/// Writes down what a write replaces, then lets `write` do it with at most as many bytes as there is room for.
fn write_watched(fd: c_int, len: usize, place: Place, write: &dyn Fn(usize) -> ssize_t) -> ssize_t {
    let Some(mut disk) = disk() else { return write(len) };
    let Some((about, _)) = disk.watched(fd).filter(|(about, _)| about.kind == Kind::File) else {
        drop(disk);
        return write(len);
    };
    disk.step();
    let offset = match place {
        Place::At(offset) => offset,
        Place::Own => {
            // SAFETY: system calls without pointers.
            let flags = unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL) };
            if sys::result(flags) & libc::O_APPEND != 0 {
                about.size
            } else {
                // SAFETY: as above.
                unsigned(unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) })
            }
        }
    };
    let allowed = disk.before_write(fd, &about, offset, len as u64);
    if allowed == 0 && len > 0 {
        return fail(libc::ENOSPC) as ssize_t;
    }
    write(usize::try_from(allowed).unwrap_or(len))
}

fn pwrite_watched(fd: c_int, bytes: *const c_void, len: size_t, offset: off64_t) -> ssize_t {
    write_watched(fd, len, Place::At(unsigned(offset)), &|len| {
        // SAFETY: the caller's buffer, of which at most its length is read.
        unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, len, offset) as ssize_t }
    })
}

/// Buffers one after the other, until one does not fit: a short write, as libc's may be.
fn vectored(
    iov: *const iovec,
    count: c_int,
    write: &dyn Fn(*const c_void, size_t, u64) -> ssize_t,
) -> ssize_t {
    let mut done: ssize_t = 0;
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the caller's array has `count` members.
        let part = unsafe { &*iov.add(at) };
        if part.iov_len == 0 {
            continue;
        }
        let written = write(part.iov_base, part.iov_len, unsigned(done as off64_t));
        if written < 0 {
            return if done > 0 { done } else { written };
        }
        done += written;
        if unsigned(written as off64_t) < part.iov_len as u64 {
            break;
        }
    }
    done
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, len: size_t) -> ssize_t {
    write_watched(fd, len, Place::Own, &|len| {
        // SAFETY: as in `pwrite_watched`.
        unsafe { libc::syscall(libc::SYS_write, fd, bytes, len) as ssize_t }
    })
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    let is_watched = disk().is_some_and(|disk| disk.watched(fd).is_some());
    if !is_watched {
        // SAFETY: the caller's arguments.
        return unsafe { libc::syscall(libc::SYS_writev, fd, iov, count) as ssize_t };
    }
    // SAFETY: a part of the caller's buffers.
    vectored(iov, count, &|bytes, len, _| unsafe { write(fd, bytes, len) })
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(fd: c_int, bytes: *const c_void, len: size_t, offset: off64_t) -> ssize_t {
    pwrite_watched(fd, bytes, len, offset)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, len: size_t, offset: off64_t) -> ssize_t {
    pwrite_watched(fd, bytes, len, offset)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwritev(fd: c_int, iov: *const iovec, count: c_int, offset: off64_t) -> ssize_t {
    vectored(iov, count, &|bytes, len, done| {
        pwrite_watched(fd, bytes, len, offset.saturating_add(off64_t::try_from(done).unwrap_or(0)))
    })
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwritev64(fd: c_int, iov: *const iovec, count: c_int, offset: off64_t) -> ssize_t {
    // SAFETY: the same arguments.
    unsafe { pwritev(fd, iov, count, offset) }
}

/// In place of libc's: not between watched files, so that callers write.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut off64_t,
    to: c_int,
    to_offset: *mut off64_t,
    len: size_t,
    flags: c_uint,
) -> ssize_t {
    if disk().is_some_and(|disk| disk.watched(to).is_some()) {
        return fail(libc::ENOSYS) as ssize_t;
    }
    let call = libc::SYS_copy_file_range;
    // SAFETY: the caller's arguments.
    unsafe { libc::syscall(call, from, from_offset, to, to_offset, len, flags) as ssize_t }
}
