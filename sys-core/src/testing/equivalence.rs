//! Filter ≡ decision, for one module's policies.

use std::collections::BTreeSet;

use holdfast_authz::{Policies, Scope, ScopeError, Subject, Verdict};
use holdfast_domain::{
    AccountId, Check, EntitySchema, FieldType, FieldValue, Fields, ModuleSchema, ProjectId, Role, Standing,
    causes,
};

/// Rows for each caller and action.
const ROWS: usize = 48;

const ME: AccountId = AccountId::new([0xe0; 16]);
const PROJECTS: [ProjectId; 2] = [ProjectId::new([1; 16]), ProjectId::new([2; 16])];

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    /// Rows that some caller may have: a policy text that permits nothing proves nothing.
    pub allowed: usize,
    /// Rows that some caller may not have.
    pub denied: usize,
}

/// Why the policies are not fit to be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotEquivalent {
    /// They do not compile.
    #[error("{0}")]
    Policies(String),
    /// They have no exact filter for a caller.
    #[error("no filter for {check:?} of {standing:?}: {error}")]
    Scope {
        /// What was asked.
        check: Check,
        /// Of whom.
        standing: Standing,
        /// Why.
        error: String,
    },
    /// A listing would show other rows than the policies allow.
    #[error(
        "for {check:?} of {standing:?}: the filter is {scope:?}, the decision is {decision:?}, the row {row:?}"
    )]
    Differ {
        /// What was asked.
        check: Check,
        /// Of whom.
        standing: Standing,
        /// The filter.
        scope: Scope,
        /// The decision.
        decision: Verdict,
        /// The row.
        row: Fields,
    },
}

/// Tries a module's policies: for each action, callers of every standing and rows made of the values that the policies name, of what the
/// caller is, and of others, a row passes the filter exactly if the decision for it is to allow. The rows are the same in each run.
///
/// # Errors
/// The first difference.
pub fn filter_is_decision(policies: &str, module: &ModuleSchema) -> Result<Compared, Box<NotEquivalent>> {
    let compiled = compile(policies, module)?;
    compare(&compiled, &compiled, policies, module)
}

fn compile(policies: &str, module: &ModuleSchema) -> Result<Policies, Box<NotEquivalent>> {
    Policies::compile(module, policies)
        .map_err(|error| NotEquivalent::Policies(causes(&error).to_string()).into())
}

/// Compares one engine's filters with one's decisions.
fn compare(
    filters: &Policies,
    decisions: &Policies,
    policies: &str,
    module: &ModuleSchema,
) -> Result<Compared, Box<NotEquivalent>> {
    let mut rows = Rows::naming(policies);
    let mut compared = Compared::default();
    for (action, entity) in module.actions() {
        let check = Check { action: action.to_owned(), entity: entity.to_owned(), unfiltered: None };
        let Some(entity) = module.entity(entity) else { continue };
        for standing in standings() {
            for via in [None, Some("another")] {
                let subject = Subject { account: Some(ME), standing: &standing, via };
                let scope = filters.scope(&subject, &check).map_err(|error: ScopeError| {
                    let error = causes(&error).to_string();
                    NotEquivalent::Scope { check: check.clone(), standing: standing.clone(), error }
                })?;
                for row in rows.of(entity) {
                    let decision = decisions.decide(&subject, &check, &row);
                    let allowed = decision != Verdict::Deny;
                    if scope.admits(&row) != allowed {
                        let (check, standing) = (check.clone(), standing.clone());
                        return Err(NotEquivalent::Differ { check, standing, scope, decision, row }.into());
                    }
                    compared.allowed += usize::from(allowed);
                    compared.denied += usize::from(!allowed);
                }
            }
        }
    }
    Ok(compared)
}

