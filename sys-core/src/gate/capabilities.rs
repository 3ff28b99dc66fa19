//! What a caller may do, told by the gates that will decide it.

use std::sync::Arc;

use holdfast_authz::Scope;
use holdfast_domain::{AccountId, Check, Home, HomeId, Reason, ScreenSchema, Standing};
use holdfast_proto::module::v1::{
    Capability, Extent, GetCapabilitiesReply, GetCapabilitiesRequest, ModuleCapabilities, OpenScreen, Route,
    capabilities_server::{Capabilities, CapabilitiesServer},
};
use tonic::{Request, Response, Status};

use super::{
    Gates, StandingSource,
    gates::Gate,
    open::Way,
    standing::{HomeStanding, standing_in},
};
use crate::{caller::Caller, errors::Refusal, module::RouteInfo};

/// The service over all gates of a server. It knows no rows and opens no home.
pub(crate) struct CapabilitiesService(Gates);

impl CapabilitiesService {
    pub(crate) fn server(gates: Gates) -> CapabilitiesServer<Self> {
        CapabilitiesServer::new(Self(gates))
    }
}

#[tonic::async_trait]
impl Capabilities for CapabilitiesService {
    async fn get(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesReply>, Status> {
        let caller = Caller::of(&request)?;
        let route = request.get_ref().route.as_ref();
        let route = route.ok_or(Refusal::new(Reason::Malformed).because("the request has no route"))?;
        Ok(Response::new(self.0.capabilities(caller, route).await?))
    }
}

impl Gates {
    /// Every action of every module, and the screens that they open.
    pub(super) async fn capabilities(
        &self,
        caller: &Caller,
        route: &Route,
    ) -> Result<GetCapabilitiesReply, Refusal> {
        let (_, own) = caller.client()?;
        let way = Way::try_from(route)?;
        let mut standings =
            Standings { own, home: way.home_of(Some(own))?, route: way.route, known: Vec::new() };
        let (mut modules, mut screens) = (Vec::new(), Vec::new());
        for gate in self.0.values() {
            let HomeStanding { standing, quota_bytes: _ } = standings.of(&gate.standings).await?;
            modules.push(gate.told(own.account, &standing)?);
            screens.extend(gate.open_screens(own.account, &standing)?);
        }
        Ok(GetCapabilitiesReply { modules, screens })
    }
}

/// The caller's standing by each source, asked once.
struct Standings<'a> {
    own: &'a Home,
    home: HomeId,
    route: RouteInfo,
    known: Vec<(&'a Arc<dyn StandingSource>, HomeStanding)>,
}

impl<'a> Standings<'a> {
    async fn of(&mut self, source: &'a Arc<dyn StandingSource>) -> Result<HomeStanding, Refusal> {
        if let Some((_, known)) = self.known.iter().find(|(of, _)| Arc::ptr_eq(of, source)) {
            return Ok(known.clone());
        }
        let standing = standing_in(&**source, Some(self.own), self.home, self.route).await?;
        self.known.push((source, standing.clone()));
        Ok(standing)
    }
}

impl Gate {
    fn told(&self, account: AccountId, standing: &Standing) -> Result<ModuleCapabilities, Refusal> {
        let told = |(action, entity): (&str, &str)| {
            let check = Check { action: action.to_owned(), entity: entity.to_owned(), unfiltered: None };
            let extent = extent(&self.rule(Some(account), standing, &check)?.scope).into();
            Ok(Capability { entity: check.entity, action: check.action, extent })
        };
        let actions = self.module.actions().into_iter().map(told).collect::<Result<_, Refusal>>()?;
        Ok(ModuleCapabilities { module: self.module.name.clone(), actions })
    }

    fn open_screens(&self, account: AccountId, standing: &Standing) -> Result<Vec<OpenScreen>, Refusal> {
        let mut open = Vec::new();
        for ScreenSchema { path, title, needs, navigation } in &self.module.screens {
            if self.rule(Some(account), standing, needs)?.scope == Scope::Never {
                continue;
            }
            open.push(OpenScreen {
                path: path.to_string(),
                title: title.clone(),
                module: self.module.name.clone(),
                entity: needs.entity.clone(),
                action: needs.action.clone(),
                navigation: *navigation,
            });
        }
        Ok(open)
    }
}

const fn extent(scope: &Scope) -> Extent {
    match scope {
        Scope::Never => Extent::Never,
        Scope::Rows(_) => Extent::Rows,
        Scope::Always => Extent::Always,
    }
}
