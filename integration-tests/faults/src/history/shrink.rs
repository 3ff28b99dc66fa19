//! The few calls of a contradiction that matter.
//!
//! Only such calls are left out whose absence cannot make a contradiction of a history that has none: reads; values with all
//! who read them; deletes while nobody read "nothing" after one; and the end of the history, where a call that was answered
//! later counts as unanswered.

use super::{
    Action, Ended, Operation, Value,
    linear::{Verdict, explain},
};

/// A part of a contradictory history that is contradictory itself and from which nothing more can be left out.
pub(super) fn shortest(mut operations: Vec<Operation>, steps: u64) -> Vec<Operation> {
    operations.sort_by_key(|operation| operation.began);
    let contradicts = |part: &[Operation]| explain(part, steps) == Verdict::Contradiction;
    operations = shortest_prefix(operations, &contradicts);
    loop {
        let smaller = candidates(&operations).into_iter().find(|part| contradicts(part));
        match smaller {
            Some(part) => operations = part,
            None => return operations,
        }
    }
}

/// By bisection over the times of the ends: whatever contradicts early contradicts later.
fn shortest_prefix(operations: Vec<Operation>, contradicts: &dyn Fn(&[Operation]) -> bool) -> Vec<Operation> {
    let mut ends: Vec<u64> = operations
        .iter()
        .filter_map(|operation| match operation.ended {
            Ended::At(ended) => Some(ended),
            Ended::Never => None,
        })
        .collect();
    ends.sort_unstable();
    let at = ends.partition_point(|end| !contradicts(&until(&operations, *end)));
    ends.get(at).map_or(operations.clone(), |end| until(&operations, *end))
}

fn until(operations: &[Operation], time: u64) -> Vec<Operation> {
    let mut part: Vec<_> = operations.iter().filter(|operation| operation.began <= time).cloned().collect();
    for operation in &mut part {
        if matches!(operation.ended, Ended::At(ended) if ended > time) {
            operation.ended = Ended::Never;
        }
    }
    part.retain(|operation| operation.is_answered() || operation.is_write());
    part
}

/// Ways to leave one thing out, halves of the reads first.
fn candidates(operations: &[Operation]) -> Vec<Vec<Operation>> {
    let without = |leave: &dyn Fn(usize, &Operation) -> bool| -> Vec<Operation> {
        let kept = operations.iter().enumerate().filter(|(at, operation)| !leave(*at, operation));
        kept.map(|(_, operation)| operation.clone()).collect()
    };
    let is_read = |operation: &Operation| matches!(operation.action, Action::Read(_));
    let somebody_read_nothing = operations.iter().any(|operation| operation.action == Action::Read(None));
    let half = operations.len() / 2;
    let mut parts = vec![
        without(&|at, operation| at < half && is_read(operation)),
        without(&|at, operation| at >= half && is_read(operation)),
    ];
    for (at, operation) in operations.iter().enumerate() {
        match operation.action {
            Action::Put(value) => parts.push(without(&|_, other| concerns(other, value))),
            Action::Read(_) => parts.push(without(&|other, _| other == at)),
            Action::Delete if somebody_read_nothing => {}
            Action::Delete => parts.push(without(&|other, _| other == at)),
        }
    }
    parts.retain(|part| part.len() < operations.len());
    parts
}

fn concerns(operation: &Operation, value: Value) -> bool {
    matches!(operation.action, Action::Put(of) | Action::Read(Some(of)) if of == value)
}
