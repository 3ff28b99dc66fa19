//! The engines under test.

use std::{path::Path, str::FromStr};

use holdfast_store::{
    Engine, EngineError, RedbEngine, SledEngine, WriteBehind,
    engine::{RedbOptions, SledOptions},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sled,
    Redb,
    /// Sled with writes kept in memory above it, as nodes have it.
    Behind,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Sled, Self::Redb, Self::Behind];

    pub(crate) fn open(self, path: &Path) -> Result<Box<dyn Engine>, EngineError> {
        self.open_with_reserve(path, 0)
    }

    pub(crate) fn open_with_reserve(
        self,
        path: &Path,
        reserve_bytes: u64,
    ) -> Result<Box<dyn Engine>, EngineError> {
        let cache_bytes = 32 * 1024 * 1024;
        let sled = SledOptions { cache_bytes, reserve_bytes, view_bytes: 4 * 1024 * 1024 };
        Ok(match self {
            Self::Sled => Box::new(SledEngine::open(path, &sled)?),
            Self::Behind => Box::new(WriteBehind::over(SledEngine::open(path, &sled)?).unwrap()),
            Self::Redb => {
                let options =
                    RedbOptions { cache_bytes: usize::try_from(cache_bytes).unwrap(), reserve_bytes };
                Box::new(RedbEngine::open(path, &options)?)
            }
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| format!("{kind:?}") == text).ok_or_else(|| text.to_owned())
    }
}
