use std::path::PathBuf;

use super::*;

/// Generates from a module `notes` with these messages.
fn notes(messages: &str) -> Result<String, BuildError> {
    let folder = tempfile::tempdir()?;
    let protos = folder.path().join("holdfast/notes/v1");
    fs::create_dir_all(&protos)?;
    let text = format!(
        r#"syntax = "proto3"; package holdfast.notes.v1;
        import "holdfast/options/v1/module.proto";
        {messages}"#
    );
    fs::write(protos.join("notes.proto"), text)?;
    generate(folder.path(), "notes", folder.path())?;
    assert!(fs::read(folder.path().join("descriptors.bin"))?.len() > 100);
    Ok(fs::read_to_string(folder.path().join("holdfast.notes.v1.rs"))?)
}

const OPTION: &str = r#"option (holdfast.options.v1.entity) = {type: "X", table: "x", key: "id"};"#;

#[test]
fn entities_are_stored_and_other_messages_are_not() {
    let code = notes(&format!("message S3Note {{ {OPTION} bytes id = 1; }} message Other {{}}")).unwrap();
    assert!(code.contains("impl ::holdfast_proto::module::Stored for S3Note"), "{code}");
    assert!(code.contains(r#"NAME: &'static str = "holdfast.notes.v1.S3Note""#), "{code}");
    assert!(code.contains("pub struct Other") && !code.contains("Stored for Other"), "{code}");
}

#[test]
fn an_entity_that_rust_would_spell_differently_or_hide_is_refused_by_name() {
    let nested = notes(&format!("message A {{ message B {{ {OPTION} bytes id = 1; }} }}"));
    assert!(matches!(nested, Err(BuildError::Entity(EntityError::Nested(name))) if name.ends_with("A.B")));
    for name in ["HTTPNote", "note", "My_Note"] {
        let refused = notes(&format!("message {name} {{ {OPTION} bytes id = 1; }}"));
        assert!(matches!(refused, Err(BuildError::Entity(EntityError::Name(_)))), "{name}");
    }
}

#[test]
fn a_broken_proto_says_where() {
    let Err(BuildError::Proto(text)) = notes("message Note { bytes id = 1 }") else { panic!("it built") };
    assert!(text.contains("notes.proto"), "{text}");
    let missing = generate(&PathBuf::from("/nonexistent"), "notes", Path::new("/nonexistent"));
    assert!(matches!(missing, Err(BuildError::Proto(_))));
}
