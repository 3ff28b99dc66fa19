use std::{fs, path::Path};

use super::{name::NameError, *};

/// The parts of this checkout that modules are added to.
fn checkout() -> tempfile::TempDir {
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir_all(copy.path().join("shard-node/src")).unwrap();
    for file in ["Cargo.toml", "shard-node/Cargo.toml", "shard-node/src/modules.rs"] {
        fs::copy(source.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

fn add(dir: &Path, name: &str) -> Result<u32, Failure> {
    Workspace::open(dir)?.add(&name.parse().unwrap())
}

fn count(dir: &Path, file: &str, text: &str) -> usize {
    fs::read_to_string(dir.join(file)).unwrap().matches(text).count()
}

#[test]
fn names_are_words_that_mean_nothing_else() {
    for (text, error) in [
        ("", NameError::Form),
        ("Tasks", NameError::Form),
        ("9lives", NameError::Form),
        ("my-tasks", NameError::Form),
        ("my_tasks", NameError::Form),
        ("../x", NameError::Form),
        ("x\u{e4}", NameError::Form),
        ("aaaaaaaaaaaaaaaaaaaaaaaaa", NameError::Form),
        ("in", NameError::Taken),
        ("item", NameError::Taken),
    ] {
        assert_eq!(text.parse::<ModuleName>(), Err(error), "{text}");
    }
    let name: ModuleName = "tasks2".parse().unwrap();
    assert_eq!(
        (name.camel(), name.upper(), name.folder()),
        ("Tasks2".into(), "TASKS2".into(), "modules/tasks2".into())
    );
}

#[test]
fn a_new_module_is_whole_and_in_the_workspace_and_the_node() {
    let dir = checkout();
    let first = add(dir.path(), "tasks").unwrap();
    assert_eq!(add(dir.path(), "wiki").unwrap(), first + 1, "numbers are given once");
    for name in ["tasks", "wiki"] {
        for (path, text) in template::files(&name.parse().unwrap()) {
            assert_eq!(fs::read_to_string(dir.path().join("modules").join(name).join(&path)).unwrap(), text);
            assert!(!path.contains("{{") && !text.contains("{{"), "{path}: {text}");
        }
        assert_eq!(
            count(
                dir.path(),
                "Cargo.toml",
                &format!("    \"modules/{name}\",\n    \"modules/{name}/api\",\n")
            ),
            1
        );
        assert_eq!(
            count(
                dir.path(),
                "Cargo.toml",
                &format!("\nholdfast-{name} = {{ path = \"modules/{name}\" }}\n")
            ),
            1
        );
        assert_eq!(count(dir.path(), "Cargo.toml", &format!("\nholdfast-{name}-api = {{ path")), 1);
        assert_eq!(
            count(dir.path(), "shard-node/Cargo.toml", &format!("\nholdfast-{name}.workspace = true\n")),
            1
        );
        assert_eq!(
            count(dir.path(), "shard-node/src/modules.rs", &format!(".service(holdfast_{name}::server())\n")),
            1
        );
    }
    let node = fs::read_to_string(dir.path().join("shard-node/Cargo.toml")).unwrap();
    assert!(node.find("holdfast-tasks").unwrap() < node.find("[dev-dependencies]").unwrap());
    let mounts = fs::read_to_string(dir.path().join("shard-node/src/modules.rs")).unwrap();
    assert!(
        mounts.contains(&format!("const TASKS: TablespaceSpec = tablespace({first}, \"tasks\", \"tasks\");"))
    );
}

#[test]
fn what_exists_is_not_touched() {
    let dir = checkout();
    let root = || fs::read_to_string(dir.path().join("Cargo.toml")).unwrap();
    let before = root();
    fs::create_dir_all(dir.path().join("modules/mine")).unwrap();
    assert!(
        matches!(add(dir.path(), "mine"), Err(Failure::Exists(folder)) if folder.ends_with("modules/mine"))
    );
    for crates in ["client", "files", "store"] {
        assert!(matches!(add(dir.path(), crates), Err(Failure::Usage(_))), "{crates}");
    }
    assert_eq!(root(), before);
    assert_eq!(fs::read_dir(dir.path().join("modules/mine")).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_no_checkout_or_has_no_marks_is_refused_before_anything_is_written() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(add(empty.path(), "tasks"), Err(Failure::Usage(_))));
    let dir = checkout();
    fs::write(dir.path().join("shard-node/src/modules.rs"), "fn mount() {}\n").unwrap();
    assert!(matches!(add(dir.path(), "tasks"), Err(Failure::Usage(text)) if text.contains("modules.rs")));
    assert!(!dir.path().join("modules").exists());
}
