use super::*;

fn config(text: &str) -> Result<MailConfig, toml::de::Error> {
    toml::from_str(text)
}

fn at(server: &str, more: &str) -> MailConfig {
    config(&format!("server = \"{server}\"\nport = 25\nfrom = \"Holdfast <holdfast@example.org>\"\n{more}"))
        .unwrap()
}

#[test]
fn mail_goes_over_tls_unless_the_server_is_on_this_machine() {
    for (server, more, expected) in [
        ("mail.example.org", "", "Required"),
        ("localhost", "", "Required"),
        ("10.0.0.1", "", "Required"),
        ("mail.example.org", "tls = \"implicit\"", "Wrapper"),
        ("127.0.0.1", "", "None"),
        ("::1", "", "None"),
        ("127.0.0.1", "tls = \"starttls\"", "Required"),
    ] {
        assert_eq!(format!("{:?}", tls(&at(server, more)).unwrap()), expected, "{server} {more}");
    }
    for switch in ["tls = \"none\"", "tls = \"opportunistic\"", "insecure = true"] {
        assert!(config(&format!("server = \"a\"\nport = 25\nfrom = \"a@b.org\"\n{switch}")).is_err());
    }
}

#[test]
fn what_cannot_work_is_refused_at_the_start_by_its_key() {
    let refused = |config: MailConfig| SmtpMailer::open(&config).err().unwrap().to_string();
    let mut bad = at("127.0.0.1", "");
    bad.from = "nobody".to_owned();
    assert!(refused(bad).contains("mail.from"));
    assert!(refused(at("127.0.0.1", "username = \"ann\"")).contains("password_file"));
    let missing = refused(at("127.0.0.1", "username = \"ann\"\npassword_file = \"/nowhere/at/all\""));
    assert!(missing.contains("password_file"), "{missing}");
    assert!(refused(at("mail.example.org", "ca_file = \"/nowhere/at/all\"")).contains("/nowhere/at/all"));
    SmtpMailer::open(&at("127.0.0.1", "")).unwrap();
}

#[test]
fn a_password_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let config = at("127.0.0.1", &format!("username = \"ann\"\npassword_file = \"{}\"", file.display()));
    for (mode, good) in [(0o644, false), (0o600, true)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(SmtpMailer::open(&config).is_ok(), good, "{mode:o}");
    }
}
