//! A real mail server: Debian's Exim on a port of this machine, which delivers everybody's mail into one folder.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::{ports, process::Process, wait};

const PROGRAM: &str = "/usr/sbin/exim4";
/// As whom Exim runs: its package makes the user.
const USER: &str = "Debian-exim";
/// How long it may take to listen, and a mail to arrive.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running mail server. It ends, and its mail is gone, when this is dropped.
#[derive(Debug)]
pub struct MailServer {
    folder: TempDir,
    port: u16,
    _process: Process,
}

impl MailServer {
    /// Starts it, with a certificate of its own for `localhost`.
    ///
    /// # Errors
    /// Exim is not installed, this is not root, or it does not listen.
    pub fn start(log: &Path) -> anyhow::Result<Self> {
        ensure!(Path::new(PROGRAM).is_file(), "no {PROGRAM}: run .ci/setup");
        ensure!(rustix::process::geteuid().is_root(), "Exim delivers as a user of its own: run this as root");
        let folder = tempfile::tempdir().context("a folder for mail")?;
        let port = ports::one()?;
        certificate(folder.path())?;
        fs::write(folder.path().join("exim.conf"), configuration(folder.path(), port))?;
        hand_over(folder.path())?;
        let config = folder.path().join("exim.conf").display().to_string();
        let process = Process::start("exim", Path::new(PROGRAM), ["-C", &config, "-bdf"], &[], log)?;
        wait::until(TIMEOUT, "a mail server", || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()))
        })?;
        Ok(Self { folder, port, _process: process })
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The root that its certificate is checked against.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// All mails that were delivered, heads and texts, oldest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn mails(&self) -> anyhow::Result<Vec<String>> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("mail/new")) else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        files.sort();
        files.into_iter().map(|(_, file)| Ok(fs::read_to_string(file)?)).collect()
    }

    /// The last of so many mails, once they are there.
    ///
    /// # Errors
    /// They do not come.
    pub fn mail(&self, count: usize) -> anyhow::Result<String> {
        wait::until(TIMEOUT, &format!("{count} mails"), || {
            let mut mails = self.mails()?;
            Ok(if mails.len() < count { None } else { mails.pop() })
        })
    }

    /// What it logged: who sent how.
    ///
    /// # Errors
    /// There is no log.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("log/main"))?)
    }
}

fn certificate(folder: &Path) -> anyhow::Result<()> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder)
        .output()
        .context("running openssl")?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "exim_path = {PROGRAM}\nexim_user = {USER}\nexim_group = {USER}\nspool_directory = {folder}/spool\n\
         log_file_path = {folder}/log/%s\nlog_selector = +tls_cipher\npid_file_path = {folder}/spool/exim.pid\n\
         daemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\nprimary_hostname = mail.test\n\
         acl_smtp_rcpt = all\nacl_smtp_data = all\nnever_users =\ntls_advertise_hosts = *\n\
         tls_certificate = {folder}/cert.pem\ntls_privatekey = {folder}/key.pem\nkeep_environment =\n\
         begin acl\nall:\n  accept\n\
         begin routers\nall:\n  driver = accept\n  transport = file\n\
         begin transports\nfile:\n  driver = appendfile\n  maildir_format\n  directory = {folder}/mail\n  user = {USER}\n\
         begin retry\n"
    )
}

/// The configuration stays root's, or Exim would not believe it.
fn hand_over(folder: &Path) -> anyhow::Result<()> {
    let id = |flag: &str| -> anyhow::Result<u32> {
        let said = Command::new("id").args([flag, USER]).output().context("running id")?;
        Ok(String::from_utf8_lossy(&said.stdout).trim().parse()?)
    };
    let (user, group) = (id("-u")?, id("-g")?);
    for name in ["spool", "log", "mail"] {
        fs::create_dir(folder.join(name))?;
    }
    for name in ["spool", "log", "mail", "cert.pem", "key.pem", ""] {
        chown(folder.join(name), Some(user), Some(group)).context("handing a folder to Exim")?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
