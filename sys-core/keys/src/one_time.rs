//! Join tickets, invites, set-up tokens and recovery keys as people keep them and pass them on: one line of text in a secret file, the seed of an Ed25519 key.

use zeroize::Zeroizing;

use crate::{client::ClientKey, entropy::EntropyError, secret::Secret32};

/// What a one-time secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneTimeKind {
    /// Admits one machine.
    Ticket,
    /// Registers one client.
    Invite,
    /// Makes one account superadmin.
    SetupToken,
    /// Replaces all keys of an account, once.
    Recovery,
}

/// A text that is not the one-time secret it should be. Never says what the text was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {}: expected one line `{}` and 64 hex digits", .0.name(), .0.prefix())]
pub struct OneTimeError(OneTimeKind);

/// A ticket, an invite or the like; wiped when dropped. The seed itself is never sent: whoever holds it signs with its key.
pub struct OneTime {
    kind: OneTimeKind,
    seed: Secret32,
}

impl OneTimeKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Ticket => "holdfast-ticket-1:",
            Self::Invite => "holdfast-invite-1:",
            Self::SetupToken => "holdfast-setup-token-1:",
            Self::Recovery => "holdfast-recovery-1:",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ticket => "a join ticket",
            Self::Invite => "an invite",
            Self::SetupToken => "a set-up token",
            Self::Recovery => "an account's recovery key",
        }
    }
}

impl OneTime {
    /// A new random one.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate(kind: OneTimeKind) -> Result<Self, EntropyError> {
        Ok(Self { kind, seed: Secret32::generate()? })
    }

    /// Reads the text form; white space around it is ignored.
    ///
    /// # Errors
    /// [`OneTimeError`] for anything else than this kind's text.
    pub fn parse(kind: OneTimeKind, text: &[u8]) -> Result<Self, OneTimeError> {
        let error = || OneTimeError(kind);
        let digits = text.trim_ascii().strip_prefix(kind.prefix().as_bytes()).ok_or_else(error)?;
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, seed.as_mut_slice()).map_err(|_| error())?;
        Ok(Self { kind, seed: Secret32::from_slice(seed.as_slice()).map_err(|_| error())? })
    }

    /// The text form with a newline, for a secret file.
    pub fn expose_text(&self) -> Zeroizing<String> {
        let prefix = self.kind.prefix();
        let mut text = Zeroizing::new(String::with_capacity(prefix.len().saturating_add(65)));
        text.push_str(prefix);
        text.push_str(&Zeroizing::new(hex::encode(self.seed.expose_for_wrapping())));
        text.push('\n');
        text
    }

    /// The seed.
    pub fn seed(&self) -> &Secret32 {
        &self.seed
    }

    /// The key of the seed.
    pub fn key(&self) -> ClientKey {
        ClientKey::from_seed(&self.seed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ticket_reads_back_and_is_no_invite() {
        let ticket = OneTime::generate(OneTimeKind::Ticket).unwrap();
        let text = ticket.expose_text();
        let read = OneTime::parse(OneTimeKind::Ticket, text.as_bytes()).unwrap();
        assert_eq!(read.key().public(), ticket.key().public());
        assert!(OneTime::parse(OneTimeKind::Invite, text.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, digits in "[0-9a-f]{0,70}") {
            let _ = OneTime::parse(OneTimeKind::Ticket, &bytes);
            let text = format!("holdfast-invite-1:{digits}");
            prop_assert_eq!(OneTime::parse(OneTimeKind::Invite, text.as_bytes()).is_ok(), digits.len() == 64);
        }
    }
}
