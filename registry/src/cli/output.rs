//! Results, for people or for programs. Results go to standard output, everything else to standard error.

use std::{io::Write as _, path::Path, process::ExitCode};

use clap::ValueEnum;
use holdfast_domain::{EkHash, PendingId};
use serde_json::{Value, json};

use crate::{
    init::{InitOptions, NewCluster},
    join::JoinedRegistry,
};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Human,
    /// One JSON object.
    Json,
}

impl Output {
    pub(super) fn init(self, options: &InitOptions<'_>, made: &NewCluster) -> anyhow::Result<()> {
        let (data, credential) = (options.data.display(), options.credential.display());
        let shares: Vec<_> = made.shares.iter().map(|path| path.display().to_string()).collect();
        let text = format!(
            "Cluster {cluster} is founded; this machine is its first voter, {node}.\n\
             \n\
             Root hash, which every machine and client pins:\n  {root}\n\
             Operator credential (keep it safe):\n  {credential}\n\
             Recovery shares ({threshold} of {count} open every key; give each to another officer and delete it here):\n  {files}\n\
             \n\
             Next:\n  holdfast-registry run --data {data}\n  holdfast operator use {credential}\n",
            cluster = made.cluster,
            node = made.node,
            root = made.root,
            threshold = options.share_threshold,
            count = options.share_count,
            files = shares.join("\n  "),
        );
        self.print(
            &text,
            &json!({
                "cluster": made.cluster.to_string(),
                "node": made.node.to_string(),
                "root_hash": made.root.to_string(),
                "trust_domain": options.trust_domain.as_str(),
                "credential": credential.to_string(),
                "shares": shares,
            }),
        )
    }

    pub(super) fn join(self, data: &Path, joined: &JoinedRegistry) -> anyhow::Result<()> {
        let JoinedRegistry { node, replica } = joined;
        let text = format!(
            "This machine is registry member {node}, replica {replica}.\n\
             \n\
             Next:\n  holdfast-registry run --data {}\n  holdfast registry promote {node}   (by an operator, once it has caught up)\n",
            data.display()
        );
        self.print(&text, &json!({ "node": node.to_string(), "replica": replica.0 }))
    }

    pub(super) fn ek(self, ek: EkHash) -> anyhow::Result<()> {
        self.print(&format!("{ek}\n"), &json!({ "ek": ek.to_string() }))
    }

    /// Said while waiting, so never on standard output.
    #[expect(clippy::print_stderr, reason = "a person waits for this line")]
    pub(super) fn pending(self, id: PendingId) {
        match self {
            Self::Human => eprintln!("waiting for an operator: holdfast node approve {id}"),
            Self::Json => eprintln!("{}", json!({ "pending": id.to_string() })),
        }
    }

    fn print(self, text: &str, value: &Value) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match self {
            Self::Human => out.write_all(text.as_bytes())?,
            Self::Json => writeln!(out, "{value}")?,
        }
        Ok(out.flush()?)
    }
}

/// An error with its causes, in one line.
pub(super) fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[expect(clippy::print_stderr, reason = "the last words of the program")]
pub(super) fn fail(output: Output, text: &str) -> ExitCode {
    match output {
        Output::Human => eprintln!("error: {text}"),
        Output::Json => eprintln!("{}", json!({ "error": text })),
    }
    ExitCode::FAILURE
}