fn standings() -> Vec<Standing> {
    let roles = || [None].into_iter().chain(Role::ALL.map(Some));
    let mut all = Vec::new();
    for owner in [false, true] {
        for role in roles() {
            for held in roles() {
                let held = held.map(|held| PROJECTS.into_iter().zip([held, Role::Guest]).collect());
                all.push(Standing { owner, role, projects: held.unwrap_or_default() });
            }
        }
    }
    all
}

/// Makes rows.
struct Rows {
    texts: Vec<String>,
    numbers: Vec<i64>,
    drawn: u64,
}

impl Rows {
    /// Of the words and numbers in a policy text, and some more.
    fn naming(policies: &str) -> Self {
        let mut texts: BTreeSet<_> = [ME.to_string(), "other".to_owned(), String::new()].into();
        texts.extend(PROJECTS.map(|project| project.to_string()));
        texts.extend(policies.split('"').skip(1).step_by(2).map(str::to_owned));
        let mut numbers: BTreeSet<_> = [0, 1, i64::MIN, i64::MAX].into();
        let digits =
            policies.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<i64>().ok());
        for number in digits {
            numbers.extend([
                number.saturating_sub(1),
                number,
                number.saturating_add(1),
                number.saturating_neg(),
            ]);
        }
        Self { texts: texts.into_iter().collect(), numbers: numbers.into_iter().collect(), drawn: 0 }
    }

    fn of(&mut self, entity: &EntitySchema) -> Vec<Fields> {
        let fields: Vec<_> = entity.policy_fields().map(|field| (field.name.clone(), field.ty)).collect();
        // Without a field that policies know, all rows are alike.
        let rows = if fields.is_empty() { 1 } else { ROWS };
        let row = |rows: &mut Self| fields.iter().map(|(name, ty)| (name.clone(), rows.value(*ty))).collect();
        (0..rows).map(|_| row(self)).collect()
    }

    fn value(&mut self, ty: FieldType) -> FieldValue {
        match ty {
            FieldType::Bool => FieldValue::Bool(self.draw(2) == 1),
            FieldType::Long => {
                let at = self.draw(self.numbers.len());
                FieldValue::Long(self.numbers.get(at).copied().unwrap_or_default())
            }
            FieldType::Text => FieldValue::Text(self.text()),
            FieldType::TextSet => {
                let size = self.draw(4);
                FieldValue::TextSet((0..size).map(|_| self.text()).collect())
            }
        }
    }

    /// Every other one is the caller or one of his projects: what policies mostly compare with.
    fn text(&mut self) -> String {
        let [first, second] = PROJECTS;
        match self.draw(8) {
            0 | 1 => ME.to_string(),
            2 => first.to_string(),
            3 => second.to_string(),
            _ => {
                let at = self.draw(self.texts.len());
                self.texts.get(at).cloned().unwrap_or_default()
            }
        }
    }

    /// The next number below a limit: splitmix64, the same in each run.
    fn draw(&mut self, below: usize) -> usize {
        self.drawn = self.drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.drawn;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap_or_default() % below.max(1)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_sample_api::DESCRIPTORS;

    use super::*;
    use crate::RuleTable;

    #[test]
    fn a_filter_that_admits_one_row_more_is_noticed() {
        let rules = RuleTable::from_descriptors(&[DESCRIPTORS]).unwrap();
        let [module] = rules.modules() else { panic!("one module") };
        let text = |author: &str| {
            format!("@id(\"a\") permit(principal, action, resource) when {{ resource.author == {author} }};")
        };
        let narrow = text("principal.id");
        let wide = narrow.clone() + &text("\"other\"").replace("\"a\"", "\"b\"");
        let (filters, decisions) = (compile(&wide, module).unwrap(), compile(&narrow, module).unwrap());
        let error = *compare(&filters, &decisions, &wide, module).unwrap_err();
        assert!(matches!(error, NotEquivalent::Differ { decision: Verdict::Deny, .. }), "{error}");
        assert!(compare(&filters, &filters, &wide, module).is_ok());
    }
}
