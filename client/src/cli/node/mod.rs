//! `holdfast node`: who may be part of the cluster, and what each machine is used for.

mod standing;

use clap::Subcommand;
use holdfast_domain::{BanSubject, EkHash, NodeId, NodeRole, OperatorRequest};
use serde_json::json;

use super::{
    app::{App, SignArgs},
    failure::Failure,
    output::remark,
    table::Table,
    units::{show_ago, show_size},
    wait::Wait,
};
use crate::{
    Operator,
    operator::{NodeRow, PendingRow, Standing},
    time::rfc3339,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the machines of the cluster
    List,
    /// Put nothing new on a node; what it has stays and serves
    #[command(after_help = "Example:\n  holdfast node cordon 4f1e")]
    Cordon {
        /// The node, by its id or the beginning of it
        node: String,
    },
    /// Use a node again that was cordoned or drained
    #[command(after_help = "Example:\n  holdfast node uncordon 4f1e")]
    Uncordon {
        /// The node, by its id or the beginning of it
        node: String,
    },
    /// Move everything off a node, while it serves
    #[command(after_help = DRAIN)]
    Drain {
        /// The node, by its id or the beginning of it
        node: String,
        /// Its machine is gone for good: do not wait for it to come back
        #[arg(long)]
        lost: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Take a node out of use for ever, once nothing is left on it
    #[command(after_help = REMOVE)]
    Remove {
        /// The node, by its id or the beginning of it
        node: String,
        /// Its machine is gone for good: do not wait for it to come back
        #[arg(long)]
        lost: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// List joins that wait for an approval
    Pending,
    /// Admit the machine with this TPM, before it joins
    ///
    /// The machine prints its hash: `holdfast-node ek --tpm TCTI`.
    #[command(after_help = "Example:\n  holdfast node allow 9a41.. --role node")]
    Allow {
        /// SHA-256 of the TPM's endorsement key, 64 hex digits
        #[arg(value_name = "EK")]
        ek: EkHash,
        /// `node` or `registry`
        #[arg(long)]
        role: NodeRole,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Admit the machine of a waiting join
    ///
    /// What is signed names the machine's TPM. Compare its hash with what the machine itself prints, or give it with --ek.
    #[command(after_help = "Example:\n  holdfast node approve 1c2d --ek 9a41..")]
    Approve {
        /// The waiting join, or the beginning of its id
        #[arg(value_name = "PENDING")]
        pending: String,
        /// Refuse unless the join is of this TPM
        #[arg(long, value_name = "EK")]
        ek: Option<EkHash>,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Take all rights from a machine, a client, an account or an operator
    #[command(after_help = BAN)]
    Ban {
        /// Whom
        #[arg(value_name = "SUBJECT")]
        subject: String,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Give rights back
    #[command(after_help = BAN)]
    Unban {
        /// Whom
        #[arg(value_name = "SUBJECT")]
        subject: String,
        #[command(flatten)]
        sign: SignArgs,
    },
}

const DRAIN: &str = "\
Each replica gets its successor on another node first, then it leaves; clients notice nothing. `holdfast node uncordon` stops it and
uses the node again.

Examples:
  holdfast node drain 4f1e --wait
  holdfast node drain 4f1e --lost       its disk is gone: replace its replicas at once";

const REMOVE: &str = "\
Drains the node first. Without --wait it says how much is left; ask again later. To keep the machine out as well, ban it.

Examples:
  holdfast node remove 4f1e --wait
  holdfast node remove 4f1e --lost --wait && holdfast node ban 4f1e";

const BAN: &str = "\
SUBJECT is a node's id or its beginning, or client:ID, account:ID, operator:NAME. A ban works within two seconds everywhere.

Examples:
  holdfast node ban 4f1e
  holdfast node ban account:00112233445566778899aabbccddeeff";

pub(super) async fn run(app: &App, command: Command) -> Result<(), Failure> {
    let operator = app.operator().await?;
    let (request, sign) = match command {
        Command::List => return list(app, &operator.nodes().await?),
        Command::Cordon { node } => return standing::set(app, &operator, &node, Standing::Cordoned).await,
        Command::Uncordon { node } => return standing::set(app, &operator, &node, Standing::Serving).await,
        Command::Drain { node, lost, wait } => {
            return standing::drain(app, &operator, &node, lost, &wait).await;
        }
        Command::Remove { node, lost, wait } => {
            return standing::remove(app, &operator, &node, lost, &wait).await;
        }
        Command::Pending => return pending(app, &operator.pending().await?),
        Command::Allow { ek, role, sign } => (OperatorRequest::AllowEk { ek, role }, sign),
        Command::Approve { pending, ek, sign } => (approve(&operator, &pending, ek).await?, sign),
        Command::Ban { subject, sign } => {
            (OperatorRequest::Ban(subject_of(&operator, &subject).await?), sign)
        }
        Command::Unban { subject, sign } => {
            (OperatorRequest::Unban(subject_of(&operator, &subject).await?), sign)
        }
    };
    app.submit(&operator, operator.sign(request).await?, &sign).await
}

async fn approve(operator: &Operator, id: &str, ek: Option<EkHash>) -> Result<OperatorRequest, Failure> {
    let rows = operator.pending().await?;
    let row = only(&rows, id, "waiting join", |row| row.pending.to_string())?;
    let PendingRow { pending, ek: found, role, address, since: _ } = row.clone();
    if let Some(ek) = ek.filter(|ek| *ek != found) {
        return Err(Failure::Usage(format!(
            "join {pending} is of TPM {found}, not {ek}: nothing was signed"
        )));
    }
    if ek.is_none() {
        remark(&format!("Signing for TPM {found} at {address}: compare it with what the machine prints."));
    }
    Ok(OperatorRequest::Approve { pending, ek: found, role })
}

async fn subject_of(operator: &Operator, text: &str) -> Result<BanSubject, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(format!("{text}: {error}"));
    match text.split_once(':') {
        Some(("client", id)) => id.parse().map(BanSubject::Client).map_err(|error| usage(&error)),
        Some(("account", id)) => id.parse().map(BanSubject::Account).map_err(|error| usage(&error)),
        Some(("operator", name)) => name.parse().map(BanSubject::Operator).map_err(|error| usage(&error)),
        Some(("node", id)) => Ok(BanSubject::Node(node_of(operator, id).await?)),
        Some((kind, _)) => Err(usage(&format!("{kind} is none of node, client, account and operator"))),
        None => Ok(BanSubject::Node(node_of(operator, text).await?)),
    }
}

/// Whether new replicas may go there.
pub(super) fn takes_replicas(row: &NodeRow) -> bool {
    row.role == NodeRole::Node && row.standing == "serving" && !row.banned && !row.lost
}

/// A node by its id, or by the beginning of one that is unique.
pub(super) async fn node_of(operator: &Operator, text: &str) -> Result<NodeId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let rows = operator.nodes().await?;
    Ok(only(&rows, text, "node", |row| row.node.to_string())?.node)
}

/// The only row whose id begins so.
fn only<'a, T>(
    rows: &'a [T],
    beginning: &str,
    what: &str,
    id: impl Fn(&T) -> String,
) -> Result<&'a T, Failure> {
    if beginning.is_empty() {
        return Err(Failure::Usage(format!("name a {what} by its id, or by the beginning of it")));
    }
    let mut found = rows.iter().filter(|row| id(row).starts_with(beginning));
    match (found.next(), found.next()) {
        (Some(row), None) => Ok(row),
        (None, _) => Err(Failure::Usage(format!("no {what} has an id that begins with {beginning:?}"))),
        (Some(_), Some(_)) => {
            Err(Failure::Usage(format!("several {what}s have ids that begin with {beginning:?}")))
        }
    }
}

fn list(app: &App, rows: &[NodeRow]) -> Result<(), Failure> {
    let human = || {
        let mut table = Table::new(&[
            "NODE",
            "ROLE",
            "ADDRESS",
            "ZONE",
            "TPM",
            "ADMITTED BY",
            "REPLICAS>",
            "LEADS>",
            "SIZE>",
            "FREE>",
            "HEARD",
            "STATE",
        ]);
        for row in rows {
            table.row([
                row.node.to_string(),
                row.role.to_string(),
                row.address.clone(),
                row.zone.clone(),
                row.tpm_class.0.clone(),
                row.admitted_by.clone(),
                row.replicas.to_string(),
                row.leads.to_string(),
                row.heard.map_or_else(String::new, |_| show_size(row.stored_bytes)),
                row.heard.map_or_else(String::new, |_| show_size(row.free_bytes)),
                if row.role == NodeRole::Node { show_ago(row.heard) } else { String::new() },
                state_of(row),
            ]);
        }
        table.render()
    };
    let one = |row: &NodeRow| {
        let NodeRow {
            node,
            role,
            address,
            ek,
            tpm_class,
            admitted_by,
            joined,
            renewed,
            banned,
            replicas,
            zone,
            standing,
            lost,
            heard,
            free_bytes,
            stored_bytes,
            leads,
        } = row;
        json!({
            "node": node.to_string(), "role": role.as_str(), "address": address, "ek": ek.to_string(),
            "tpm_class": tpm_class.0, "admitted_by": admitted_by, "joined_ms": joined.0, "renewed_ms": renewed.0,
            "banned": banned, "replicas": replicas, "zone": zone, "standing": standing, "lost": lost,
            "heard_ms_ago": heard.map(|heard| heard.as_millis()), "free_bytes": free_bytes,
            "stored_bytes": stored_bytes, "leads": leads,
        })
    };
    app.output.print(human, || json!({ "nodes": rows.iter().map(one).collect::<Vec<_>>() }))
}

/// `serving`, or what is wrong with it. Only nodes are used for replicas.
fn state_of(row: &NodeRow) -> String {
    let marks = [(row.banned, "banned"), (row.lost, "lost")].into_iter().filter(|(is, _)| *is);
    let said = Some(row.standing.as_str()).filter(|_| row.role == NodeRole::Node);
    said.into_iter().chain(marks.map(|(_, mark)| mark)).collect::<Vec<_>>().join(", ")
}

fn pending(app: &App, rows: &[PendingRow]) -> Result<(), Failure> {
    let human = || {
        let mut table = Table::new(&["PENDING", "ROLE", "ADDRESS", "SINCE", "EK"]);
        for PendingRow { pending, ek, role, address, since } in rows {
            table.row([
                pending.to_string(),
                role.to_string(),
                address.clone(),
                rfc3339(*since),
                ek.to_string(),
            ]);
        }
        table.render()
    };
    let one = |row: &PendingRow| {
        let PendingRow { pending, ek, role, address, since } = row;
        json!({
            "pending": pending.to_string(), "ek": ek.to_string(), "role": role.as_str(), "address": address,
            "since_ms": since.0,
        })
    };
    app.output.print(human, || json!({ "pending": rows.iter().map(one).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_must_fit_one_id_only() {
        let rows = ["aa11", "aa22", "bb"];
        let find = |text: &str| only(&rows, text, "node", |row| (*row).to_owned());
        assert_eq!(find("b").unwrap(), &"bb");
        assert_eq!(find("aa1").unwrap(), &"aa11");
        for bad in ["", "aa", "c"] {
            assert!(matches!(find(bad), Err(Failure::Usage(_))), "{bad:?}");
        }
    }
}
