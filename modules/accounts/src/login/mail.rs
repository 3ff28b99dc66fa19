//! What is mailed, and through what.

use async_trait::async_trait;
use holdfast_domain::Reason;
use holdfast_sys_core::Refusal;
use zeroize::Zeroizing;

/// Longest address (RFC 5321, 4.5.3.1.3, without its brackets).
const MAX_ADDRESS_BYTES: usize = 254;

/// Hands mails over to a mail server. Implemented where the node is put together.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Returns when the server has taken the mail.
    ///
    /// # Errors
    /// [`MailError`]; it names neither address nor text.
    async fn send(&self, mail: Mail) -> Result<(), MailError>;
}

/// The server did not take a mail.
#[derive(Debug, thiserror::Error)]
#[error("the mail server did not take the mail: {0}")]
pub struct MailError(pub String);

/// One mail. It holds a code, so it has no `Debug`.
pub struct Mail {
    /// To whom.
    pub to: Address,
    /// What about.
    pub subject: &'static str,
    /// The text.
    pub text: Zeroizing<String>,
}

/// An address to which mail can be handed over: nothing in it can become a header or another recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// # Errors
    /// `Malformed` for what is no address.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let plain = |part: &str, also: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with('.')
                && !part.contains("..")
                && part.chars().all(|char| char.is_ascii_alphanumeric() || also.contains(char))
        };
        let fits = text.len() <= MAX_ADDRESS_BYTES
            && text.split_once('@').is_some_and(|(local, domain)| {
                local.len() <= 64
                    && plain(local, ".!#$%&'*+/=?^_`{|}~-")
                    && plain(domain, ".-")
                    && !domain.starts_with('-')
            });
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Refusal::new(Reason::Malformed).because("not an e-mail address"))
        }
    }
}

/// The mail with a code to verify an address.
pub(crate) fn verification(to: Address, code: &str) -> Mail {
    let text = format!(
        "Somebody, most likely you, gave this address for his Holdfast login.\n\n\
         To confirm that you read it, run\n\n    holdfast login verify NAME\n\n\
         with the name of your login, and enter this code within 24 hours:\n\n    {code}\n\n\
         If it was not you, there is nothing to do.\n"
    );
    Mail { to, subject: "Confirm your address", text: Zeroizing::new(text) }
}

/// The mail with a code to set a password.
pub(crate) fn reset(to: Address, code: &str) -> Mail {
    let text = format!(
        "Somebody, most likely you, asked to set a new password for your Holdfast login.\n\n\
         To do so, repeat the command that asked for this mail with `--with-code`,\n\
         and enter this code within 30 minutes:\n\n    {code}\n\n\
         Give it to nobody. If it was not you, there is nothing to do: your password stays as it is.\n"
    );
    Mail { to, subject: "Set a new password", text: Zeroizing::new(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_one_recipient_and_nothing_else() {
        for good in ["ann@example.org", "ann+holdfast@mail.example.org", "a.n.n@localhost", "o'hara@x-y.org"]
        {
            assert_eq!(Address::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "ann@@example.org",
            "ann@example.org\r\nBcc: all@example.org",
            "ann@example.org, bob@example.org",
            "<ann@example.org>",
            "Ann <ann@example.org>",
            "an n@example.org",
            ".ann@example.org",
            "ann@-x.org",
            "ann@.org",
            "a..b@x.org",
            "ann@exämple.org",
            &format!("{}@x.org", "a".repeat(65)),
            &format!("a@{}", "b".repeat(300)),
        ] {
            assert_eq!(Address::parse(bad).unwrap_err().reason(), Reason::Malformed, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_address_has_spaces_or_controls(text in "\\PC*|[a-z@. \r\n,<>-]*") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert!(address.as_str().chars().all(|char| char.is_ascii_graphic() && !"<>,;:\\\"()".contains(char)));
                prop_assert_eq!(address.as_str().matches('@').count(), 1);
            }
        }
    }
}
