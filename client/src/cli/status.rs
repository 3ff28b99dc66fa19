//! `holdfast status`.

use serde_json::json;

use super::{
    app::App,
    failure::Failure,
    table::{Table, facts},
};
use crate::operator::{ClusterStatus, MemberStatus};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  holdfast status -o json | jq .groups_ready")]
pub(super) struct Args {}

pub(super) async fn run(app: &App, _args: &Args) -> Result<(), Failure> {
    let status = app.operator().await?.status().await?;
    app.output.print(|| human(&status), || json(&status))
}

fn human(status: &ClusterStatus) -> String {
    let leader =
        status.leader.map_or_else(|| "none: no quorum or an election".to_owned(), |id| id.to_string());
    let mut text = facts(&[
        ("cluster", status.cluster.to_string()),
        ("trust domain", status.trust_domain.to_string()),
        ("root hash", status.root_hash.to_string()),
        ("leader", leader),
        ("applied", format!("index {} of term {}", status.applied_index, status.term)),
        ("shard nodes", status.nodes.to_string()),
        ("shard groups", format!("{} of {} ready", status.groups_ready, status.groups)),
        ("map epoch", status.map_epoch.to_string()),
        ("clients", status.clients.to_string()),
        ("bans", status.bans.to_string()),
        ("waiting joins", status.pending.to_string()),
        ("policy epoch", status.policy_epoch.to_string()),
    ]);
    let mut table = Table::new(&["REGISTRY", "ADDRESS", "ROLE", "REPLICA>", "MATCHED>"]);
    for member in &status.members {
        let role = match (member.is_leader, member.is_voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        let matched =
            if member.matched_index == 0 { "-".to_owned() } else { member.matched_index.to_string() };
        table.row([
            member.node.to_string(),
            member.address.clone(),
            role.to_owned(),
            member.replica.to_string(),
            matched,
        ]);
    }
    text.push('\n');
    text + &table.render()
}

fn json(status: &ClusterStatus) -> serde_json::Value {
    let ClusterStatus {
        cluster,
        trust_domain,
        root_hash,
        leader,
        term,
        applied_index,
        members,
        map_epoch,
        nodes,
        groups,
        groups_ready,
        clients,
        bans,
        pending,
        policy_epoch,
        operator_set,
    } = status;
    let member = |member: &MemberStatus| {
        let MemberStatus { node, replica, address, is_voter, is_leader, matched_index } = member;
        json!({
            "node": node.to_string(), "replica": replica.0, "address": address,
            "is_voter": is_voter, "is_leader": is_leader, "matched_index": matched_index,
        })
    };
    json!({
        "cluster": cluster.to_string(),
        "trust_domain": trust_domain.as_str(),
        "root_hash": root_hash.to_string(),
        "leader": leader.map(|id| id.to_string()),
        "term": term,
        "applied_index": applied_index,
        "members": members.iter().map(member).collect::<Vec<_>>(),
        "map_epoch": map_epoch.0,
        "nodes": nodes,
        "groups": groups,
        "groups_ready": groups_ready,
        "clients": clients,
        "bans": bans,
        "pending": pending,
        "policy_epoch": policy_epoch.0,
        "operator_set": operator_set,
    })
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{ClusterId, MapEpoch, NodeId, PolicyEpoch, ReplicaId, RootHash};

    use super::*;

    fn status() -> ClusterStatus {
        ClusterStatus {
            cluster: ClusterId::new([1; 16]),
            trust_domain: "test".parse().unwrap(),
            root_hash: RootHash::new([2; 32]),
            leader: None,
            term: 3,
            applied_index: 4,
            members: vec![MemberStatus {
                node: NodeId::new([5; 16]),
                replica: ReplicaId(6),
                address: "a:1".into(),
                is_voter: true,
                is_leader: false,
                matched_index: 0,
            }],
            map_epoch: MapEpoch(7),
            nodes: 1,
            groups: 2,
            groups_ready: 1,
            clients: 9,
            bans: 0,
            pending: 0,
            policy_epoch: PolicyEpoch(0),
            operator_set: 0,
        }
    }

    #[test]
    fn the_json_keeps_its_keys() {
        let value = json(&status());
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = [
            "cluster",
            "trust_domain",
            "root_hash",
            "leader",
            "term",
            "applied_index",
            "members",
            "map_epoch",
            "nodes",
            "groups",
            "groups_ready",
            "clients",
            "bans",
            "pending",
            "policy_epoch",
            "operator_set",
        ];
        let mut keys = keys;
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert!(value["leader"].is_null());
    }

    #[test]
    fn a_cluster_without_a_leader_says_so() {
        let text = human(&status());
        assert!(
            text.contains("no quorum") && text.contains("1 of 2 ready") && text.contains("voter"),
            "{text}"
        );
    }
}
