//! Two callers against a naive model: a map, and `RowFilter::admits` on all of it.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_authz::{RowFilter, Scope, Test};
use holdfast_domain::{FieldValue, Reason};
use proptest::prelude::*;

use super::{
    note::Note,
    support::{Desk, key, list, refused},
};
use crate::query::{By, Entity as _, RowKey, Table};

const OWNERS: [&str; 3] = ["ann", "bob", ""];
const FOLDERS: [&str; 2] = ["f", "ff"];

#[derive(Debug, Clone)]
enum Step {
    Put(Note),
    Insert(Note),
    Delete(&'static str, i64),
    Get(&'static str, i64),
    List(By, usize),
}

fn note() -> impl Strategy<Value = Note> {
    let tags = prop::collection::btree_set(prop_oneof![Just("x".to_owned()), Just("y".to_owned())], 0..3);
    (place(), prop::sample::select(&OWNERS[..]), any::<bool>(), tags).prop_map(
        |((folder, number), owner, open, tags)| Note { open, tags, ..Note::new(folder, number, owner) },
    )
}

fn place() -> impl Strategy<Value = (&'static str, i64)> {
    (prop::sample::select(&FOLDERS[..]), -1..2i64)
}

fn by() -> impl Strategy<Value = By> {
    let index = |field: &str, value: FieldValue| By::Index(field.to_owned(), value);
    prop_oneof![
        Just(By::Everything),
        prop::sample::select(&FOLDERS[..]).prop_map(|folder| By::Prefix(RowKey::new([folder]).unwrap())),
        prop::sample::select(&OWNERS[..]).prop_map(move |owner| index("owner", owner.into())),
        any::<bool>().prop_map(move |open| index("open", open.into())),
        Just(index("tags", "x".into())),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => note().prop_map(Step::Put),
        1 => note().prop_map(Step::Insert),
        1 => place().prop_map(|(folder, number)| Step::Delete(folder, number)),
        1 => place().prop_map(|(folder, number)| Step::Get(folder, number)),
        2 => (by(), 1..5usize).prop_map(|(by, limit)| Step::List(by, limit)),
    ]
}

fn scope() -> impl Strategy<Value = Scope> {
    let field = |name: &str, test| RowFilter::Field(name.to_owned(), test);
    let leaf = prop_oneof![
        prop::sample::select(&OWNERS[..]).prop_map(move |owner| field("owner", Test::Is(owner.into()))),
        prop::sample::subsequence(&OWNERS[..], 0..3).prop_map(move |owners| {
            field("owner", Test::OneOf(owners.into_iter().map(FieldValue::from).collect()))
        }),
        any::<bool>().prop_map(move |open| field("open", Test::Is(open.into()))),
        (-1..2i64).prop_map(move |number| field("number", Test::Below(number))),
        Just(field("tags", Test::Contains("y".to_owned()))),
        Just(field("tags", Test::Is(FieldValue::TextSet(BTreeSet::from(["x".to_owned()]))))),
    ];
    let filter = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(RowFilter::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(RowFilter::Any),
            inner.prop_map(|filter| RowFilter::Not(Box::new(filter))),
        ]
    });
    prop_oneof![1 => Just(Scope::Always), 1 => Just(Scope::Never), 6 => filter.prop_map(Scope::Rows)]
}

/// What is stored, and the naive answer to everything.
#[derive(Default)]
struct Model(BTreeMap<(String, i64), Note>);

impl Model {
    fn sees(scope: &Scope, note: &Note) -> bool {
        match scope {
            Scope::Never => false,
            Scope::Always => true,
            Scope::Rows(filter) => filter.admits(&note.fields()),
        }
    }

    fn store(&mut self, scope: &Scope, note: &Note, new: bool) -> Result<(), Reason> {
        let place = (note.folder.clone(), note.number);
        if !Self::sees(scope, note) {
            return Err(Reason::NotPermitted);
        }
        match self.0.get(&place) {
            Some(old) if !Self::sees(scope, old) => Err(Reason::NotFound),
            Some(_) if new => Err(Reason::AlreadyExists),
            _ => {
                self.0.insert(place, note.clone());
                Ok(())
            }
        }
    }

    fn get(&self, scope: &Scope, folder: &str, number: i64) -> Result<Note, Reason> {
        let found = self.0.get(&(folder.to_owned(), number)).filter(|note| Self::sees(scope, note));
        found.cloned().ok_or(Reason::NotFound)
    }

    fn list(&self, scope: &Scope, by: &By) -> BTreeSet<Note> {
        let asked = |note: &&Note| match by {
            By::Everything => true,
            By::Prefix(key) => key.values() == [FieldValue::from(note.folder.as_str())],
            By::Index(field, value) => match note.fields().remove(field) {
                Some(FieldValue::TextSet(set)) => {
                    set.iter().any(|text| *value == FieldValue::from(text.as_str()))
                }
                found => found.as_ref() == Some(value),
            },
        };
        self.0.values().filter(asked).filter(|note| Self::sees(scope, note)).cloned().collect()
    }
}

async fn both(desk: &Desk, model: &mut Model, notes: &Table<Note>, scope: &Scope, step: &Step) {
    match step {
        Step::Put(note) => {
            let result = notes.put(desk.command(), note).await;
            assert_eq!(result.map(drop).map_err(|error| error.reason()), model.store(scope, note, false));
        }
        Step::Insert(note) => {
            let result = notes.insert(desk.command(), note).await;
            assert_eq!(result.map(drop).map_err(|error| error.reason()), model.store(scope, note, true));
        }
        Step::Delete(folder, number) => {
            let result = notes.delete(desk.command(), &key(folder, *number)).await;
            let wanted = model.get(scope, folder, *number).map(|_| {
                model.0.remove(&((*folder).to_owned(), *number));
            });
            assert_eq!(result.map(drop).map_err(|error| error.reason()), wanted);
        }
        Step::Get(folder, number) => {
            let result = notes.get(&key(folder, *number)).await;
            match model.get(scope, folder, *number) {
                Ok(note) => assert_eq!(result.unwrap().into_row(), note),
                Err(reason) => assert_eq!(refused(result), reason),
            }
        }
        Step::List(by, limit) => {
            let found = list(notes, by, *limit).await;
            let unique: BTreeSet<_> = found.iter().cloned().collect();
            assert_eq!(unique.len(), found.len(), "a row came twice");
            assert_eq!(unique, model.list(scope, by));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn invariant_a_table_is_the_model_seen_through_the_scope(
        scopes in [scope(), scope()],
        steps in prop::collection::vec((0..2u8, step()), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (desk, mut model) = (Desk::new(), Model::default());
            let everything = desk.everything();
            for note in steps.iter().filter_map(|(_, step)| match step { Step::Put(note) => Some(note), _ => None }).take(3) {
                both(&desk, &mut model, &everything, &Scope::Always, &Step::Put(note.clone())).await;
            }
            for (who, step) in &steps {
                let scope = &scopes[usize::from(*who)];
                let notes = desk.request(*who, scope.clone()).notes;
                both(&desk, &mut model, &notes, scope, step).await;
            }
            let all: Vec<_> = list(&everything, &By::Everything, 3).await;
            prop_assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), model.0.into_values().collect::<BTreeSet<_>>());
            desk.assert_indexes_exact();
            Ok(())
        })?;
    }
}
