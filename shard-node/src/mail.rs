//! Mail, handed over to the mail server that the configuration names.
//!
//! Invariants: unless the server is at a loopback address, nothing is said to it before TLS is up and its certificate was checked; codes and
//! passwords are in no error and no log.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use async_trait::async_trait;
use holdfast_accounts::login::{Mail, MailError, Mailer};
use holdfast_keys::secret_file::{SecretFileError, read_secret};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use serde::Deserialize;

/// How long a mail server may take for one mail.
const TIMEOUT: Duration = Duration::from_secs(20);

/// `[mail]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// Name or address of the mail server.
    server: String,
    /// Its port.
    port: u16,
    /// Whose mail it is: `Holdfast <holdfast@example.org>`.
    from: String,
    /// How TLS begins; left out it is STARTTLS, and none at a loopback address.
    tls: Option<Begin>,
    /// Who signs in to the server.
    username: Option<String>,
    /// His password, in a file that only the node can read.
    password_file: Option<PathBuf>,
    /// Roots that the server is checked against, in PEM, in place of the web's.
    ca_file: Option<PathBuf>,
}

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Begin {
    /// After STARTTLS.
    StartTls,
    /// At once.
    Implicit,
}

/// Why mail cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailConfigError {
    /// Not a sender.
    #[error("mail.from is no address such as Holdfast <holdfast@example.org>")]
    From(#[source] lettre::address::AddressError),
    /// One without the other.
    #[error("mail.username and mail.password_file belong together")]
    Credentials,
    /// The password.
    #[error("mail.password_file")]
    Password(#[source] SecretFileError),
    /// Not a password.
    #[error("mail.password_file is not text")]
    PasswordText,
    /// The roots.
    #[error("mail.ca_file {file}")]
    Roots {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// TLS.
    #[error("TLS to the mail server cannot be set up")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Sends over one connection for each mail: there are few.
pub struct SmtpMailer {
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl SmtpMailer {
    /// Reads what the configuration points to. Nobody is dialed yet.
    ///
    /// # Errors
    /// See [`MailConfigError`].
    pub fn open(config: &MailConfig) -> Result<Self, MailConfigError> {
        let MailConfig { server, port, from, tls: _, username, password_file, ca_file: _ } = config;
        let from = from.parse().map_err(MailConfigError::From)?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server)
            .port(*port)
            .timeout(Some(TIMEOUT))
            .tls(tls(config)?);
        match (username, password_file) {
            (None, None) => {}
            (Some(user), Some(file)) => {
                let password = read_secret(file).map_err(MailConfigError::Password)?;
                let password = std::str::from_utf8(&password).map_err(|_| MailConfigError::PasswordText)?;
                let password = password.trim_end_matches(['\r', '\n']).to_owned();
                builder = builder.credentials(Credentials::new(user.clone(), password));
            }
            _ => return Err(MailConfigError::Credentials),
        }
        Ok(Self { from, transport: builder.build() })
    }
}

/// Plain only to this machine; a name may lead anywhere, so it must be an address.
fn tls(config: &MailConfig) -> Result<Tls, MailConfigError> {
    let here = config.server.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let begin = match config.tls {
        None if here => return Ok(Tls::None),
        begin => begin.unwrap_or(Begin::StartTls),
    };
    let mut parameters = TlsParameters::builder(config.server.clone());
    if let Some(file) = &config.ca_file {
        let roots = |source| MailConfigError::Roots { file: file.clone(), source };
        let pem = std::fs::read(file).map_err(roots)?;
        let root = Certificate::from_pem(&pem).map_err(MailConfigError::Tls)?;
        parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(root);
    }
    let parameters = parameters.build_rustls().map_err(MailConfigError::Tls)?;
    Ok(match begin {
        Begin::StartTls => Tls::Required(parameters),
        Begin::Implicit => Tls::Wrapper(parameters),
    })
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: Mail) -> Result<(), MailError> {
        let Mail { to, subject, text } = mail;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to.as_str().parse().map_err(|_| MailError("the address is none".to_owned()))?)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text.to_string())
            .map_err(|_| MailError("the mail cannot be written".to_owned()))?;
        let sent = tokio::time::timeout(TIMEOUT, self.transport.send(message)).await;
        match sent.map_err(|_| MailError("no answer in time".to_owned()))? {
            Ok(_) => Ok(()),
            Err(error) => Err(MailError(what(&error))),
        }
    }
}

/// What went wrong, without what the server said: that may repeat the address.
fn what(error: &lettre::transport::smtp::Error) -> String {
    let code = error.status().map(|code| format!(", code {code}")).unwrap_or_default();
    let kind = match error {
        error if error.is_tls() => "TLS failed",
        error if error.is_timeout() => "no answer in time",
        error if error.is_permanent() => "refused for good",
        error if error.is_transient() => "refused for now",
        error if error.is_client() => "it lacks what is needed, such as STARTTLS",
        _ => "not reached",
    };
    format!("{kind}{code}")
}

#[cfg(test)]
mod tests;
