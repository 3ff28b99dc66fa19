//! A list of 100 rows out of 100,000, for a caller who may see no others and for one who may see all of them.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use holdfast_accounts_api::{
    Place,
    v1::{ListMembersRequest, organisations_client::OrganisationsClient},
};
use holdfast_client::organisations::{self, Organisation};
use holdfast_domain::{AccountId, ProjectId, Role};
use holdfast_keys::random_array;
use tonic::transport::Channel;

use super::Setting;
use crate::{
    cluster::Account,
    figure::{Aim, Figure},
    measure::{load, median},
};

/// Rows that are listed.
const LISTED: usize = 100;

/// Rows that are not: so many accounts with a role in each of so many other projects.
const OTHER_PROJECTS: usize = 16;
const OTHER_ACCOUNTS: usize = 6_250;

/// Turns that each listing takes.
const TURNS: u32 = 9;

/// Requests under way while the rows are made.
const AT_ONCE: usize = 32;

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let span = setting.span;
    let running = setting.cluster()?;
    let runtime = running.runtime.handle().clone();
    let [owner, member, ..] = running.accounts(2)? else { anyhow::bail!("too few clients") };
    let (ours, reference) = runtime.block_on(async {
        let organisation = owner.client.organisation(organisations::new_id()?);
        let project = fill(&organisation, member.home).await?;
        let everything = Lists::new(member, &organisation, String::new()).await?;
        let named = Lists::new(owner, &organisation, Place::Project(project).to_string()).await?;
        compare(span, &everything, &named).await
    })?;
    let figure = Figure::new("list of 100 rows out of 100,000 by a row filter", "ms", ours)
        .against(reference, "the same list by its key, without a filter")
        .aiming(Aim::RatioAtMost(1.3));
    Ok(vec![figure])
}

/// Milliseconds of both, the median of turns.
async fn compare(span: Duration, ours: &Lists, reference: &Lists) -> anyhow::Result<(f64, f64)> {
    let turn = span / (2 * TURNS);
    let (mut times, mut floor) = (Vec::new(), Vec::new());
    let _warm = (ours.time(turn).await?, reference.time(turn).await?);
    for _ in 0..TURNS {
        times.push(ours.time(turn).await?);
        floor.push(reference.time(turn).await?);
    }
    Ok((median(times), median(floor)))
}

/// Makes the rows; the member is a guest in the project that is given back, and nowhere else.
async fn fill(organisation: &Organisation, member: AccountId) -> anyhow::Result<ProjectId> {
    organisation.create("bench").await?;
    let project = organisation.create_project("listed").await?.id;
    let mut others = Vec::new();
    for number in 0..OTHER_PROJECTS {
        others.push((
            Place::Project(organisation.create_project(&format!("other {number}")).await?.id),
            Role::Guest,
        ));
    }
    let listed = [(Place::Project(project), Role::Guest)];
    let strangers = (1..LISTED).map(|_| Ok((account()?, &listed[..])));
    let rest = (0..OTHER_ACCOUNTS).map(|_| Ok((account()?, &others[..])));
    let all = strangers.chain(rest).chain([Ok((member, &listed[..]))]);
    stream::iter(all)
        .map(|row: anyhow::Result<_>| async move {
            let (account, roles) = row?;
            organisation.put_member(account, roles).await.context("making rows")?;
            anyhow::Ok(())
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(project)
}

fn account() -> anyhow::Result<AccountId> {
    Ok(AccountId::new(random_array()?))
}

/// One caller's listing, over a connection of its own.
struct Lists {
    client: OrganisationsClient<Channel>,
    request: ListMembersRequest,
}

impl Lists {
    async fn new(account: &Account, organisation: &Organisation, scope: String) -> anyhow::Result<Self> {
        let (client, route) = account.organisation(organisation.id()).await?;
        let limit = u32::try_from(LISTED)?;
        let request = ListMembersRequest { route: Some(route), scope, cursor: Bytes::new(), limit };
        Ok(Self { client, request })
    }

    /// Milliseconds that it takes, the median of as many as there is time for.
    async fn time(&self, span: Duration) -> anyhow::Result<f64> {
        Ok(load::run(1, span, |_| self.list()).await?.percentile(50))
    }

    async fn list(&self) -> anyhow::Result<()> {
        let reply = self.client.clone().list_members(self.request.clone()).await.context("a listing")?;
        let rows = reply.into_inner().memberships.len();
        anyhow::ensure!(rows == LISTED, "{rows} rows, not {LISTED}");
        Ok(())
    }
}
