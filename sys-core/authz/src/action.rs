//! One action on one kind of row, and the rows as policies see them.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicySet, RestrictedExpression,
};
use holdfast_domain::{FieldType, FieldValue, Fields, ModuleSchema};

use crate::error::PolicyError;

/// An action and the policies that may be about it: the cost of a question is linear in these.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) uid: EntityUid,
    /// The row, whichever it is: policies cannot name one.
    pub(crate) row: EntityUid,
    fields: Vec<(String, FieldType)>,
    pub(crate) set: PolicySet,
}

impl Action {
    pub(crate) fn new(
        module: &ModuleSchema,
        action: &str,
        entity: &str,
        parsed: &[Policy],
    ) -> Result<Self, PolicyError> {
        let uid = EntityUid::from_type_name_and_id(
            type_name(module, "Action")?,
            EntityId::new(format!("{entity}.{action}")),
        );
        let about = parsed.iter().filter(|policy| match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(one) => one == uid,
            ActionConstraint::In(some) => some.contains(&uid),
        });
        let set = PolicySet::from_policies(about.cloned())
            .map_err(|error| PolicyError::Schema(error.to_string()))?;
        let declared = module.entity(entity).ok_or_else(|| PolicyError::UnknownEntity {
            action: action.to_owned(),
            entity: entity.to_owned(),
        })?;
        let fields = declared.policy_fields().map(|field| (field.name.clone(), field.ty)).collect();
        let row = EntityUid::from_type_name_and_id(type_name(module, entity)?, EntityId::new("row"));
        Ok(Self { uid, row, fields, set })
    }

    /// The row's entity, if the row has all fields.
    pub(crate) fn row(&self, row: &Fields) -> Option<Entity> {
        let mut attributes = HashMap::with_capacity(self.fields.len());
        for (name, ty) in &self.fields {
            let value = row.get(name).filter(|value| value.ty() == *ty)?;
            attributes.insert(name.clone(), expression(value));
        }
        Entity::new(self.row.clone(), attributes, HashSet::new()).ok()
    }
}

fn expression(value: &FieldValue) -> RestrictedExpression {
    match value {
        FieldValue::Bool(value) => RestrictedExpression::new_bool(*value),
        FieldValue::Long(value) => RestrictedExpression::new_long(*value),
        FieldValue::Text(value) => RestrictedExpression::new_string(value.clone()),
        FieldValue::TextSet(values) => {
            RestrictedExpression::new_set(values.iter().cloned().map(RestrictedExpression::new_string))
        }
    }
}

/// The full name of one of the module's types.
pub(crate) fn type_name(module: &ModuleSchema, name: &str) -> Result<EntityTypeName, PolicyError> {
    format!("{}::{name}", module.name)
        .parse()
        .map_err(|error: cedar_policy::ParseErrors| PolicyError::Schema(error.to_string()))
}
