//! The steps of the job, each of which really happens: on processes, over TLS, on disk.

mod accounts;
pub mod canaries;
pub mod faults;
mod files;
mod genesis;
mod groups;
mod large;
mod nodes;
mod outages;
pub mod refusals;
mod voters;

pub use accounts::{accounts, stale_map};
pub use canaries::{canaries, record, record_if_root};
pub use faults::{kill_leader, kill_leader_again, kill_node_in_upload};
pub use files::{
    Tree, compare, get_everything, list_everything, put_everything, stat_and_remove, verify_everything,
};
pub use genesis::found;
pub use groups::{create_groups, move_empty_group, move_full_group};
pub use large::{generate, large_file, quota, resume};
pub use nodes::join_nodes;
pub use outages::{cold_start, registry_away};
pub use voters::join_voters;

use crate::job::Step;

/// The whole job.
pub const ALL: &[(&str, Step)] = &[
    ("record all traffic", record),
    ("found the cluster", found),
    ("two more voters join and are promoted", join_voters),
    ("five nodes join", join_nodes),
    ("create shard groups", create_groups),
    ("move an empty group", move_empty_group),
    ("accounts register", accounts),
    ("put all files", put_everything),
    ("list all files", list_everything),
    ("get all files and compare", get_everything),
    ("stat and remove", stat_and_remove),
    ("a large file in bounded memory", large_file),
    ("a killed upload resumes", resume),
    ("a quota holds", quota),
    ("move a group with data", move_full_group),
    ("a stale map is answered with the new one", stale_map),
    ("kill -9 the registry's leader", kill_leader),
    ("kill -9 a node during an upload", kill_node_in_upload),
    ("all voters away", registry_away),
    ("refusals", refusals::all),
    ("cold start of everything", cold_start),
    ("search for plaintext and keys", canaries),
];
