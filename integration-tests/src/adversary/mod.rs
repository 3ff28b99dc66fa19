//! Those who must be refused: a machine whose join messages are tampered with, a member that misuses its identity, and
//! people from another cluster.

pub mod insider;
pub mod join;
pub mod outsider;

/// What a call was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// It was refused; the reason code, or what else was said.
    Refused(String),
}

impl Answer {
    /// From a call's result.
    pub fn of<T>(result: Result<T, tonic::Status>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(status) => Self::Refused(reason(&status)),
        }
    }

    /// That it was refused with one of these reasons.
    ///
    /// # Errors
    /// It was done, or refused otherwise.
    pub fn expect(&self, reasons: &[&str]) -> anyhow::Result<()> {
        match self {
            Self::Refused(said) if reasons.iter().any(|reason| said.contains(reason)) => Ok(()),
            other => anyhow::bail!("expected a refusal with {reasons:?}, and got {other:?}"),
        }
    }
}

/// The stable reason of a refusal; without one, everything it says.
pub fn reason(status: &tonic::Status) -> String {
    let details = holdfast_proto::error_details::decode(status.details());
    details.map_or_else(|| format!("{status:?}"), |details| details.reason)
}
