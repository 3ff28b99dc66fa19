use holdfast_domain::causes;
use proptest::prelude::*;

use super::*;

const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn load(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

fn context(kind: &str) -> String {
    format!(
        "kind = \"{kind}\"\nregistries = [\"127.0.0.1:7000\"]\nroot_hash = \"{HASH}\"\ncredential = \"x\"\n"
    )
}

fn name(text: &str) -> ContextName {
    text.parse().unwrap()
}

#[test]
fn unknown_keys_are_named() {
    for (text, key) in [
        ("colour = 1".to_owned(), "colour"),
        (format!("[contexts.a]\n{}passwrod = 1", context("client")), "passwrod"),
    ] {
        let error = causes(&load(&text).unwrap_err());
        assert!(error.contains(key) && error.contains("config.toml"), "{error}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_context() {
    for (from, to, named) in [
        ("7000", "70000", "registries"),
        (HASH, "abcd", "root_hash"),
        ("credential = \"x\"", "credential = \"\"", "credential"),
        ("[\"127.0.0.1:7000\"]", "[]", "registries"),
    ] {
        let text = format!("[contexts.home]\n{}", context("client").replace(from, to));
        let error = load(&text).unwrap_err().to_string();
        assert!(error.contains("contexts.home") && error.contains(named), "{error}");
    }
}

#[test]
fn a_current_context_that_does_not_exist_is_refused() {
    let error = load(&format!("current = \"b\"\n[contexts.a]\n{}", context("client"))).unwrap_err();
    assert!(error.to_string().contains("does not exist"));
}

#[test]
fn an_absent_file_is_empty_and_what_is_saved_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/config.toml");
    let mut config = Config::load(&path).unwrap();
    let credential = dir.path().join("deep/client");
    let context = Context {
        kind: ContextKind::Client,
        registries: vec!["[::1]:7000".parse().unwrap(), "registry.example:7000".parse().unwrap()],
        root_hash: HASH.parse().unwrap(),
        credential,
    };
    config.put(name("client"), context).unwrap();
    config.save().unwrap();
    assert_eq!(Config::load(&path).unwrap(), config);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("credential = \"client\""), "relative beside the file: {text}");
}

#[test]
fn the_context_that_fits_is_selected() {
    let two =
        format!("current = \"a\"\n[contexts.a]\n{}[contexts.b]\n{}", context("client"), context("operator"));
    let config = load(&two).unwrap();
    assert_eq!(config.select(None, ContextKind::Client).unwrap().0, &name("a"));
    assert_eq!(config.select(None, ContextKind::Operator).unwrap().0, &name("b"), "the only operator");
    assert!(matches!(config.select(Some(&name("a")), ContextKind::Operator), Err(ConfigError::Kind { .. })));
    let error = config.select(Some(&name("c")), ContextKind::Client).unwrap_err().to_string();
    assert!(error.contains("a, b"), "{error}");
}

#[test]
fn several_fitting_contexts_need_a_choice() {
    let text = format!("[contexts.a]\n{0}[contexts.b]\n{0}", context("client"));
    assert!(matches!(
        load(&text).unwrap().select(None, ContextKind::Client),
        Err(ConfigError::Ambiguous { .. })
    ));
    assert!(matches!(
        load("").unwrap().select(None, ContextKind::Client),
        Err(ConfigError::NoContext { .. })
    ));
}

#[test]
fn the_example_in_the_module_documentation_is_valid() {
    let example: String = include_str!("mod.rs")
        .lines()
        .skip_while(|line| !line.contains("```toml"))
        .skip(1)
        .take_while(|line| !line.contains("```"))
        .map(|line| line.trim_start_matches("//!").trim().to_owned() + "\n")
        .collect();
    let config = load(&example.replace("5f0c4e6a1d...", HASH)).unwrap();
    assert_eq!(config.current(), Some(&name("client")));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text: String, body in "[a-z=\"\\[\\]. \n]{0,200}") {
        let _ = load(&text);
        let _ = load(&body);
        let _ = text.parse::<ContextName>();
        let _ = text.parse::<RegistryAddress>();
    }

    #[test]
    fn a_context_name_is_a_safe_folder(text in "[a-zA-Z0-9._/\\-]{0,70}") {
        if let Ok(name) = text.parse::<ContextName>() {
            let mut parts = Path::new(name.as_str()).components();
            prop_assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))));
            prop_assert!(parts.next().is_none());
        }
    }
}
