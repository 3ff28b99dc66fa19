use holdfast_domain::FieldSchema;

use super::*;
use crate::fixture::notes;

#[test]
fn the_schema_of_a_module_is_this_text() {
    assert_eq!(text(&notes()).unwrap(), include_str!("golden.cedarschema"));
}

#[test]
fn names_that_policies_cannot_say_are_refused() {
    let refused = |change: &dyn Fn(&mut ModuleSchema)| {
        let mut module = notes();
        change(&mut module);
        text(&module).unwrap_err().to_string()
    };
    assert_eq!(refused(&|m| m.name = "no tes".into()), "module `no tes` is not a word that policies can say");
    assert_eq!(refused(&|m| m.name = String::new()), "module `` is not a word that policies can say");
    assert_eq!(
        refused(&|m| m.entities[0].name = "note".into()),
        "entity `note` is not a word that policies can say"
    );
    for taken in TAKEN {
        let error = refused(&|m| m.entities[1].name = taken.into());
        assert_eq!(error, format!("entity `{taken}` is not a word that policies can say"));
    }
    let quoted = "x\": Bool, \"y";
    assert!(refused(&|m| m.entities[0].fields[1].name = quoted.into()).starts_with("field"));
    assert_eq!(refused(&|m| m.entities[1].name = "Note".into()), "entity `Note` is declared twice");
    assert_eq!(refused(&|m| m.entities[0].fields[1].name = "size".into()), "field `size` is declared twice");
    assert_eq!(refused(&|m| drop(m.entities.pop())), "action `get` is on the unknown entity `Folder`");
}

#[test]
fn a_field_that_policies_may_not_name_is_not_in_the_schema() {
    let mut module = notes();
    let hidden = FieldSchema { policy: false, ..module.entities[0].fields[1].clone() };
    module.entities[0].fields[1] = hidden;
    assert!(!text(&module).unwrap().contains("owner"));
}
