//! The cluster under test with its disks, its network and its load.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use holdfast_faults::{
    disk::{Disk, Syncs},
    draw::Draw,
};

use super::{
    digests::{self, Digests},
    load::{Counts, Load},
    rows::Group,
};
use crate::{
    cluster::{Cluster, Role, Server},
    wait,
};

/// How long a cluster may take to be whole again after a fault is over.
const HEAL: Duration = Duration::from_secs(90);
/// How long everybody may wait to be served again.
const SERVED: Duration = Duration::from_secs(60);

/// How large a stage is and how long its outages are.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Voters of the registry.
    pub voters: usize,
    /// Nodes.
    pub nodes: usize,
    /// Shard groups.
    pub groups: u32,
    /// Replicas of each.
    pub replicas: usize,
    /// How long the registry is away.
    pub registry_away: Duration,
    /// How long processes are paused.
    pub pause: Duration,
    /// How long machines are cut off.
    pub cut: Duration,
}

impl Plan {
    /// What `make test` has time for.
    pub const TEST: Self = Self {
        voters: 3,
        nodes: 4,
        groups: 2,
        replicas: 3,
        registry_away: Duration::from_secs(10),
        pause: Duration::from_secs(10),
        cut: Duration::from_secs(4),
    };

    /// Outages as long as they may be in earnest.
    pub const LONG: Self =
        Self { registry_away: Duration::from_secs(600), cut: Duration::from_secs(12), ..Self::TEST };
}

/// A cluster with everything that can go wrong in it.
pub struct Stage {
    /// The cluster.
    pub cluster: Cluster,
    /// Whether machines can be cut off: only as root.
    pub has_network: bool,
    /// Disks of the voters, in their order.
    pub voter_disks: Vec<Disk>,
    /// Disks of the nodes, in their order.
    pub node_disks: Vec<Disk>,
    /// All choices.
    pub draw: Draw,
    /// Its size.
    pub plan: Plan,
    load: Option<Load>,
    digests: Digests,
    began: Instant,
}

impl Stage {
    /// Builds a cluster and begins to load it.
    ///
    /// # Errors
    /// Something does not start.
    pub fn build(folder: &Path, plan: Plan, seed: u64) -> anyhow::Result<Self> {
        let (cluster, has_network) = match Cluster::new_in_network(folder) {
            Ok(cluster) => (cluster, true),
            Err(error) => {
                println!("no network namespaces, so nothing is cut off: {error:#}");
                (Cluster::new(folder)?, false)
            }
        };
        let draw = Draw::new(seed);
        let (voter_disks, node_disks, began) = (vec![], vec![], Instant::now());
        let (load, digests) = (None, Digests::default());
        let mut stage =
            Self { cluster, has_network, voter_disks, node_disks, draw, plan, load, digests, began };
        stage.cluster.found()?;
        for _ in 1..plan.voters {
            stage.cluster.add_voter()?;
        }
        for _ in 0..plan.nodes {
            stage.cluster.add_node()?;
        }
        stage.equip()?;
        stage.cluster.create_groups(plan.groups)?;
        stage.wait_healthy()?;
        let names = ["ann", "ben", "cleo"];
        let accounts = names.iter().map(|name| stage.cluster.add_account(name, "1GiB"));
        let accounts = accounts.collect::<anyhow::Result<Vec<_>>>()?;
        let load = Load::start(&stage.cluster, accounts, 2, &mut stage.draw)?;
        stage.load = Some(load);
        stage.wait_served()?;
        stage.say("the cluster is up and under load");
        Ok(stage)
    }

    /// Puts the failing disk below each server, which is off for a moment.
    fn equip(&mut self) -> anyhow::Result<()> {
        let disks = [(Role::Registry, &mut self.voter_disks), (Role::Node, &mut self.node_disks)];
        for (role, disks) in disks {
            let servers = match role {
                Role::Registry => &mut self.cluster.voters,
                Role::Node => &mut self.cluster.nodes,
            };
            for server in servers {
                server.stop()?;
                let disk = Disk::new(server.data(), Syncs::WrittenDown)?;
                server.environment = disk.environment();
                if role == Role::Node {
                    server.configure(digests::CONFIG)?;
                }
                server.start_and_wait()?;
                disks.push(disk);
            }
        }
        self.cluster.wait_leader()?;
        Ok(())
    }

    /// Tells whoever looks on.
    pub fn say(&self, what: &str) {
        let seconds = self.began.elapsed().as_secs();
        println!("[{:02}:{:02}]   {what}", seconds / 60, seconds % 60);
    }

    /// Lets the load go on for a while.
    ///
    /// # Errors
    /// The run is to end.
    pub fn rest(&self, time: Duration) -> anyhow::Result<()> {
        wait::rest(time)
    }

    /// Any server of a kind: its position.
    pub fn any(&mut self, role: Role) -> usize {
        let count = self.servers(role).len();
        self.draw.index(count)
    }

