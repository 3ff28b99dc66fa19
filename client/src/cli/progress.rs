//! A progress bar for whoever waits: on a terminal only, and only after two seconds.

use std::{
    io::IsTerminal as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::files::Progress;

const QUIET: Duration = Duration::from_secs(2);
const TRANSFER: &str = "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
const COUNT: &str = "{spinner} {msg}";

/// Shown while something takes long; gone afterwards.
pub(super) struct Bar {
    began: Instant,
    on_terminal: bool,
    bar: Mutex<Option<ProgressBar>>,
    label: String,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Bar {
    pub(super) fn new(label: impl Into<String>) -> Self {
        Self {
            began: Instant::now(),
            on_terminal: std::io::stderr().is_terminal(),
            bar: Mutex::new(None),
            label: label.into(),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// One transfer of known size.
    pub(super) fn transfer(&self, Progress { done, total }: Progress) {
        self.with(TRANSFER, total, |bar| bar.set_position(done));
    }

    /// One more file of many.
    pub(super) fn file(&self, size: u64) {
        let files = self.files.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        let text = || format!("{}: {files} files, {}", self.label, super::units::show_size(bytes));
        self.with(COUNT, 0, |bar| bar.set_message(text()));
    }

    /// What goes on now.
    pub(super) fn status(&self, text: &str) {
        self.with(COUNT, 0, |bar| {
            bar.set_message(format!("{}: {text}", self.label));
            bar.tick();
        });
    }

    /// Prints a line above the bar.
    pub(super) fn say(&self, text: &str) {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match bar.as_ref() {
            Some(bar) => bar.suspend(|| super::output::remark(text)),
            None => super::output::remark(text),
        }
    }

    fn with(&self, template: &str, total: u64, update: impl FnOnce(&ProgressBar)) {
        if !self.on_terminal || self.began.elapsed() < QUIET {
            return;
        }
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            // A template that does not parse costs its looks only.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(self.label.clone());
            bar
        });
        update(bar);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}
