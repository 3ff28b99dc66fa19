//! What goes wrong, as the file `control` says: lines of a word and a number, looked at every few milliseconds.
//!
//! - `room N`: files may grow by so many bytes, then the disk is full
//! - `fail-sync N`: the N-th sync from now fails
//! - `kill-at N`: the N-th change or sync from now never happens: the process is killed
//! - `sync-delay-us N`: each sync takes so much longer
//! - `clock-ms N`: the clock is ahead by so much; may be negative
//!
//! Counting begins anew whenever the file changes.

use std::ffi::CString;

use crate::sys;

/// How long a look at the file is good for.
const LOOK_MS: u64 = 10;

#[derive(Default)]
pub(crate) struct Control {
    file: CString,
    looked: u64,
    text: Vec<u8>,
    pub(crate) room: Option<u64>,
    pub(crate) fail_sync: Option<u64>,
    pub(crate) kill_at: Option<u64>,
    pub(crate) sync_delay_us: u64,
    pub(crate) clock_ms: i64,
}

impl Control {
    pub(crate) fn new(file: CString) -> Self {
        let mut control = Self { file, ..Self::default() };
        control.read();
        control
    }

    /// Takes over what changed.
    pub(crate) fn refresh(&mut self) {
        let now = sys::monotonic_ms();
        if now.saturating_sub(self.looked) >= LOOK_MS {
            self.looked = now;
            self.read();
        }
    }

    fn read(&mut self) {
        let fd = sys::open(libc::AT_FDCWD, &self.file, libc::O_RDONLY | libc::O_CLOEXEC, 0);
        if fd < 0 {
            return;
        }
        let text = sys::read_at(fd, 0, 1024);
        sys::close(fd);
        if text == self.text {
            return;
        }
        let (file, looked) = (std::mem::take(&mut self.file), self.looked);
        *self = Self { file, looked, ..Self::default() };
        for line in String::from_utf8_lossy(&text).lines() {
            let Some((word, number)) = line.split_once(' ') else { continue };
            let count = number.parse().ok();
            match word {
                "room" => self.room = count,
                "fail-sync" => self.fail_sync = count,
                "kill-at" => self.kill_at = count,
                "sync-delay-us" => self.sync_delay_us = count.unwrap_or(0),
                "clock-ms" => self.clock_ms = number.parse().unwrap_or(0),
                _ => {}
            }
        }
        self.text = text;
    }
}

/// Counts one down; true when it was the last.
pub(crate) fn is_due(counter: &mut Option<u64>) -> bool {
    let Some(left) = counter else { return false };
    *left = left.saturating_sub(1);
    let due = *left == 0;
    if due {
        *counter = None;
    }
    due
}
