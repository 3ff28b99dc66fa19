//! One call through its module's gate.

use std::{sync::Arc, time::Duration};

use holdfast_authz::Scope;
use holdfast_domain::{
    AccountId, Check, ClientId, CommandId, GroupId, Home, HomeId, MapEpoch, MethodRule, Reason, Standing,
};
use holdfast_proto::module::v1::Route;

use super::{
    Context, Gates, HomeAccess,
    context::Bound,
    gates::Gate,
    scopes::Ruled,
    standing::{HomeStanding, standing_in},
};
use crate::{
    caller::Caller,
    errors::Refusal,
    limits::MAX_STALENESS,
    module::{Freshness, RouteInfo},
    query::Binding,
    rules::Method,
};

/// Where a request leads, read off its first message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) route: RouteInfo,
    /// `None` for the caller's own.
    home: Option<HomeId>,
    command: Option<CommandId>,
}

/// What the policies say of one call.
struct Decided<'a> {
    gate: &'a Arc<Gate>,
    check: &'a Check,
    account: Option<AccountId>,
    access: HomeAccess,
    standing: Standing,
    ruled: Ruled,
}

/// A call that the gate does not let through.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) refusal: Refusal,
    /// The policies that forbid it, if it got as far as being decided by some.
    pub(crate) policies: Option<Arc<str>>,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, policies: None }
    }
}

impl Gates {
    /// Decides one call of a method under a check, and opens what it may touch.
    ///
    /// # Errors
    /// `NotPermitted` when no row may be touched; `Malformed` routes; what the home's host and the standings say.
    pub(crate) async fn open(
        &self,
        caller: &Caller,
        method: &Method,
        route: &Route,
    ) -> Result<Context, Denied> {
        let way = Way::try_from(route)?;
        let Decided { gate, check, account, access, standing, ruled } =
            self.decide(caller, method, way).await?;
        let partition = gate.host.partition(&access, way.route).await?;
        gate.migrations.ready(&*partition).await?;
        let binding = Binding::new(partition, caller.clone(), &gate.module.name, check.clone());
        let (gate, command) = (Arc::clone(gate), way.command);
        let Ruled { scope, policies } = ruled;
        Ok(Context(Arc::new(Bound { gate, account, standing, command, scope, policies, binding })))
    }

    /// Whether a call that was let in is decided the same way now.
    ///
    /// # Errors
    /// `NotPermitted` when it would be refused, `NotReady` when it would touch other rows: the caller comes again. Also when nobody can say
    /// how the caller stands: whoever is cut off does not hear of changes.
    pub(crate) async fn still(
        &self,
        caller: &Caller,
        method: &Method,
        route: &Route,
        before: &Context,
    ) -> Result<(), Refusal> {
        let now = self.decide(caller, method, Way::try_from(route)?).await;
        let now = now.map_err(|denied| denied.refusal)?;
        if now.ruled.scope == before.0.scope {
            Ok(())
        } else {
            Err(Refusal::new(Reason::NotReady).because("the caller's rights have changed"))
        }
    }

    async fn decide<'a>(
        &'a self,
        caller: &Caller,
        method: &'a Method,
        way: Way,
    ) -> Result<Decided<'a>, Denied> {
        let (gate, check) = self.of(method)?;
        let asking = Asking::of(caller)?;
        let home = way.home_of(asking.own)?;
        let HomeStanding { standing, quota_bytes } =
            standing_in(&*gate.standings, asking.own, home, way.route).await?;
        let account = asking.own.map(|own| own.account);
        let ruled = gate.rule(account, &standing, check)?;
        if ruled.scope == Scope::Never {
            let (refusal, policies) = (Reason::NotPermitted.into(), Some(ruled.policies));
            return Err(Denied { refusal, policies });
        }
        let access = HomeAccess::granted(asking.client, home, quota_bytes);
        Ok(Decided { gate, check, account, access, standing, ruled })
    }

    fn of<'a>(&'a self, method: &'a Method) -> Result<(&'a Arc<Gate>, &'a Check), Refusal> {
        let module = method.module.as_ref().map(|module| module.name.as_str());
        match (module.and_then(|module| self.0.get(module)), &method.rule) {
            (Some(gate), MethodRule::Check(check)) => Ok((gate, check)),
            // Every check has its gate, or the server would not have started.
            _ => Err(Refusal::new(Reason::Internal).because("a check without a gate")),
        }
    }
}

/// Who asks: a client, or anybody where the guard lets anybody through.
struct Asking<'a> {
    client: ClientId,
    own: Option<&'a Home>,
}

impl<'a> Asking<'a> {
    /// # Errors
    /// `NotPermitted` for machines and operators: modules are not for them.
    fn of(caller: &'a Caller) -> Result<Self, Refusal> {
        if *caller == Caller::Anonymous {
            return Ok(Self { client: HomeAccess::NOBODY, own: None });
        }
        let (client, own) = caller.client()?;
        Ok(Self { client, own: Some(own) })
    }
}

impl Gate {
    /// What a caller may do this to, and why.
    pub(super) fn rule(
        &self,
        account: Option<AccountId>,
        standing: &Standing,
        check: &Check,
    ) -> Result<Ruled, Refusal> {
        self.scopes.of(account, standing, check).map_err(|error| {
            tracing::error!(module = self.module.name, error = %holdfast_domain::causes(&error), "no exact scope");
            Refusal::new(Reason::Internal).because(error)
        })
    }
}

impl Way {
    /// Whose home a caller means, whose own is this.
    ///
    /// # Errors
    /// `Malformed` when it is nobody's.
    pub(super) fn home_of(&self, own: Option<&Home>) -> Result<HomeId, Refusal> {
        let home = self.home.or_else(|| own.map(|own| own.account.into()));
        home.ok_or_else(|| Refusal::new(Reason::Malformed).because("a caller without a home names none"))
    }
}

impl TryFrom<&Route> for Way {
    type Error = Refusal;

    fn try_from(route: &Route) -> Result<Self, Refusal> {
        let Route { map_epoch, group, command_id, home, max_staleness_ms } = route;
        let malformed = |detail: &dyn std::fmt::Display| Refusal::new(Reason::Malformed).because(detail);
        let home = home.as_ref().map(HomeId::try_from).transpose().map_err(|error| malformed(&error))?;
        let command = match command_id.as_ref() {
            [] => None,
            bytes => Some(CommandId::try_from(bytes).map_err(|error| malformed(&error))?),
        };
        let freshness = match Duration::from_millis((*max_staleness_ms).into()) {
            Duration::ZERO => Freshness::Newest,
            within if within <= MAX_STALENESS => Freshness::Within(within),
            _ => return Err(malformed(&"a read may not be that stale")),
        };
        let route = RouteInfo { map_epoch: MapEpoch(*map_epoch), group: GroupId(*group), freshness };
        Ok(Self { route, home, command })
    }
}
