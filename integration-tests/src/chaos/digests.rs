//! What the replicas of a group say of their slots at one place of its log. Nodes take these digests every few seconds and log them;
//! here they are read from the logs and compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

use anyhow::{Context as _, bail};

use super::rows::Group;
use crate::cluster::Server;

/// How often a node takes them, for its configuration file.
pub(super) const CONFIG: &str = "[store]\ncompare_every_s = 2\n";
/// What a node logs.
const TAKEN: &str = "digests taken";

/// One comparison: a command in the log of a group.
type Place = (u32, u64);

/// Everything that the nodes logged so far.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// How much of each node's log was read.
    read: BTreeMap<usize, u64>,
    /// What each node had at each place.
    taken: BTreeMap<Place, BTreeMap<usize, String>>,
    /// Places from before the present comparison.
    old: BTreeSet<Place>,
}

impl Digests {
    /// Reads what is new. One node that says two things of one place has lied once.
    pub(super) fn read(&mut self, nodes: &[Server]) -> anyhow::Result<()> {
        for (node, server) in nodes.iter().enumerate() {
            let from = self.read.entry(node).or_default();
            let text = lines_since(&server.log(), *from).with_context(|| server.name().to_owned())?;
            *from += u64::try_from(text.len())?;
            for (place, digest) in text.lines().filter_map(parse) {
                let known = self.taken.entry(place).or_default().entry(node).or_insert(digest.clone());
                if *known != digest {
                    bail!("{} had {known} at {place:?} and then {digest}", server.name());
                }
            }
        }
        Ok(())
    }

    /// Only places that nobody named yet count from now on.
    pub(super) fn begin(&mut self) {
        self.old = self.taken.keys().copied().collect();
    }

    /// Whether all replicas of these groups were asked at a new place of the log, and said the same.
    ///
    /// # Errors
    /// They did not.
    pub(super) fn agree(&self, groups: &[Group]) -> anyhow::Result<bool> {
        let mut all = true;
        for group in groups {
            let nodes: Vec<_> = group.replicas.iter().filter_map(|replica| replica.node).collect();
            let mut compared = false;
            let new =
                self.taken.iter().filter(|(place, _)| place.0 == group.group && !self.old.contains(place));
            for ((_, mark), said) in new {
                let of: Vec<_> = nodes.iter().filter_map(|node| said.get(node)).collect();
                if of.windows(2).any(|pair| matches!(pair, [one, other] if one != other)) {
                    bail!("replicas of group {} differ at {mark}: {said:?}", group.group);
                }
                compared |= of.len() == nodes.len();
            }
            all &= compared;
        }
        Ok(all)
    }
}

/// Whole lines after `from`.
fn lines_since(log: &Path, from: u64) -> anyhow::Result<String> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    bytes.truncate(end);
    // A byte for a byte, so that the length stays what it is in the file.
    Ok(bytes.into_iter().map(|byte| if byte.is_ascii() { char::from(byte) } else { '?' }).collect())
}

fn parse(line: &str) -> Option<(Place, String)> {
    let (_, fields) = line.split_once(TAKEN)?;
    let field = |name: &str| fields.split_whitespace().find_map(|field| field.strip_prefix(name));
    let place = (field("group=")?.parse().ok()?, field("mark=")?.parse().ok()?);
    Some((place, field("digest=")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let line =
            "2026-11-23T06:00:00Z  INFO holdfast_shard_node: digests taken group=7 mark=42 digest=ab01";
        assert_eq!(parse(line), Some(((7, 42), "ab01".to_owned())));
        assert_eq!(parse("INFO digests compared group=7 mark=42"), None);
    }
}
