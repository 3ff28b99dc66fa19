//! What the person in front of the terminal sees: a line for each step with its time, a bar where it takes long, and a
//! table at the end.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Collects steps and figures, and prints them as they come.
#[derive(Debug)]
pub struct Report {
    started: Instant,
    quiet: bool,
    steps: usize,
    figures: Vec<(String, String)>,
}

impl Report {
    /// Prints to the terminal.
    pub fn new() -> Self {
        Self { started: Instant::now(), quiet: false, steps: 0, figures: Vec::new() }
    }

    /// Prints nothing: for tests.
    pub fn quiet() -> Self {
        Self { quiet: true, ..Self::new() }
    }

    /// Runs one step and prints its line.
    ///
    /// # Errors
    /// The step's.
    pub fn step<T>(
        &mut self,
        name: &str,
        step: impl FnOnce(&Progress) -> anyhow::Result<(T, String)>,
    ) -> anyhow::Result<T> {
        let progress = Progress::start(name, self.quiet);
        let started = Instant::now();
        let done = step(&progress);
        progress.bar.finish_and_clear();
        self.steps += 1;
        let (mark, summary) = match &done {
            Ok((_, summary)) => ("ok", summary.as_str()),
            Err(_) => ("FAILED", ""),
        };
        if !self.quiet {
            println!("{mark:<6} {:>8}  {name}: {summary}", seconds(started.elapsed()));
        }
        done.map(|(value, _)| value).map_err(|error| error.context(name.to_owned()))
    }

    /// Keeps a figure for the table.
    pub fn figure(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.figures.push((name.into(), value.into()));
    }

    /// Prints the table.
    pub fn table(&self) {
        if self.quiet {
            return;
        }
        let width = self.figures.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        println!();
        for (name, value) in &self.figures {
            println!("  {name:<width$}  {value}");
        }
        println!(
            "  {:<width$}  {} steps in {}",
            "the whole job",
            self.steps,
            seconds(self.started.elapsed())
        );
        println!();
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

/// The bar of one step, shown on terminals only.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn start(name: &str, quiet: bool) -> Self {
        let hidden = quiet || !std::io::stderr().is_terminal();
        let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        bar.set_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    /// A bar for nobody.
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// Says what is being done.
    pub fn say(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
    }

    /// Turns the spinner into a bar of this length.
    pub fn length(&self, length: u64) {
        let style = ProgressStyle::with_template("{elapsed:>8} {bar:30} {pos}/{len} {msg}");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_length(length);
        self.bar.set_position(0);
    }

    /// Moves the bar to a place.
    pub fn to(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Moves the bar.
    pub fn advance(&self, by: u64) {
        self.bar.inc(by);
    }
}

/// A time for people.
pub fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    const KIB: u64 = 1024;
    match count {
        0..KIB => format!("{count} B"),
        KIB..0x10_0000 => format!("{} KiB", count / KIB),
        _ => format!("{}.{} MiB", count >> 20, (count % (KIB * KIB)) * 10 / (KIB * KIB)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_says_which() {
        let failed = Report::quiet()
            .step("boil water", |_| -> anyhow::Result<((), String)> { Err(anyhow::anyhow!("no kettle")) });
        assert_eq!(format!("{:#}", failed.unwrap_err()), "boil water: no kettle");
    }

    #[test]
    fn bytes_are_readable() {
        assert_eq!(
            (bytes(12), bytes(2048), bytes(3 << 19)),
            ("12 B".into(), "2 KiB".into(), "1.5 MiB".into())
        );
    }
}
