//! The sessions of one server.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use holdfast_domain::{ClientId, Reason, UnixMs};

use super::{
    limits::{MAX_SESSIONS, MAX_SESSIONS_PER_CLIENT},
    live::Session,
    presented::SessionId,
};

#[derive(Default)]
pub(super) struct Table(Mutex<Rows>);

#[derive(Default)]
struct Rows {
    sessions: BTreeMap<SessionId, Arc<Session>>,
    ends: BTreeSet<(UnixMs, SessionId)>,
    /// Of each client, the oldest first.
    clients: BTreeMap<ClientId, VecDeque<SessionId>>,
}

impl Table {
    /// Adds a session; a client's oldest one ends when it has too many.
    pub(super) fn add(&self, session: Session, now: UnixMs) -> Result<(), Reason> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.forget_until(now);
        let own = rows.clients.get(&session.client);
        if let Some(oldest) = own.filter(|own| own.len() >= MAX_SESSIONS_PER_CLIENT).and_then(VecDeque::front)
        {
            let oldest = *oldest;
            rows.remove(&oldest);
        } else if rows.sessions.len() >= MAX_SESSIONS {
            return Err(Reason::Overloaded);
        }
        let (id, client) = (session.id, session.client);
        rows.ends.insert((session.end(), id));
        rows.clients.entry(client).or_default().push_back(id);
        rows.sessions.insert(id, Arc::new(session));
        Ok(())
    }

    /// A session that is not over.
    pub(super) fn find(&self, id: &SessionId, now: UnixMs) -> Result<Arc<Session>, Reason> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = rows.sessions.get(id).filter(|session| now < session.end());
        found.map(Arc::clone).ok_or(Reason::SessionUnknown)
    }

    /// Ends a session.
    pub(super) fn remove(&self, id: &SessionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Rows {
    fn forget_until(&mut self, now: UnixMs) {
        while let Some((_, id)) = self.ends.first().filter(|(end, _)| *end <= now) {
            let id = *id;
            self.remove(&id);
        }
    }

    fn remove(&mut self, id: &SessionId) {
        let Some(session) = self.sessions.remove(id) else { return };
        session.end_now();
        self.ends.remove(&(session.end(), *id));
        if let Some(own) = self.clients.get_mut(&session.client) {
            own.retain(|other| other != id);
            if own.is_empty() {
                self.clients.remove(&session.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_certs::Exporter;
    use holdfast_domain::SpiffeSubject;

    use super::*;
    use crate::{session::live::Bound, testing::identity};

    fn session(client: u8, number: usize, end: u64) -> Session {
        let client = ClientId::new([client; 16]);
        let mut identity = identity(SpiffeSubject::Client(client), None);
        identity.not_after = UnixMs(end);
        Session::new(id(number), client, Arc::new(identity), Bound::Connection(Exporter::new([0; 32])))
    }

    fn id(number: usize) -> SessionId {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&number.to_be_bytes());
        SessionId::of(&secret)
    }

    #[test]
    fn with_one_too_many_a_clients_oldest_ends_and_nobody_elses() {
        let table = Table::default();
        table.add(session(2, 1_000, 10), UnixMs(0)).unwrap();
        (0..=MAX_SESSIONS_PER_CLIENT).for_each(|number| {
            table.add(session(1, number, 10), UnixMs(0)).unwrap();
        });
        assert!(matches!(table.find(&id(0), UnixMs(0)), Err(Reason::SessionUnknown)));
        assert!(table.find(&id(1), UnixMs(0)).is_ok_and(|session| session.is_open()));
        assert!(table.find(&id(1_000), UnixMs(0)).is_ok());
    }

    #[test]
    fn what_is_over_is_not_found_and_not_kept() {
        let table = Table::default();
        table.add(session(1, 1, 10), UnixMs(0)).unwrap();
        let held = table.find(&id(1), UnixMs(9)).unwrap();
        assert!(table.find(&id(1), UnixMs(10)).is_err());
        table.add(session(2, 2, 30), UnixMs(10)).unwrap();
        let rows = table.0.lock().unwrap();
        assert_eq!((rows.sessions.len(), rows.ends.len(), rows.clients.len()), (1, 1, 1));
        assert!(!held.is_open(), "whoever holds it sees its end");
    }

    #[test]
    fn a_full_table_takes_no_stranger_and_goes_on_for_the_rest() {
        let table = Table::default();
        for number in 0..MAX_SESSIONS {
            let mut session = session(1, number, 10);
            let mut client = [0; 16];
            client[..8].copy_from_slice(&number.to_be_bytes());
            session.client = ClientId::new(client);
            table.add(session, UnixMs(0)).unwrap();
        }
        assert_eq!(table.add(session(1, MAX_SESSIONS, 10), UnixMs(0)), Err(Reason::Overloaded));
        assert!(table.find(&id(0), UnixMs(0)).is_ok());
        assert_eq!(table.add(session(1, MAX_SESSIONS, 20), UnixMs(10)), Ok(()), "room comes by itself");
    }
}
