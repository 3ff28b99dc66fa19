//! The functions of libc that change files.
//!
//! Each does its system call itself. On the way a change of a watched file is written down, and may be made to fail.

use std::ffi::CStr;

use libc::{c_char, c_int, c_uint, c_void, iovec, mode_t, off64_t, size_t, ssize_t};

use crate::{
    control::is_due,
    disk::{Disk, disk},
    journal::Record,
    sys::{self, Kind},
};

fn fail(error: c_int) -> c_int {
    sys::set_errno(error);
    -1
}

fn unsigned(number: off64_t) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// # Safety
/// As libc's.
unsafe fn path<'a>(path: *const c_char) -> &'a CStr {
    // SAFETY: callers of libc's functions give strings that end with zero.
    unsafe { CStr::from_ptr(path) }
}

// ---- opening

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

// ---- writing

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

// ---- sizes

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

// ---- syncs

fn sync_watched(fd: c_int, call: libc::c_long) -> c_int {
    let sync = || {
        // SAFETY: no pointers.
        sys::result(unsafe { libc::syscall(call, fd) })
    };
    let Some(mut held) = disk() else { return sync() };
    let Some((about, name)) = held.watched(fd) else {
        drop(held);
        return sync();
    };
    held.step();
    if is_due(&mut held.control.fail_sync) {
        return fail(libc::EIO);
    }
    // What is written while the sync runs may not be covered by it.
    let (upto, no_sync, delay) = (held.sequence(), held.no_sync, held.control.sync_delay_us);
    drop(held);
    if delay > 0 {
        std::thread::sleep(std::time::Duration::from_micros(delay));
    }
    let done = if no_sync { 0 } else { sync() };
    if done == 0
        && let Some(mut disk) = disk()
    {
        disk.record(&match about.kind {
            Kind::Folder => Record::FolderSynced { path: name, upto },
            Kind::File | Kind::Other => Record::Synced { file: about.file, upto },
        });
    }
    done
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    sync_watched(fd, libc::SYS_fsync)
}

/// In place of libc's.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync_watched(fd, libc::SYS_fdatasync)
}

// ---- names

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
