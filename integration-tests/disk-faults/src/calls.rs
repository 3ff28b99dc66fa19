//! The functions of libc that change files.
//!
//! Each does its system call itself. On the way a change of a watched file is written down, and may be made to fail.

mod name;
mod open;
mod size;
mod sync;
mod write;

use std::ffi::CStr;

use libc::{c_char, c_int, off64_t};

use crate::sys;

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
