//! Writers at the same time.

use futures::future::join_all;
use holdfast_domain::Reason;
use proptest::prelude::*;

use super::{
    note::Note,
    support::{Desk, key, owned_by, refused},
};
use crate::query::{Committed, Table};

#[derive(Debug, Clone)]
enum Write {
    Put(i64, usize, usize),
    Delete(i64),
    Move(i64, i64, usize),
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        (0..3i64, 0..3usize, 0..4usize).prop_map(|(number, owner, tags)| Write::Put(number, owner, tags)),
        (0..3i64).prop_map(Write::Delete),
        (0..3i64, 0..3i64, 0..3usize).prop_map(|(from, to, owner)| Write::Move(from, to, owner)),
    ]
}

fn note(number: i64, owner: usize, tags: usize) -> Note {
    let note = Note::new("f", number, ["ann", "bob", "cyd"][owner]);
    match tags {
        0 => note,
        1 => note.tagged(["x"]),
        2 => note.tagged(["y"]),
        _ => note.tagged(["x", "y"]),
    }
}

async fn run(desk: &Desk, client: u8, writes: &[Write]) {
    let request = desk.request(client, holdfast_authz::Scope::Always);
    for write in writes {
        let mut batch = request.batch(desk.command());
        match write {
            Write::Put(number, owner, tags) => {
                batch.put(&request.notes, &note(*number, *owner, *tags)).unwrap()
            }
            Write::Delete(number) => batch.delete(&request.notes, &key("f", *number)).unwrap(),
            Write::Move(from, to, owner) if from != to => {
                batch.delete(&request.notes, &key("f", *from)).unwrap();
                batch.put(&request.notes, &note(*to, *owner, 3)).unwrap();
            }
            Write::Move(..) => continue,
        }
        if let Err(error) = batch.commit().await {
            assert!(matches!(error.reason(), Reason::NotFound | Reason::Conflict), "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn invariant_no_order_of_writers_leaves_a_stale_index_row(
        writers in prop::collection::vec(prop::collection::vec(write(), 1..8), 2..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let desk = Desk::new();
            join_all((0u8..).zip(&writers).map(|(client, writes)| run(&desk, client, writes))).await;
            desk.assert_indexes_exact();
        });
    }
}

#[tokio::test]
async fn a_change_that_is_overtaken_is_decided_again_and_given_up_in_the_end() {
    let desk = Desk::new();
    let notes = desk.everything();
    desk.home.conflict(4);
    assert_eq!(notes.put(desk.command(), &note(1, 0, 0)).await, Ok(Committed::Applied));
    desk.home.conflict(5);
    assert_eq!(refused(notes.put(desk.command(), &note(1, 1, 0)).await), Reason::Conflict);
}

/// Ann's row is given to bob between her reading and her writing: she must not write it any more.
#[tokio::test]
async fn a_row_that_leaves_the_scope_meanwhile_is_out_of_reach() {
    for shift in 0..64 {
        let desk = Desk::new();
        desk.store([note(1, 0, 0)]).await;
        let everything = desk.everything();
        for _ in 0..shift {
            // Other pauses between the steps of the two.
            everything.get(&key("f", 1)).await.unwrap();
        }
        let anns: Table<Note> = desk.request(1, owned_by("ann")).notes;
        let (bobs, hers) = (note(1, 1, 1), note(1, 0, 2));
        let (given, written) =
            futures::join!(everything.put(desk.command(), &bobs), anns.put(desk.command(), &hers),);
        assert_eq!(given, Ok(Committed::Applied));
        let row = everything.get(&key("f", 1)).await.unwrap().into_row();
        if let Err(error) = written {
            assert_eq!(error.reason(), Reason::NotFound);
        }
        assert_eq!(row, bobs, "ann wrote a row that was bob's");
        desk.assert_indexes_exact();
    }
}
