use super::*;

/// Module `name` with these screens.
fn with(name: &str, screens: &str) -> String {
    module(name, r#"type: "Note", table: "note", key: "id""#, "string id = 1;")
        .replace(&format!("tablespace: \"{name}\""), &format!("tablespace: \"{name}\", {screens}"))
}

fn screen(path: &str) -> String {
    format!(r#"screens: {{path: "{path}", title: "T", needs: "Note.get"}}, "#)
}

#[test]
fn screens_keep_their_order_over_all_services_of_a_module() {
    let other = r#"service Other {
           option (module) = {name: "notes", tablespace: "notes", screens: {path: "/a", title: "A", needs: "Note.get"}};
           rpc Purge(Q) returns (Q) { option (rule) = {allow: AUDIENCE_OPERATOR}; }
         }"#;
    let own = screen("/notes/{id}")
        + r#"screens: {path: "/notes", title: "Nötes", needs: "Note.get", navigation: true}"#;
    let declared = read(&[("t", &(with("notes", &own) + other))]).unwrap();
    let [schema] = declared.modules() else { panic!("{:?}", declared.modules()) };
    let shown: Vec<_> = schema
        .screens
        .iter()
        .map(|screen| (screen.path.to_string(), screen.title.as_str(), screen.navigation))
        .collect();
    let expected = [("/a", "A", false), ("/notes/{id}", "T", false), ("/notes", "Nötes", true)];
    assert_eq!(shown, expected.map(|(path, title, navigation)| (path.to_owned(), title, navigation)));
    assert!(
        schema.screens.iter().all(|screen| screen.needs.entity == "Note" && screen.needs.action == "get")
    );
}

#[test]
fn a_screen_that_cannot_be_shown_or_opened_is_refused_with_the_way_out() {
    let cases = [
        (r#"path: "notes", title: "T", needs: "Note.get""#, "has no path"),
        (r#"path: "/n", title: " ", needs: "Note.get""#, "has no title"),
        (r#"path: "/n", title: "a\nb", needs: "Note.get""#, "has no title"),
        (
            r#"path: "/n", title: "T", needs: "Note.lst""#,
            "needs \"Note.lst\", which no method of its module checks (Note.get)",
        ),
        (r#"path: "/n", title: "T", needs: "get""#, "needs \"get\""),
        (
            r#"path: "/n/{id}", title: "T", needs: "Note.get", navigation: true"#,
            "but nobody can go to a placeholder",
        ),
    ];
    for (screen, expected) in cases {
        let refused = refusal(&with("notes", &format!("screens: {{{screen}}}")));
        assert!(refused.starts_with("the screen \"") && refused.contains(expected), "{refused}");
    }
    let title = "t".repeat(65);
    let refused =
        refusal(&with("notes", &format!(r#"screens: {{path: "/n", title: "{title}", needs: "Note.get"}}"#)));
    assert!(refused.contains("1 to 64 characters"), "{refused}");
    let many: String = (0..=MAX_SCREENS).map(|at| screen(&format!("/n{at}"))).collect();
    assert!(refusal(&with("notes", &many)).contains("at most 64"));
}

#[test]
fn no_two_screens_of_whichever_modules_are_at_one_place() {
    let refused = refusal(&with("notes", &(screen("/n/{id}") + &screen("/n/new"))));
    assert_eq!(
        refused,
        "the screen \"/n/new\" of the package t is at the same place as /n/{id} of t; give one of them another path"
    );
    let refused = refusal_of(&[("a", &with("one", &screen("/n"))), ("b", &with("two", &screen("/n")))]);
    assert!(refused.contains("\"/n\" of the package b") && refused.contains("/n of a"), "{refused}");
}
