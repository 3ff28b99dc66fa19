//! Syncs, which may fail, take long or be left out.

use libc::c_int;

use super::fail;
use crate::{
    control::is_due,
    disk::disk,
    journal::Record,
    sys::{self, Kind},
};

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
