//! The parts of a run, in order: first those that need no processes.

mod join_cost;
mod request_layer;
mod sealing;

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::figure::Figure;

/// Some figures that are measured together.
#[derive(Debug)]
pub(crate) struct Part {
    /// For `--only`.
    pub(crate) name: &'static str,
    /// For `--list`.
    pub(crate) about: &'static str,
    /// Measures.
    pub(crate) run: fn(&mut Setting) -> anyhow::Result<Vec<Figure>>,
}

/// All of them.
pub(crate) const PARTS: &[Part] = &[
    Part { name: "join-cost", about: "CPU of a voter for one attested join", run: join_cost::run },
    Part { name: "sealing", about: "sealed against plain records on one engine", run: sealing::run },
    Part {
        name: "request-layer",
        about: "a call through the request layer against a bare one",
        run: request_layer::run,
    },
];

/// What all parts share.
pub(crate) struct Setting {
    /// How long one measurement goes on.
    pub(crate) span: Duration,
    /// For files; removed at the end.
    folder: TempDir,
}

impl Setting {
    /// Makes a folder below `parent`.
    pub(crate) fn new(span: Duration, parent: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        let folder = TempDir::with_prefix_in("bench-", parent)
            .with_context(|| format!("making a folder in {}", parent.display()))?;
        Ok(Self { span, folder })
    }

    /// Where files go.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}
