use super::*;

const NOTE: &str = r#"type: "Note", table: "note", key: "id""#;

fn notes(name: &str) -> String {
    module(name, NOTE, "string id = 1;")
}

#[test]
fn a_module_is_what_its_package_declares() {
    let other = r#"service Other {
           option (module) = {name: "notes", tablespace: "notes"};
           rpc Purge(P) returns (P) { option (rule) = {allow: AUDIENCE_OPERATOR}; }
         }
         service Apart { rpc Ping(Ping) returns (Ping) { option (rule) = {allow: AUDIENCE_PUBLIC}; } }
         message P { Route route = 1; }
         message Ping {}"#;
    let declared = read(&[("t", &(notes("notes") + other))]).unwrap();
    let [schema] = declared.modules() else { panic!("{:?}", declared.modules()) };
    assert_eq!((schema.name.as_str(), schema.tablespace.as_str()), ("notes", "notes"));
    assert!(schema.methods.keys().eq(["/t.Other/Purge", "/t.S/Get"]));
    assert!(schema.actions().into_iter().eq([("get", "Note")]));
    assert!(schema.entity("Note").is_some());
    let module_of = |path: &str| {
        declared.methods().find(|method| method.path == path).unwrap().module.as_ref().map(|m| m.name.clone())
    };
    assert_eq!(module_of("/t.Other/Purge").as_deref(), Some("notes"));
    assert_eq!(module_of("/t.Apart/Ping"), None);
}

#[test]
fn a_package_is_one_module() {
    let other = r#"service Other {
           option (module) = {name: "notes", tablespace: "elsewhere"};
           rpc Purge(Q) returns (Q) { option (rule) = {allow: AUDIENCE_OPERATOR}; }
         }"#;
    let newer = other.replace("elsewhere\"", "notes\", version: 2");
    for other in [other, &newer] {
        let refused = refusal(&(notes("notes") + other));
        assert!(refused.starts_with("the services of the package t declare different modules"), "{refused}");
    }
}

#[test]
fn the_first_version_of_a_module_is_one_said_or_not() {
    for (said, version) in [("", 1), (", version: 0", 1), (", version: 1", 1), (", version: 7", 7)] {
        let text = notes("notes").replace("tablespace: \"notes\"", &format!("tablespace: \"notes\"{said}"));
        assert_eq!(read(&[("t", &text)]).unwrap().modules()[0].version, version);
    }
}

#[test]
fn two_modules_share_neither_name_nor_tablespace() {
    let refused = refusal_of(&[("a", &notes("notes")), ("b", &notes("notes"))]);
    assert_eq!(refused, "the packages a and b both declare the module notes; give one of them another");
    let renamed = notes("notes").replace(r#"{name: "notes""#, r#"{name: "other""#);
    let refused = refusal_of(&[("a", &notes("notes")), ("b", &renamed)]);
    assert_eq!(refused, "the packages a and b both declare the tablespace notes; give one of them another");
}

#[test]
fn two_sets_may_describe_one_module_but_not_share_its_words() {
    let (one, two) = (compile(&[("a", &notes("notes"))]), compile(&[("b", &notes("notes"))]));
    assert_eq!(Declared::read(&[&one, &one]).unwrap().modules().len(), 1);
    assert!(matches!(Declared::read(&[&one, &two]), Err(DeclareError::Shared { .. })));
}

#[test]
fn names_of_modules_are_words() {
    for name in ["", "Notes", "my-notes", "1notes", "_notes", "nötes", &"n".repeat(65)] {
        let refused = refusal(&notes(name));
        assert!(refused.starts_with(&format!("t: module {name:?} is not a lower-case word")), "{refused}");
    }
    assert!(read(&[("t", &notes("my_notes2"))]).is_ok());
}

#[test]
fn a_check_names_an_entity_of_its_own_module() {
    let stranger = notes("notes").replace(r#"entity: "Note"}"#, r#"entity: "Image"}"#);
    let refused = refusal(&stranger);
    assert!(
        refused
            .starts_with("t.S.Get checks the entity Image, which the module notes does not declare (Note)"),
        "{refused}"
    );
    let images = module("images", r#"type: "Image", table: "image", key: "id""#, "string id = 1;")
        .replace(r#"entity: "Note"}"#, r#"entity: "Image"}"#);
    let refused = refusal_of(&[("a", &stranger), ("b", &images)]);
    assert!(refused.starts_with("a.S.Get checks the entity Image"), "{refused}");
}

#[test]
fn every_request_to_a_module_has_its_route_first() {
    let with = |request: &str| notes("notes").replace("message Q { Route route = 1; }", request);
    for request in [
        "message Q {}",
        "message Q { Route route = 2; }",
        "message Q { Route road = 1; }".replace("Route road", "holdfast.module.v1.Route road").as_str(),
        "message Q { string route = 1; }",
        "message Q { repeated Route route = 1; }",
        "message Q { oneof x { Route route = 1; string other = 2; } }",
        "message Q { Own route = 1; } message Own {}",
    ] {
        let refused = refusal(&with(request));
        assert_eq!(
            refused,
            "t.S.Get is a module's, but t.Q has no route; begin it with `holdfast.module.v1.Route route = 1;`",
            "{request}"
        );
    }
}

#[test]
fn an_entity_without_a_module_protects_nothing_and_is_refused() {
    let refused = refusal_of(&[
        ("a", &notes("notes")),
        (
            "b",
            r#"message Lost { option (entity) = {type: "Lost", table: "lost", key: "id"}; string id = 1; }"#,
        ),
    ]);
    assert!(refused.starts_with("b.Lost is an entity, but no service of its package"), "{refused}");
}
