//! The node's configuration file: sizes, logs, web origins, module servers, mail. Nothing in it weakens security; an unknown key is an error.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use holdfast_sys_core::{
    config::ConfigError,
    remote::ModuleServerSpec,
    session::{WebOrigin, WebOriginError},
    telemetry::LogFormat,
};
use serde::Deserialize;

use crate::{mail::MailConfig, transfer::Pace};

/// Logs of the program itself; other crates only when something is wrong.
const DEFAULT_FILTER: &str = "warn,audit=info,tss_esapi=off,openraft=error,\
    holdfast_shard_node=info,holdfast_sys_core=info,holdfast_consensus=info,holdfast_enrol=info";

/// Smallest cache that is worth having.
const MIN_CACHE_MIB: u32 = 8;

/// Origins of one node: those of its applications, which people list by hand.
const MAX_WEB_ORIGINS: usize = 64;

/// Tablespaces below belong to built-in modules.
const MIN_TABLESPACE: u32 = 1000;

/// The file's shape.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    log: Log,
    store: Store,
    web_origins: Vec<String>,
    module_server: Vec<ModuleServer>,
    mail: Option<MailConfig>,
}

/// `[[module_server]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleServer {
    name: String,
    descriptors: PathBuf,
    policies: PathBuf,
    tablespace: u32,
    uid: u32,
    gid: u32,
    socket: PathBuf,
    data_socket: PathBuf,
    /// It is to run where keys are in a chip only.
    #[serde(default)]
    hardware_tpm: bool,
}

/// `[log]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Log {
    format: LogFormat,
    filter: String,
}

/// `[store]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Store {
    cache_mib: u32,
    /// Rows of slots that were handed over are dropped after this long.
    drop_moved_after_s: u32,
    /// Rows of slots that come from another group, a second.
    move_mib_s: u32,
    /// Between two comparisons of the digests of all replicas.
    compare_every_s: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: DEFAULT_FILTER.to_owned() }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { cache_mib: 32, drop_moved_after_s: 600, move_mib_s: 64, compare_every_s: 3600 }
    }
}

/// A configuration that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log_filter: String,
    /// Cache of the record store, bytes.
    pub cache_bytes: u64,
    /// How slots move.
    pub moves: Pace,
    /// Between two comparisons of the digests of all replicas.
    pub compare_every: Duration,
    /// Whose pages may hold sessions here.
    pub web_origins: BTreeSet<WebOrigin>,
    /// Modules that are servers of their own, with the numbers of their tablespaces.
    pub module_servers: Vec<(u32, ModuleServerSpec)>,
    /// A module server of this node demands that replicas are on machines with a hardware TPM.
    pub demands_hardware_tpm: bool,
    /// Through what mail goes, if any does.
    pub mail: Option<MailConfig>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeConfigError {
    /// The file.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// Too small.
    #[error("store.cache_mib is {0}: give the store at least {MIN_CACHE_MIB} MiB")]
    Cache(u32),
    /// Moves would never end.
    #[error("store.move_mib_s is 0: slots would never arrive")]
    Moves,
    /// Nothing else would be done.
    #[error(
        "store.compare_every_s is 0: leave it out, or say how many seconds there are between two comparisons"
    )]
    Comparisons,
    /// Text that is no origin.
    #[error("web_origins: {text:?} is none, such as https://app.example.com")]
    Origin {
        /// The text.
        text: String,
        /// Why.
        #[source]
        source: WebOriginError,
    },
    /// Too many origins.
    #[error("web_origins: at most {MAX_WEB_ORIGINS}")]
    Origins,
    /// The number of a tablespace that a built-in module may have one day, or that another has.
    #[error(
        "module_server {name}: tablespace {number} is taken or below {MIN_TABLESPACE}; give each a number of its own, once and for ever"
    )]
    Tablespace {
        /// Which.
        name: String,
        /// The number.
        number: u32,
    },
    /// The node would have its own rights at both ends of the socket.
    #[error("module_server {0}: uid is that of the node or of root; run the module as a user of its own")]
    Uid(String),
    /// A name or a socket that two module servers share.
    #[error("module_server {0}: its name, uid or socket is another's too")]
    Shared(String),
}

impl Config {
    /// Loads a file, or takes the defaults where there is none.
    ///
    /// # Errors
    /// See [`NodeConfigError`].
    pub fn load(path: Option<&Path>) -> Result<Self, NodeConfigError> {
        let Raw { log, store, web_origins, module_server, mail } =
            path.map(holdfast_sys_core::config::load).transpose()?.unwrap_or_default();
        if store.cache_mib < MIN_CACHE_MIB {
            return Err(NodeConfigError::Cache(store.cache_mib));
        }
        if store.move_mib_s == 0 {
            return Err(NodeConfigError::Moves);
        }
        if store.compare_every_s == 0 {
            return Err(NodeConfigError::Comparisons);
        }
        let demands_hardware_tpm = module_server.iter().any(|module| module.hardware_tpm);
        Ok(Self {
            log_format: log.format,
            log_filter: log.filter,
            cache_bytes: u64::from(store.cache_mib) << 20,
            moves: Pace {
                drop_after: Duration::from_secs(store.drop_moved_after_s.into()),
                bytes_a_second: u64::from(store.move_mib_s) << 20,
            },
            compare_every: Duration::from_secs(store.compare_every_s.into()),
            web_origins: origins(web_origins)?,
            module_servers: module_servers(module_server)?,
            demands_hardware_tpm,
            mail,
        })
    }
}