    /// The servers of a kind.
    pub fn servers(&mut self, role: Role) -> &mut Vec<Server> {
        match role {
            Role::Registry => &mut self.cluster.voters,
            Role::Node => &mut self.cluster.nodes,
        }
    }

    /// One server.
    ///
    /// # Errors
    /// There is none.
    pub fn server(&mut self, role: Role, at: usize) -> anyhow::Result<&mut Server> {
        self.servers(role).get_mut(at).context("no such server")
    }

    /// The disk of one.
    ///
    /// # Errors
    /// There is none.
    pub fn disk(&self, role: Role, at: usize) -> anyhow::Result<&Disk> {
        let disks = match role {
            Role::Registry => &self.voter_disks,
            Role::Node => &self.node_disks,
        };
        disks.get(at).context("no such disk")
    }

    /// kill -9. What was written stays in the kernel, so all of it counts as durable from here on.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self, role: Role, at: usize) -> anyhow::Result<()> {
        let server = self.server(role, at)?;
        server.kill().with_context(|| server.name().to_owned())?;
        self.disk(role, at)?.forget()
    }

    /// Starts one again.
    ///
    /// # Errors
    /// It does not listen in time.
    pub fn start(&mut self, role: Role, at: usize) -> anyhow::Result<()> {
        self.server(role, at)?.start_and_wait()
    }

    /// The node that leads a group, as a position; any node, while none is known.
    ///
    /// # Errors
    /// The registry does not answer.
    pub fn leading_node(&mut self, group: u32) -> anyhow::Result<usize> {
        let leader = self.cluster.group_row(group)?.leader;
        Ok(leader.unwrap_or_else(|| self.any(Role::Node)))
    }

    /// A group.
    ///
    /// # Errors
    /// There is none.
    pub fn any_group(&mut self) -> anyhow::Result<u32> {
        let rows = self.cluster.group_rows()?;
        let rows: Vec<_> = rows.into_iter().filter(|row| !row.is_empty()).collect();
        let at = self.draw.index(rows.len());
        Ok(rows.get(at).context("no groups")?.group)
    }

    /// Where the load stands.
    pub fn counts(&self) -> Counts {
        self.load.as_ref().map_or(Counts { answered: 0, lost: 0 }, Load::counts)
    }

    /// Starts what ended by itself, waits until every group has all its replicas and everybody is served.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_healthy(&mut self) -> anyhow::Result<()> {
        self.start_what_ended()?;
        self.cluster.wait_leader()?;
        let replicas = self.plan.replicas;
        let healthy = wait::until(HEAL, "all groups healthy", || {
            let rows = self.cluster.group_rows()?;
            let rows: Vec<_> = rows.into_iter().filter(|row| !row.is_empty()).collect();
            let whole = !rows.is_empty() && rows.iter().all(|row| row.is_healthy(replicas));
            if whole { Ok(Some(())) } else { bail!("{rows:?}") }
        });
        healthy?;
        self.wait_served()
    }

    /// Waits until all replicas of each group have taken the digests of their slots at one place of its log. They must be equal; where
    /// a disk was damaged, they must become so.
    ///
    /// # Errors
    /// They are not, or they are not taken in time.
    pub fn compare_digests(&mut self, damaged: bool) -> anyhow::Result<()> {
        self.digests.read(&self.cluster.nodes)?;
        self.digests.begin();
        let equal = wait::until(HEAL, "digests of all replicas", || {
            self.digests.read(&self.cluster.nodes)?;
            let rows = self.cluster.group_rows()?;
            let rows: Vec<_> = rows.into_iter().filter(|row| !row.is_empty()).collect();
            match self.digests.agree(&rows) {
                Ok(all) => Ok(all.then_some(Ok(()))),
                Err(difference) if damaged => {
                    self.digests.begin();
                    Err(difference)
                }
                Err(difference) => Ok(Some(Err(difference))),
            }
        });
        equal?
    }

    fn wait_served(&self) -> anyhow::Result<()> {
        self.load.as_ref().map_or(Ok(()), |load| load.everybody_is_served(&self.cluster, SERVED))
    }

    fn start_what_ended(&mut self) -> anyhow::Result<()> {
        for role in [Role::Registry, Role::Node] {
            for at in 0..self.servers(role).len() {
                if !self.server(role, at)?.is_running() {
                    let name = self.server(role, at)?.name().to_owned();
                    self.say(&format!("{name} does not run: starting it"));
                    self.disk(role, at)?.forget()?;
                    self.start(role, at)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the load and judges what its clients saw.
    ///
    /// # Errors
    /// What they saw cannot be, or the cluster does not become whole.
    pub fn judge(mut self) -> anyhow::Result<Counts> {
        let mut load = self.load.take().context("no load")?;
        load.stop()?;
        self.wait_healthy()?;
        let even = wait::until(HEAL, "replicas that are equal", || {
            let rows = self.cluster.group_rows()?;
            if rows.iter().all(Group::is_even) { Ok(Some(())) } else { bail!("{rows:?}") }
        });
        even?;
        self.compare_digests(false)?;
        load.judge(&self.cluster)
    }
}
