//! Rows for whoever shows a grant.

use std::collections::BTreeMap;

use holdfast_domain::Reason;
use holdfast_proto::data::v1::{self as pb, data_server::Data};
use tonic::{Request, Response, Status};

use super::{ModuleServer, wire};
use crate::{
    errors::Refusal,
    gate::Context,
    limits::MAX_DATA_ROWS,
    query::{Committed, MessageSchema, RawRow, Rows},
};

/// The Data service of one module server.
pub(super) struct DataService(pub(super) ModuleServer);

/// A table, and the kind of its rows.
struct Opened {
    kind: &'static MessageSchema,
    rows: Rows,
}

#[tonic::async_trait]
impl Data for DataService {
    async fn get(&self, request: Request<pb::GetRequest>) -> Result<Response<pb::GetReply>, Status> {
        let pb::GetRequest { grant, table, key, secrets } = request.into_inner();
        let reply = self.granted(&grant, "get", async |context| {
            let Opened { kind, rows } = self.open(&context, table)?;
            let row = row(kind, rows.get(&wire::key(key)?).await?, secrets)?;
            Ok(pb::GetReply { row: Some(row) })
        });
        Ok(Response::new(reply.await?))
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListReply>, Status> {
        let pb::ListRequest { grant, table, by, cursor, limit, secrets } = request.into_inner();
        let reply = self.granted(&grant, "list", async |context| {
            let Opened { kind, rows } = self.open(&context, table)?;
            let limit = match usize::try_from(limit) {
                Ok(limit @ 1..=MAX_DATA_ROWS) => limit,
                _ => MAX_DATA_ROWS,
            };
            let (rows, next) = rows.list(&wire::by(by)?, wire::cursor(&cursor).as_ref(), limit).await?;
            let rows = rows.into_iter().map(|found| row(kind, found, secrets));
            let cursor = next.map(|next| next.0).unwrap_or_default().into();
            Ok(pb::ListReply { rows: rows.collect::<Result<_, _>>()?, cursor })
        });
        Ok(Response::new(reply.await?))
    }

    async fn commit(&self, request: Request<pb::CommitRequest>) -> Result<Response<pb::CommitReply>, Status> {
        let pb::CommitRequest { grant, changes } = request.into_inner();
        let reply = self.granted(&grant, "commit", async |context| {
            if changes.is_empty() {
                return Err(wire::malformed("a commit without changes"));
            }
            let (mut batch, mut tables) = (context.batch()?, BTreeMap::new());
            for pb::Change { table, change } in changes {
                let name = table.as_ref().map(|table| (table.entity.clone(), table.action.clone()));
                let opened = match tables.entry(name) {
                    std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
                    std::collections::btree_map::Entry::Vacant(free) => {
                        free.insert(self.open(&context, table)?)
                    }
                };
                batch.change(&opened.rows, wire::change(change)?)?;
            }
            Ok(pb::CommitReply { duplicate: batch.commit().await? == Committed::Duplicate })
        });
        Ok(Response::new(reply.await?))
    }
}

impl DataService {
    /// Does something under a grant. One that is not good is recorded: a module server that behaves shows none.
    async fn granted<T>(
        &self,
        grant: &str,
        method: &'static str,
        action: impl AsyncFnOnce(Context) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let done = match self.0.grants.find(grant) {
            Ok(live) => live.act(action).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = &done
            && matches!(refusal.reason(), Reason::GrantUnknown | Reason::NotPermitted | Reason::Malformed)
        {
            let (module, reason) = (self.0.name, refusal.reason().code());
            tracing::info!(target: "audit", decision = "deny", rule = "grant", module, method, reason);
        }
        done
    }

    /// A table of the module, bound to the grant's call.
    fn open(&self, context: &Context, table: Option<pb::Table>) -> Result<Opened, Refusal> {
        let pb::Table { entity, action } = table.unwrap_or_default();
        let (about, done) = context.check();
        let entity = if entity.is_empty() { about } else { &entity };
        // An action of another entity is that entity's own.
        let own = entity == about && (action.is_empty() || action == done);
        let kind = self.0.kinds.get(entity).copied();
        let kind = kind.ok_or_else(|| wire::malformed("no such entity of the module"))?;
        let rows = match (own, action.is_empty()) {
            (true, _) => context.rows(kind)?,
            // What another method may do for callers with an identity is not for those without.
            (false, false) if context.account().is_err() => return Err(Reason::NotPermitted.into()),
            (false, false) => context.rows_for(kind, &action)?,
            (false, true) => return Err(wire::malformed("another entity, and no action to it")),
        };
        Ok(Opened { kind, rows })
    }
}

fn row(kind: &MessageSchema, row: RawRow, secrets: bool) -> Result<pb::Row, Refusal> {
    let RawRow { value, version } = row;
    let shown = if secrets { Ok(value) } else { kind.redacted(&value) };
    let value = shown.map_err(|error| Refusal::new(Reason::Internal).because(error))?;
    Ok(pb::Row { value: value.into(), version: wire::encode_version(version).into() })
}
