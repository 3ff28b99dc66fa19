//! The TPM as its thread sees it: the library's context, and the bookkeeping that keeps its few slots free.
//!
//! A bare TPM has three slots for objects and three for sessions. So whatever a job loads it [`Device::track`]s, and
//! `perform` flushes it when the job ends, well or badly. After a failure everything is flushed and asked for again;
//! if not even that works, the context is dropped and the next job connects anew (TPM restarted, cable pulled).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use tss_esapi::constants::CapabilityType;
use tss_esapi::handles::{KeyHandle, ObjectHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::CapabilityData;
use tss_esapi::{Context, TctiNameConf};

use crate::error::{JobError, TpmError};
use crate::limits::MAX_STALE_HANDLES;
use crate::provision::Provisioned;

const TRANSIENT_FIRST: u32 = 0x8000_0000;
const LOADED_SESSION_FIRST: u32 = 0x0200_0000;

pub(crate) struct Device {
    address: TctiNameConf,
    context: Option<Context>,
    tracked: Vec<ObjectHandle>,
    persistent: BTreeMap<u32, KeyHandle>,
    /// The loaded TLS key; kept across jobs, because it signs every handshake.
    pub(crate) tls: Option<KeyHandle>,
    pub(crate) provisioned: Option<Provisioned>,
}

impl Device {
    pub(crate) fn new(tcti: &str) -> Result<Self, TpmError> {
        // The library drops `path=` without a word and connects to the default port, where another TPM may listen.
        let address = match TctiNameConf::from_str(tcti) {
            Ok(address) if !tcti.contains("path=") => address,
            _ => return Err(TpmError::Address { tcti: tcti.to_owned() }),
        };
        Ok(Self {
            address,
            context: None,
            tracked: Vec::new(),
            persistent: BTreeMap::new(),
            tls: None,
            provisioned: None,
        })
    }

    /// Runs one job, then leaves the TPM as it was found.
    pub(crate) fn perform<T>(
        &mut self,
        operation: &'static str,
        job: impl FnOnce(&mut Self) -> Result<T, JobError>,
    ) -> Result<T, TpmError> {
        if let Err(source) = self.connect() {
            return Err(TpmError::Unreachable { operation, source: source.into() });
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| job(self)));
        let clean = self.flush_tracked().is_ok() && matches!(outcome, Ok(Ok(_)));
        if !clean {
            self.recover();
        }
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(JobError::Known(error))) => Err(error),
            Ok(Err(JobError::Tss(source))) if self.context.is_some() => {
                Err(TpmError::Refused { operation, source: source.into() })
            }
            Ok(Err(JobError::Tss(source))) => Err(TpmError::Unreachable { operation, source: source.into() }),
            Err(_panic) => Err(TpmError::Fault { operation }),
        }
    }

    pub(crate) fn provisioned(&self) -> Result<&Provisioned, TpmError> {
        self.provisioned.as_ref().ok_or(TpmError::NotProvisioned)
    }

    /// Flushes `handle` when the job ends.
    pub(crate) fn track(&mut self, handle: impl Into<ObjectHandle>) {
        self.tracked.push(handle.into());
    }

    /// Flushes a tracked handle now, to free its slot for the next step of the job.
    pub(crate) fn release(&mut self, handle: impl Into<ObjectHandle>) -> Result<(), JobError> {
        let handle = handle.into();
        self.tracked.retain(|tracked| *tracked != handle);
        self.bare(|context| context.flush_context(handle))
    }

    /// Keeps a tracked handle loaded past the end of the job.
    pub(crate) fn keep(&mut self, handle: impl Into<ObjectHandle>) {
        let handle = handle.into();
        self.tracked.retain(|tracked| *tracked != handle);
    }

    /// Runs a command without sessions.
    pub(crate) fn bare<T>(
        &mut self,
        command: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, JobError> {
        self.with_sessions((None, None, None), command)
    }

    /// Runs a command with one empty password. (The library's "null auth" helper would start an HMAC session instead,
    /// ten times slower.)
    pub(crate) fn password<T>(
        &mut self,
        command: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, JobError> {
        self.with_sessions((Some(AuthSession::Password), None, None), command)
    }

    /// Runs a command with these sessions.
    pub(crate) fn with_sessions<T>(
        &mut self,
        sessions: (Option<AuthSession>, Option<AuthSession>, Option<AuthSession>),
        command: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, JobError> {
        let context = self.context.as_mut().ok_or(TpmError::Stopped)?;
        Ok(context.execute_with_sessions(sessions, command)?)
    }

    /// The key at a persistent handle, `None` if the handle is free.
    pub(crate) fn persistent(&mut self, handle: u32) -> Result<Option<KeyHandle>, JobError> {
        if let Some(key) = self.persistent.get(&handle) {
            return Ok(Some(*key));
        }
        if self.handles_from(handle, 1)?.first() != Some(&handle) {
            return Ok(None);
        }
        let address = TpmHandle::Persistent(PersistentTpmHandle::new(handle)?);
        let key = KeyHandle::from(self.bare(|context| context.tr_from_tpm_public(address))?);
        self.persistent.insert(handle, key);
        Ok(Some(key))
    }

    /// Raw handles in use from `first` on, at most `count`.
    pub(crate) fn handles_from(&mut self, first: u32, count: u32) -> Result<Vec<u32>, JobError> {
        let (data, _more) =
            self.bare(|context| context.get_capability(CapabilityType::Handles, first, count))?;
        match data {
            CapabilityData::Handles(handles) => Ok(handles.into_inner().into_iter().map(u32::from).collect()),
            _ => Err(JobError::malformed("answer to GetCapability")),
        }
    }

    fn connect(&mut self) -> tss_esapi::Result<()> {
        if self.context.is_none() {
            self.context = Some(Context::new(self.address.clone())?);
            self.recover();
        }
        // `recover` drops a context that does not answer.
        match self.context {
            Some(_) => Ok(()),
            None => Err(tss_esapi::Error::WrapperError(tss_esapi::WrapperErrorKind::InvalidHandleState)),
        }
    }

    /// Flushes what the job loaded so far: at its end, or between steps that together would need too many slots.
    pub(crate) fn flush_tracked(&mut self) -> Result<(), JobError> {
        // Newest first: sessions and children before what they hang on.
        let handles: Vec<_> = std::mem::take(&mut self.tracked).into_iter().rev().collect();
        let mut result = Ok(());
        for handle in handles {
            result = result.and(self.bare(|context| context.flush_context(handle)));
        }
        result
    }

    /// Forgets and flushes everything; drops the context when the TPM does not even do that.
    fn recover(&mut self) {
        self.tracked.clear();
        self.persistent.clear();
        self.tls = None;
        if self.flush_everything().is_err() {
            self.context = None;
        }
    }

    fn flush_everything(&mut self) -> Result<(), JobError> {
        for first in [TRANSIENT_FIRST, LOADED_SESSION_FIRST] {
            for raw in self.handles_from(first, MAX_STALE_HANDLES)? {
                let handle = TpmHandle::try_from(raw)?;
                let object = self.bare(|context| context.tr_from_tpm_public(handle))?;
                // For policy sessions the library flushes, then complains about its own bookkeeping: what counts is
                // the check below.
                drop(self.bare(|context| context.flush_context(object)));
            }
            if !self.handles_from(first, 1)?.is_empty() {
                return Err(JobError::malformed("handles that cannot be flushed"));
            }
        }
        Ok(())
    }
}
