//! The whole job: the cluster, the accounts with their files, and the steps one after the other.

use std::{path::Path, time::Duration};

use crate::{
    cluster::{Account, Cluster},
    input::{Input, Share, write_small},
    recorder::{Recorder, Recording},
    report::{Progress, Report},
};

/// How large and how long things are: a demonstration takes its time, tests do not.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long all voters are away.
    pub registry_away: Duration,
    /// Length of the generated file, in bytes.
    pub large_file: u64,
    /// Fewest accounts.
    pub accounts: usize,
    /// Groups.
    pub groups: u32,
}

impl Pace {
    /// For people.
    pub const DEMO: Self =
        Self { registry_away: Duration::from_secs(120), large_file: 160 << 20, accounts: 16, groups: 8 };
    /// For people in a hurry.
    pub const QUICK: Self =
        Self { registry_away: Duration::from_secs(10), large_file: 80 << 20, accounts: 16, groups: 8 };
    /// For tests.
    pub const TEST: Self =
        Self { registry_away: Duration::from_secs(10), large_file: 24 << 20, accounts: 3, groups: 3 };
}

/// An account and what it stores.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The client.
    pub account: Account,
    /// Its files.
    pub share: Share,
}

/// Everything that steps need.
#[derive(Debug)]
pub struct Job {
    /// The cluster.
    pub cluster: Cluster,
    /// The files.
    pub input: Input,
    /// The accounts.
    pub stored: Vec<Stored>,
    /// Sizes and times.
    pub pace: Pace,
    /// The running recording.
    pub recorder: Option<Recorder>,
    /// The finished one.
    pub recording: Option<Recording>,
    /// Figures for the table.
    pub figures: Vec<(String, String)>,
}

/// A step: does its part and says in a few words what it did.
pub type Step = fn(&mut Job, &Progress) -> anyhow::Result<String>;

impl Job {
    /// A job in a folder that is empty or not there.
    ///
    /// # Errors
    /// The folder or the programs cannot be used.
    pub fn new(folder: &Path, input: Input, pace: Pace) -> anyhow::Result<Self> {
        Ok(Self {
            cluster: Cluster::new(folder)?,
            input,
            stored: Vec::new(),
            pace,
            recorder: None,
            recording: None,
            figures: Vec::new(),
        })
    }

    /// A job for tests: a small input with difficult names, beside a cluster in `folder`.
    ///
    /// # Errors
    /// See [`Job::new`].
    pub fn small(folder: &Path, pace: Pace) -> anyhow::Result<Self> {
        let input = folder.join("input");
        write_small(&input, pace.accounts)?;
        Self::new(&folder.join("cluster"), Input::walk(&input)?, pace)
    }

    /// Runs steps in order.
    ///
    /// # Errors
    /// The first that fails.
    pub fn run(&mut self, report: &mut Report, steps: &[(&str, Step)]) -> anyhow::Result<()> {
        for (name, step) in steps {
            report.step(name, |progress| Ok(((), step(self, progress)?)))?;
            for (figure, value) in self.figures.drain(..) {
                report.figure(figure, value);
            }
        }
        Ok(())
    }

    /// Keeps a figure for the table.
    pub fn figure(&mut self, name: &str, value: impl Into<String>) {
        self.figures.push((name.to_owned(), value.into()));
    }
}
