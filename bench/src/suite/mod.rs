//! The parts of a run, in order: first those that need no processes.

mod decisions;
mod etcd;
mod footprint;
mod join_cost;
mod joins;
mod listing;
mod replication;
mod request_layer;
mod resolves;
mod sealing;
mod transfers;
mod writes;

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::{cluster::Running, figure::Figure};

/// Some figures that are measured together.
#[derive(Debug)]
pub(crate) struct Part {
    /// For `--only`.
    pub(crate) name: &'static str,
    /// For `--list`.
    pub(crate) about: &'static str,
    /// Whether it runs when no part is named.
    pub(crate) by_default: bool,
    /// Measures.
    pub(crate) run: fn(&mut Setting) -> anyhow::Result<Vec<Figure>>,
}

/// All of them.
pub(crate) const PARTS: &[Part] = &[
    Part {
        name: "join-cost",
        about: "CPU of a voter for one attested join",
        run: join_cost::run,
        by_default: true,
    },
    Part {
        name: "sealing",
        about: "sealed against plain records on one engine",
        run: sealing::run,
        by_default: true,
    },
    Part {
        name: "request-layer",
        about: "a call through the request layer against a bare one",
        run: request_layer::run,
        by_default: true,
    },
    Part {
        name: "decisions",
        about: "policies beside rules written by hand",
        run: decisions::run,
        by_default: true,
    },
    Part {
        name: "footprint",
        about: "memory of idle processes, and a node's start",
        run: footprint::run,
        by_default: true,
    },
    Part {
        name: "joins",
        about: "attested joins of software TPMs at a real registry",
        run: joins::run,
        by_default: true,
    },
    Part {
        name: "resolves",
        about: "clients that ask the registry for their shard",
        run: resolves::run,
        by_default: true,
    },
    Part {
        name: "writes",
        about: "durable small writes of 1, 16 and 64 clients",
        run: writes::run,
        by_default: true,
    },
    Part {
        name: "listing",
        about: "a list through a row filter beside one without",
        run: listing::run,
        by_default: true,
    },
    Part { name: "transfers", about: "large files there and back", run: transfers::run, by_default: true },
    Part {
        name: "replication",
        about: "dead leaders, moves of replicas and slots, more nodes",
        run: replication::run,
        by_default: false,
    },
    Part {
        name: "etcd",
        about: "three nodes beside three members of etcd",
        run: etcd::run,
        by_default: false,
    },
];

/// What all parts share.
pub(crate) struct Setting {
    /// How long one measurement goes on.
    pub(crate) span: Duration,
    /// Clients at once, if the caller says how many.
    clients: Vec<usize>,
    /// Started for the first part that needs it. Before the folder, which is removed at the end.
    cluster: Option<Running>,
    /// For files.
    folder: TempDir,
}

impl Setting {
    /// Makes a folder below `parent`.
    pub(crate) fn new(span: Duration, clients: Vec<usize>, parent: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        let folder = TempDir::with_prefix_in("bench-", parent)
            .with_context(|| format!("making a folder in {}", parent.display()))?;
        Ok(Self { span, clients, cluster: None, folder })
    }

    /// How many clients load the cluster, one number after the other.
    pub(crate) fn clients(&self, usual: &[usize]) -> Vec<usize> {
        if self.clients.is_empty() { usual.to_vec() } else { self.clients.clone() }
    }

    /// One voter and one node with one group, as processes.
    pub(crate) fn cluster(&mut self) -> anyhow::Result<&mut Running> {
        if self.cluster.is_none() {
            self.cluster = Some(Running::start(&self.folder.path().join("cluster"))?);
        }
        self.cluster.as_mut().context("the cluster was started just now")
    }

    /// Where files go.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}
