//! A bad disk and a bad clock for a program under test, put between it and libc by `LD_PRELOAD`.
//!
//! Only files below one folder are concerned. Set by the environment of the process:
//! - `HOLDFAST_DISK_ROOT`: that folder
//! - `HOLDFAST_DISK_JOURNAL`: a folder on the same file system for the [`journal`], for files that were removed or replaced and
//!   could come back (`victims/`), and for the file `control`, which says what goes wrong; see [`control`]
//! - `HOLDFAST_DISK_NO_SYNC`: syncs are only written down; faster, and as good when the power loss is a made one
//!
//! Everything goes to the kernel by system calls of our own: nothing here may call what it stands in for.

#![allow(unsafe_code, reason = "it takes the place of C functions, and their arguments are raw pointers")]

mod calls;
mod clock;
mod control;
mod disk;
mod journal;
mod sys;