fn origins(raw: Vec<String>) -> Result<BTreeSet<WebOrigin>, NodeConfigError> {
    if raw.len() > MAX_WEB_ORIGINS {
        return Err(NodeConfigError::Origins);
    }
    let parse =
        |text: String| text.parse().map_err(|source| NodeConfigError::Origin { text: text.clone(), source });
    raw.into_iter().map(parse).collect()
}

/// Keeps module servers apart from the node and from each other.
fn module_servers(raw: Vec<ModuleServer>) -> Result<Vec<(u32, ModuleServerSpec)>, NodeConfigError> {
    let (mut numbers, mut uids, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut sockets = BTreeSet::new();
    let own = rustix::process::geteuid().as_raw();
    let mut checked = Vec::new();
    for module in raw {
        let ModuleServer {
            name,
            descriptors,
            policies,
            tablespace,
            uid,
            gid,
            socket,
            data_socket,
            hardware_tpm: _,
        } = module;
        if tablespace < MIN_TABLESPACE || !numbers.insert(tablespace) {
            return Err(NodeConfigError::Tablespace { name, number: tablespace });
        }
        if uid == own || uid == 0 {
            return Err(NodeConfigError::Uid(name));
        }
        let apart = uids.insert(uid)
            && names.insert(name.clone())
            && sockets.insert(socket.clone())
            && sockets.insert(data_socket.clone());
        if !apart {
            return Err(NodeConfigError::Shared(name));
        }
        let spec = ModuleServerSpec { name, descriptors, policies, uid, gid, socket, data: data_socket };
        checked.push((tablespace, spec));
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, NodeConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path))
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(load("").unwrap(), Config::load(None).unwrap());
        assert_eq!(load("[store]\ncache_mib = 64\n").unwrap().cache_bytes, 64 << 20);
    }

    #[test]
    fn unknown_keys_and_useless_values_are_refused_by_name() {
        let error = load("[store]\ncache_mb = 64\n").unwrap_err();
        assert!(error.to_string().contains("cache_mb"), "{error}");
        let error = load("[store]\ncache_mib = 1\n").unwrap_err();
        assert!(error.to_string().contains("cache_mib"), "{error}");
        let error = load("[store]\ncompare_every_s = 0\n").unwrap_err();
        assert!(error.to_string().contains("compare_every_s"), "{error}");
    }

    #[test]
    fn origins_of_pages_have_one_spelling_and_there_are_none_by_default() {
        assert!(load("").unwrap().web_origins.is_empty());
        let one = load("web_origins = [\"https://app.example.com\"]\n").unwrap().web_origins;
        assert_eq!(one.first().unwrap().as_str(), "https://app.example.com");
        for bad in ["*", "https://app.example.com/", "http://app.example.com"] {
            let error = load(&format!("web_origins = [\"{bad}\"]\n")).unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
        let many: Vec<_> = (0..65).map(|number| format!("\"https://{number}.example.com\"")).collect();
        assert!(matches!(
            load(&format!("web_origins = [{}]", many.join(","))),
            Err(NodeConfigError::Origins)
        ));
    }

    #[test]
    fn the_example_for_module_servers_is_one() {
        let text = include_str!("../../docs/modules/server/README.md");
        let example = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let [(1000, spec)] = &load(example).unwrap().module_servers[..] else { panic!("{example}") };
        assert_eq!((spec.name.as_str(), spec.uid), ("notes", 990));
        assert!(!load(example).unwrap().demands_hardware_tpm);
        assert!(load(&format!("{example}hardware_tpm = true\n")).unwrap().demands_hardware_tpm);
    }

    fn server(name: &str, tablespace: u32, uid: u32) -> String {
        format!(
            "[[module_server]]\nname = \"{name}\"\ndescriptors = \"d\"\npolicies = \"p\"\ntablespace = {tablespace}\n\
             uid = {uid}\ngid = {uid}\nsocket = \"/run/{name}.sock\"\ndata_socket = \"/run/{name}.data\"\n"
        )
    }

    #[test]
    fn module_servers_are_kept_apart_from_the_node_and_from_each_other() {
        let both = load(&(server("one", 1000, 70_001) + &server("two", 1001, 70_002))).unwrap();
        assert_eq!(both.module_servers.len(), 2);
        for (other, named) in [
            (server("two", 1000, 70_002), "tablespace 1000"),
            (server("two", 3, 70_002), "tablespace 3"),
            (server("two", 1001, 70_001), "another's"),
            (server("one", 1001, 70_002), "another's"),
            (server("two", 1001, 0), "of root"),
        ] {
            let error = load(&(server("one", 1000, 70_001) + &other)).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
