//! Writes of clusters of more nodes and groups, all on this machine: it shows what nodes cost, not what more machines give.

use anyhow::Context as _;

use super::super::{Setting, writes};
use crate::{cluster::Running, figure::Figure};

/// Nodes; each three more come with a group of three replicas more.
const SIZES: [usize; 3] = [3, 6, 9];
const CLIENTS: usize = 64;

pub(super) fn measure(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let span = setting.span;
    let (mut figures, mut of_three) = (Vec::<Figure>::new(), None);
    for nodes in SIZES {
        let mut running = Running::of(&setting.folder().join(format!("grown-{nodes}")), nodes, nodes / 3)?;
        let runtime = running.runtime.handle().clone();
        let accounts = running.accounts(CLIENTS)?.get(..CLIENTS).context("too few clients")?;
        let rate = runtime.block_on(writes::to_leaders(accounts, span))?.rate();
        let groups = if nodes == 3 { "1 group".to_owned() } else { format!("{} groups", nodes / 3) };
        let name = format!("durable 256 B writes, {CLIENTS} clients, {nodes} nodes, {groups}");
        let figure = Figure::new(name, "/s", rate);
        figures.push(match of_three {
            None => figure,
            Some(three) => figure.against(three, "three nodes on the same cores"),
        });
        of_three.get_or_insert(rate);
    }
    Ok(figures)
}
