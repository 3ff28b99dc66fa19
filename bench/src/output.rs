//! What the person in front of the terminal sees, and the results file.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;

use crate::figure::{Aim, Figure, Verdict};

/// A line on standard error: what goes on, and what went wrong.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The table's head.
pub(crate) fn heading() -> anyhow::Result<()> {
    let (name, ours, reference, ratio) = ("figure", "ours", "reference", "ratio");
    print(&format!("{name:<46} {ours:>12} {reference:>12}  {ratio:>7}  what it is compared with"))
}

/// One figure as a line of the table.
pub(crate) fn row(figure: &Figure) -> anyhow::Result<()> {
    let Figure { name, unit, ours, reference, reference_name, ratio, aim: _ } = figure;
    let name = format!("{name}, {unit}");
    let reference = reference.map(number).unwrap_or_default();
    let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    let compared = reference_name.as_deref().unwrap_or_default();
    let ours = number(*ours);
    print(&format!("{name:<46} {ours:>12} {reference:>12}  {ratio:>7}  {compared}{}", verdict(figure)))
}

/// All figures as JSON on standard output.
pub(crate) fn json(figures: &[Figure]) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(figures).context("encoding the figures")?)
}

/// Writes the results file.
pub(crate) fn write(path: &Path, figures: &[Figure]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let text = serde_json::to_string_pretty(figures).context("encoding the figures")?;
    fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}

/// A line on standard output.
pub(crate) fn print(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("writing to standard output")
}

fn verdict(figure: &Figure) -> String {
    let aim = match figure.aim {
        None => return String::new(),
        Some(Aim::RatioAtMost(most)) => format!("ratio at most {most:.2}"),
        Some(Aim::RatioAtLeast(least)) => format!("ratio at least {least:.2}"),
        Some(Aim::AtMost(most)) => format!("at most {}", number(most)),
    };
    match figure.verdict() {
        Some(Verdict::Kept) => format!(" [aim: {aim}: kept]"),
        Some(Verdict::Missed) => format!(" [aim: {aim}: MISSED]"),
        None => String::new(),
    }
}

/// Three significant digits or whole numbers.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
