//! Is there an order of one register's calls that explains every answer?
//!
//! The search of Wing and Gong: take any call that no untaken answered call precedes, let it happen, go on; step back when an
//! answer does not fit. Lowe's memory: the same set of taken calls with the same content is not tried twice. Of calls without
//! an answer any may be left out. Two shortcuts keep it fast: a put without an answer whose value nobody read can be left out,
//! and a read that fits now can be taken at once, since it changes nothing.

use std::collections::{BTreeSet, HashSet};

use super::{Action, Operation, Value};

/// What the search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An order explains all.
    Explained,
    /// None does.
    Contradiction,
    /// Given up.
    Undecided,
}

/// Looks for an order of the calls of one register that is empty at first.
pub(super) fn explain(operations: &[Operation], steps: u64) -> Verdict {
    let read: BTreeSet<Value> = operations
        .iter()
        .filter_map(|operation| match operation.action {
            Action::Read(value) => value,
            _ => None,
        })
        .collect();
    let matters = |operation: &&Operation| match operation.action {
        Action::Put(value) => operation.is_answered() || read.contains(&value),
        Action::Delete => true,
        Action::Read(_) => operation.is_answered(),
    };
    let mut calls: Vec<&Operation> = operations.iter().filter(matters).collect();
    calls.sort_by_key(|operation| operation.began);
    Search { calls: &calls, steps, seen: HashSet::new() }.run()
}

struct Search<'a> {
    /// By their begin.
    calls: &'a [&'a Operation],
    steps: u64,
    seen: HashSet<(Taken, Option<Value>)>,
}

/// Which calls have happened: all before `first`, and a few after it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Taken {
    first: usize,
    more: Vec<usize>,
}

impl Taken {
    fn contains(&self, call: usize) -> bool {
        call < self.first || self.more.binary_search(&call).is_ok()
    }

    fn with(&self, call: usize) -> Self {
        let mut taken = self.clone();
        if let Err(at) = taken.more.binary_search(&call) {
            taken.more.insert(at, call);
        }
        while taken.more.first() == Some(&taken.first) {
            taken.more.remove(0);
            taken.first += 1;
        }
        taken
    }
}

impl Search<'_> {
    fn run(mut self) -> Verdict {
        let mut stack = vec![(Taken { first: 0, more: Vec::new() }, None)];
        while let Some((taken, content)) = stack.pop() {
            let Some(left) = self.steps.checked_sub(1) else { return Verdict::Undecided };
            self.steps = left;
            let open = self.open(&taken);
            if open.is_empty() || self.all_answered_taken(&taken) {
                return Verdict::Explained;
            }
            for next in self.nexts(&taken, content, &open) {
                if self.seen.insert(next.clone()) {
                    stack.push(next);
                }
            }
        }
        Verdict::Contradiction
    }

    fn all_answered_taken(&self, taken: &Taken) -> bool {
        let untaken = |(at, call): (usize, &&Operation)| call.is_answered() && !taken.contains(at);
        !self.calls.iter().enumerate().skip(taken.first).any(untaken)
    }

    /// Untaken calls that no untaken answered call precedes.
    fn open(&self, taken: &Taken) -> Vec<usize> {
        let mut open = Vec::new();
        let mut first_end = u64::MAX;
        for (at, call) in self.calls.iter().enumerate().skip(taken.first) {
            if call.began > first_end {
                break;
            }
            if taken.contains(at) {
                continue;
            }
            if let super::Ended::At(ended) = call.ended {
                first_end = first_end.min(ended);
            }
            open.push(at);
        }
        open
    }

    /// What can happen next. The likeliest comes last, as the stack's top: calls in the order of their begin.
    fn nexts(&self, taken: &Taken, content: Option<Value>, open: &[usize]) -> Vec<(Taken, Option<Value>)> {
        let call = |at: usize| self.calls.get(at).map(|call| call.action);
        let fits = |at: &&usize| call(**at) == Some(Action::Read(content));
        if let Some(read) = open.iter().find(fits) {
            return vec![(taken.with(*read), content)];
        }
        let after = |at: &usize| match call(*at)? {
            Action::Put(value) => Some((taken.with(*at), Some(value))),
            Action::Delete => Some((taken.with(*at), None)),
            Action::Read(_) => None,
        };
        open.iter().rev().filter_map(after).collect()
    }
}
