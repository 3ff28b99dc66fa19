//! Waiting for what a cluster does in the background, with a line that says how far it is.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::{failure::Failure, progress::Bar, units::parse_span};
use crate::{Error, ErrorKind};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Wait {
    /// Wait until it is done, and show how far it is
    #[arg(long)]
    pub(super) wait: bool,
    /// How long to wait
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = parse_span)]
    wait_for: Duration,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Far {
    Done,
    /// Not yet; what a person would want to know of it.
    Going(String),
    /// It will never be done: somebody gave it up.
    Ended(String),
}

impl Wait {
    /// Looks until it is done. The registry may be away for a while: what was asked for goes on.
    pub(super) async fn until<F, Fut>(&self, what: &str, mut look: F) -> Result<(), Failure>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<Far, Error>>,
    {
        if !self.wait {
            return Ok(());
        }
        let (began, bar) = (Instant::now(), Bar::new(what));
        let mut last;
        loop {
            match look().await {
                Ok(Far::Done) => return Ok(()),
                Ok(Far::Ended(why)) => return Err(Failure::Ended(why)),
                Ok(Far::Going(how)) => {
                    bar.status(&how);
                    last = how;
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => last = error.to_string(),
                Err(error) => return Err(error.into()),
            }
            if began.elapsed() > self.wait_for {
                let waited = self.wait_for.as_secs();
                return Err(Failure::NotYet(format!(
                    "{what}: not done after {waited} s ({last}); it goes on: see `holdfast shard list`"
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// `37 %`.
pub(super) fn percent(done: u64, all: u64) -> String {
    let part = u128::from(done.min(all)) * 100;
    format!("{} %", part.checked_div(u128::from(all)).unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_nothing_is_all_of_it() {
        assert_eq!(percent(0, 0), "100 %");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100 %");
        assert_eq!(percent(9, 3), "100 %");
    }

    #[tokio::test]
    async fn it_ends_when_it_is_done_given_up_or_takes_too_long() {
        let wait = Wait { wait: true, wait_for: Duration::from_secs(3) };
        let mut looks = 0;
        let third = || {
            looks += 1;
            let far = if looks < 3 { Far::Going("x".into()) } else { Far::Done };
            async { Ok(far) }
        };
        wait.until("y", third).await.unwrap();
        let ended = wait.until("y", async || Ok(Far::Ended("z".into()))).await;
        assert!(matches!(ended, Err(Failure::Ended(why)) if why == "z"));
        let none = Wait { wait: false, wait_for: Duration::ZERO };
        none.until("y", async || panic!("nobody waits")).await.unwrap();
    }
}
