//! The modules that this node serves: the only place that lists them.

use std::sync::Arc;

use holdfast_store::records::TablespaceSpec;
use holdfast_sys_core::{
    gate::{Gated, OwnHomes},
    server::Builder,
};

use crate::partition::{NodeHost, tablespace};

/// Tablespace of the files module. Numbers are given once and for ever.
const FILES: TablespaceSpec = tablespace(1, "files", "files");

/// Mounts every module behind the server's guard and gates, each bound to its own tablespace.
#[must_use]
pub fn mount(server: Builder, host: &Arc<NodeHost>) -> Builder {
    server.descriptors(holdfast_files_api::DESCRIPTORS).service(holdfast_files::server()).module(Gated {
        module: "files",
        policies: holdfast_files::POLICIES,
        host: host.bind(FILES),
        standings: Arc::new(OwnHomes),
    })
}
