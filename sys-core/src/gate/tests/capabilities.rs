//! What callers are told of what they may do.

use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast_domain::ProjectId;
use holdfast_proto::module::v1::Extent;

use super::*;
use crate::caller::Caller;

fn caller() -> Caller {
    let home = Home { account: ANN, quota_bytes: 5 };
    Caller::Client { client: ClientId::new([3; 16]), home }
}

/// Extents of what members do, and the paths of the open screens, for a standing in [`ORG`] or, without one, at home.
async fn told(role: Option<Option<Role>>) -> (Vec<Extent>, Vec<String>) {
    let desk = desk();
    let home = role.map(|role| {
        desk.hold(role);
        ORG
    });
    let gates = Gates::new(&rules(), vec![gated(POLICIES, &desk.homes, &desk.roles)]).unwrap();
    let route = Route { home: home.map(Into::into), ..Route::default() };
    let reply = gates.capabilities(&caller(), &route).await.unwrap();
    assert_eq!(desk.homes.0.lock().unwrap().len(), 0, "no home was opened");
    let [module] = reply.modules.as_slice() else { panic!("{reply:?}") };
    assert_eq!(module.module, "notes");
    // Anybody knocks.
    let (knocking, others): (Vec<_>, Vec<_>) = module.actions.iter().partition(|told| told.action == "knock");
    assert_eq!(knocking.len(), 1);
    let names: Vec<_> = others.iter().map(|told| format!("{}.{}", told.entity, told.action)).collect();
    assert_eq!(names, ["Note.get", "Note.watch"]);
    let extents = others.iter().map(|told| told.extent()).collect();
    (extents, reply.screens.into_iter().map(|screen| screen.path).collect())
}

#[tokio::test]
async fn owners_and_admins_are_told_always_authors_rows_and_others_never() {
    let all = || vec!["/notes".to_owned(), "/notes/{id}".to_owned()];
    assert_eq!(told(None).await, (vec![Extent::Always; 2], all()));
    assert_eq!(told(Some(Some(Role::Admin))).await, (vec![Extent::Always; 2], all()));
    assert_eq!(told(Some(Some(Role::User))).await, (vec![Extent::Rows; 2], all()));
    assert_eq!(told(Some(Some(Role::Guest))).await, (vec![Extent::Never; 2], vec![]));
}

#[tokio::test]
async fn a_stranger_is_told_never_and_shown_no_screen() {
    assert_eq!(told(Some(None)).await, (vec![Extent::Never; 2], vec![]));
}

#[tokio::test]
async fn callers_without_a_home_and_homes_of_nobody_are_refused() {
    let gates = Gates::new(&rules(), vec![gated(POLICIES, &Arc::default(), &Arc::default())]).unwrap();
    let refused = gates.capabilities(&Caller::Anonymous, &Route::default()).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::NotPermitted);
    let nobody = Route { home: Some(Default::default()), ..Route::default() };
    assert_eq!(gates.capabilities(&caller(), &nobody).await.unwrap_err().reason(), Reason::Malformed);
}

/// A member of one project, who counts how often he is asked about.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl StandingSource for Counting {
    async fn standing(&self, _: Option<AccountId>, _: HomeId, _: RouteInfo) -> Result<HomeStanding, Refusal> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let mut standing = Standing::default();
        standing.hold(Held::Project(ProjectId::new([4; 16])), Role::Admin);
        Ok(HomeStanding { standing, quota_bytes: 9 })
    }
}

#[tokio::test]
async fn modules_that_share_a_source_ask_it_once() {
    let others = PROTO.replace("notes", "others");
    let sets = [("notes.proto", PROTO), ("others.proto", &others)]
        .map(|(name, text)| crate::rules::tests::compiled(name, text));
    let [one, other] = &sets;
    let rules = RuleTable::from_descriptors(&[holdfast_proto::DESCRIPTORS, one, other]).unwrap();
    let source = Arc::new(Counting::default());
    let gated = |module, policies| Gated {
        module,
        policies,
        host: Arc::new(Homes::default()),
        standings: Arc::<Counting>::clone(&source),
    };
    let policies = POLICIES.replace("notes::", "others::").leak();
    let gates = Gates::new(&rules, vec![gated("notes", POLICIES), gated("others", policies)]).unwrap();
    let route = Route { home: Some(ORG.into()), ..Route::default() };
    let reply = gates.capabilities(&caller(), &route).await.unwrap();
    assert_eq!((reply.modules.len(), source.0.load(Ordering::Relaxed)), (2, 1));
}
