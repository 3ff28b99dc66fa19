use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;

use super::*;

/// Every command, with the way to it.
fn all(command: &clap::Command, path: String, found: &mut Vec<(String, clap::Command)>) {
    for sub in command.get_subcommands() {
        let path = format!("{path} {}", sub.get_name());
        found.push((path.clone(), sub.clone()));
        all(sub, path, found);
    }
}

fn commands() -> Vec<(String, clap::Command)> {
    let mut root = Cli::command();
    root.build();
    let mut found = Vec::new();
    all(&root, "holdfast".to_owned(), &mut found);
    found.retain(|(path, _)| !path.contains(" help"));
    found
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_option_and_argument_is_explained() {
    let commands = commands();
    assert!(commands.len() > 35, "{}", commands.len());
    for (path, command) in commands {
        assert!(
            command.get_about().is_some_and(|about| about.to_string().len() > 8),
            "{path} is not explained"
        );
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {} is not explained", argument.get_id());
        }
    }
}

#[test]
fn commands_with_arguments_show_examples() {
    for (path, command) in commands() {
        let own = command.get_arguments().filter(|argument| !argument.is_global_set());
        let takes =
            own.filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version")).count() > 0;
        if takes && !command.has_subcommands() {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                examples.contains("Example") && examples.contains("holdfast "),
                "{path} shows no example"
            );
        }
    }
}

#[test]
fn completions_generate_for_every_shell() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "holdfast", &mut script);
        assert!(String::from_utf8(script).unwrap().contains("completions"), "{shell}");
    }
}

#[test]
fn no_option_takes_a_secret() {
    for (path, command) in commands() {
        for argument in command.get_arguments().filter_map(clap::Arg::get_long) {
            let secret = ["ticket", "invite", "key", "password", "seed", "secret"].contains(&argument);
            assert!(!secret, "{path} --{argument}: secrets come from files");
        }
    }
}

#[test]
fn the_documented_command_lines_parse() {
    let hash = "ab".repeat(32);
    let pcrs = format!("7={hash} 11={hash}");
    let org = "cd".repeat(16);
    for line in [
        format!("client init --registry a:1 --registry b:2 --root-hash {hash} --invite-file - --context x"),
        "client show".into(),
        "client renew -o json".into(),
        "files put a b --prefix p --jobs 4".into(),
        "files put a --as n".into(),
        "files put -r dir --prefix p".into(),
        "files get name -O -".into(),
        "files get -r prefix dir".into(),
        "files ls -l a/b".into(),
        "files stat n".into(),
        "files rm -r a b".into(),
        "files usage --timeout 5s".into(),
        "org create Acme".into(),
        format!("org show {org} -o json"),
        format!("org rename {org} Apex"),
        format!("org transfer {org} {org}"),
        format!("org delete {org}"),
        format!("project create {org} Website"),
        format!("project list {org}"),
        format!("project rename {org} Website Site"),
        format!("project delete {org} {org}"),
        format!("member put {org} {org} --role user"),
        format!("member put {org} {org} --role admin --project a --project b"),
        format!("member list {org} --project a"),
        format!("member list {org} --all"),
        format!("member remove {org} me --project a"),
        "status".into(),
        "node list".into(),
        "node pending".into(),
        format!("node allow {hash} --role registry"),
        format!("node approve 12ab --ek {hash} --sign-only f"),
        "node ban operator:ann".into(),
        "node unban 12ab".into(),
        "ticket new --role node --out f --expires 30m".into(),
        "invite new --out f --quota 1GiB".into(),
        "invite new --count 5 --out-dir d".into(),
        "shard list".into(),
        "shard show 3 -o json".into(),
        "shard create 8 --replicas 5 --wait --wait-for 1m".into(),
        "shard move 3 --to 12ab --wait".into(),
        "shard move 3 --from 34cd --to 12ab".into(),
        "shard cancel 3".into(),
        "shard rebalance --dry-run".into(),
        "shard split 3 --slots 0-99 --slots 4095 --wait".into(),
        "shard merge 9 --into 3 --wait".into(),
        "shard give-up 3 --wait".into(),
        "node cordon 12ab".into(),
        "node uncordon 12ab".into(),
        "node drain 12ab --wait --wait-for 2h".into(),
        "node remove 12ab --lost --wait".into(),
        "files ls --stale-ok 10s".into(),
        "registry promote 12ab".into(),
        "registry export f".into(),
        format!("pcr approve --role node {pcrs} --policy-epoch 2"),
        "operator use dir".into(),
        "operator show".into(),
        "operator renew".into(),
        "operator cosign f".into(),
        "operator submit f".into(),
        "audit --from 3".into(),
        "authz show -o json".into(),
        "context list".into(),
        "context use x".into(),
        "completions zsh".into(),
    ] {
        let parsed = Cli::try_parse_from(std::iter::once("holdfast").chain(line.split(' ')));
        assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
    }
}

#[test]
fn contradictions_on_the_command_line_are_refused() {
    for line in [
        "files put a --as n --prefix p",
        "files get -r prefix",
        "files get n -O f -r",
        "invite new --quota 1GiB",
        "invite new --out f --count 2",
        "files put",
        "files get n --jobs 0",
        "org show acme",
        "member put cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd me",
        "member put cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd me --role superadmin",
        "member list cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd --project a --all",
        "shard create 0",
        "shard create 3 --replicas 2",
        "shard split 3 --slots 9-3",
        "shard split 3 --slots 4096",
        "shard merge 9",
        "shard move 3",
        "files ls --stale-ok 11m",
        "--timeout soon status",
    ] {
        let parsed = Cli::try_parse_from(std::iter::once("holdfast").chain(line.split(' ')));
        assert!(parsed.is_err(), "{line}");
    }
}
