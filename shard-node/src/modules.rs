//! The modules that this node serves: the only place that lists them.

use std::sync::Arc;

use holdfast_accounts::{GlobalRoles, login::LoginsService};
use holdfast_accounts_api::v1::logins_server::LoginsServer;
use holdfast_store::records::TablespaceSpec;
use holdfast_sys_core::{
    gate::{Gated, StandingSource},
    module::PartitionHost,
    remote::ModuleServer,
    server::Builder,
};

use crate::partition::{NodeHost, tablespace};

/// Tablespace of the files module. Numbers are given once and for ever.
const FILES: TablespaceSpec = tablespace(1, "files", "files");
/// Tablespace of the accounts module, which says for all modules who stands how to an organisation's home.
const ACCOUNTS: TablespaceSpec = tablespace(2, "accounts", "accounts");
// Further tablespaces go above this line; `holdfast module new` adds them there.

/// Mounts every module behind the server's guard and gates, each bound to its own tablespace; those that are servers of their own by the
/// numbers that the configuration gives them.
#[must_use]
pub fn mount(
    server: Builder,
    host: &Arc<NodeHost>,
    roles: GlobalRoles,
    servers: &[(u32, ModuleServer)],
    logins: LoginsServer<LoginsService>,
) -> Builder {
    let standings: Arc<dyn StandingSource> =
        Arc::new(holdfast_accounts::Memberships::new(host.bind(ACCOUNTS)).with_global_roles(roles));
    let server = servers.iter().fold(server, |server, (number, module)| {
        let spec = tablespace(*number, module.name(), module.tablespace());
        server.module_server(module, host.bind(spec), Arc::clone(&standings))
    });
    server
        .descriptors(holdfast_files_api::DESCRIPTORS)
        .service(holdfast_files::server())
        .module(gated("files", holdfast_files::POLICIES, host.bind(FILES), &standings))
        .descriptors(holdfast_accounts_api::DESCRIPTORS)
        .service(holdfast_accounts::server())
        .service(logins)
        .module(gated(
            holdfast_accounts::MODULE,
            holdfast_accounts::POLICIES,
            host.bind(ACCOUNTS),
            &standings,
        ))
    // Further modules go above this line; `holdfast module new` adds them there.
}

fn gated(
    module: &'static str,
    policies: &'static str,
    host: Arc<dyn PartitionHost>,
    standings: &Arc<dyn StandingSource>,
) -> Gated {
    Gated { module, policies, host, standings: Arc::clone(standings) }
}
