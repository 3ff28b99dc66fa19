//! Sample callers: every role in every place and nobody at all, with and without a module server between. A net under [`crate::shape`], which decides on
//! the text alone.

use std::collections::BTreeMap;

use holdfast_domain::{AccountId, Check, ModuleSchema, ProjectId, Role, Standing};

use crate::{error::PolicyError, policies::Policies, subject::Subject};

/// Asks for the scope of every action for each sample caller.
pub(crate) fn ask(module: &ModuleSchema, policies: &Policies) -> Result<(), PolicyError> {
    let (standings, nobody) = (standings(), Standing::default());
    for (action, entity) in module.actions() {
        let check = Check { action: action.to_owned(), entity: entity.to_owned(), unfiltered: None };
        let account = Some(AccountId::new([0xa5; 16]));
        let members = standings.iter().map(|standing| (account, standing));
        for (account, standing) in members.chain([(None, &nobody)]) {
            for via in [None, Some("sample")] {
                let subject = Subject { account, standing, via };
                let _any = policies.scope(&subject, &check).map_err(|source| PolicyError::Sample {
                    action: action.to_owned(),
                    entity: entity.to_owned(),
                    source,
                })?;
            }
        }
    }
    Ok(())
}

fn standings() -> Vec<Standing> {
    let roles = || [None].into_iter().chain(Role::ALL.map(Some));
    let mut all = Vec::new();
    for owner in [false, true] {
        for role in roles() {
            for in_projects in roles() {
                let projects = in_projects.map(|role| {
                    BTreeMap::from([(ProjectId::new([1; 16]), role), (ProjectId::new([2; 16]), Role::Guest)])
                });
                all.push(Standing { owner, role, projects: projects.unwrap_or_default() });
            }
        }
    }
    all
}
