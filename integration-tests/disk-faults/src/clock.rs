//! The clock of the world; the one that only counts is left alone.

use std::sync::{
    OnceLock,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use libc::{c_int, clockid_t, timespec};

use crate::{disk::disk, sys};

/// How long the offset is good for: programs ask for the time very often.
const LOOK_MS: u64 = 20;

static OFFSET_MS: AtomicI64 = AtomicI64::new(0);
static LOOKED: AtomicU64 = AtomicU64::new(0);

type Real = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;
static REAL: OnceLock<Option<Real>> = OnceLock::new();

fn real() -> Option<Real> {
    *REAL.get_or_init(|| {
        // SAFETY: the name ends with zero.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"clock_gettime".as_ptr()) };
        // SAFETY: the symbol, where there is one, is libc's function of this type.
        (!found.is_null()).then(|| unsafe { std::mem::transmute::<*mut libc::c_void, Real>(found) })
    })
}

fn offset_ms() -> i64 {
    let now = sys::monotonic_ms();
    if now.saturating_sub(LOOKED.load(Ordering::Relaxed)) >= LOOK_MS {
        LOOKED.store(now, Ordering::Relaxed);
        if let Some(mut disk) = disk() {
            disk.control.refresh();
            OFFSET_MS.store(disk.control.clock_ms, Ordering::Relaxed);
        }
    }
    OFFSET_MS.load(Ordering::Relaxed)
}

/// In place of libc's: the real-time clocks are off by what `control` says.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let done = match real() {
        // SAFETY: the caller's arguments, to the function that they were meant for.
        Some(real) => unsafe { real(clock, time) },
        // SAFETY: as above, to the kernel.
        None => sys::result(unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) }),
    };
    if done == 0 && matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE) {
        let offset = offset_ms();
        // SAFETY: libc or the kernel has just filled it.
        let time = unsafe { &mut *time };
        let nanoseconds = time.tv_nsec + (offset % 1000) * 1_000_000;
        time.tv_sec += offset / 1000 + nanoseconds.div_euclid(1_000_000_000);
        time.tv_nsec = nanoseconds.rem_euclid(1_000_000_000);
    }
    done
}
