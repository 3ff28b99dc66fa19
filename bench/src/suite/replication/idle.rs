//! What groups cost that nobody uses: three processes with consensus alone, measured by a program of its own.

use std::process::Command;

use anyhow::Context as _;

use crate::{
    figure::{Aim, Figure},
    output,
};

const GROUPS: usize = 200;
const SECONDS: usize = 20;
/// Share of one core that we want all of them to take at most.
const AIM_PERCENT: f64 = 5.0;

pub(super) fn measure() -> anyhow::Result<Vec<Figure>> {
    let own = std::env::current_exe().context("where is this program?")?;
    let program = own.parent().context("where is this program?")?.join("examples/idle_groups");
    if !program.is_file() {
        output::complain("idle groups are left out: their program was not built (see bench/README.md)");
        return Ok(Vec::new());
    }
    output::complain("three processes with idle groups");
    let run = Command::new(&program).args([GROUPS.to_string(), SECONDS.to_string()]).output();
    let run = run.context("the program with idle groups")?;
    anyhow::ensure!(run.status.success(), "idle groups: {}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8_lossy(&run.stdout);
    let share = number_before(&text, " % of one core").context("what idle groups cost")?;
    let first = number_before(&text, " ms, p99").context("the first put of a sleeping group")?;
    Ok(vec![
        Figure::new(format!("{GROUPS} idle groups on 3 nodes, all nodes"), "% of one core", share)
            .aiming(Aim::AtMost(AIM_PERCENT)),
        Figure::new("an idle group's first write, p50, without TLS and disk state", "ms", first),
    ])
}

/// The last word before some others, as a number.
fn number_before(text: &str, words: &str) -> Option<f64> {
    text.split_once(words)?.0.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_words_are_understood() {
        let text = "every group sleeps: 5.0 s\n200 idle groups, 3 processes: 1.4 % of one core over 20 s\nfirst put: p50 3.2 ms, p99 9.1 ms\n";
        assert_eq!(number_before(text, " % of one core"), Some(1.4));
        assert_eq!(number_before(text, " ms, p99"), Some(3.2));
        assert_eq!(number_before(text, " ms, p98"), None);
    }
}
