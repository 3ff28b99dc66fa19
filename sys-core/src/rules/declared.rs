//! Rules as `.proto` files declare them.

use std::collections::BTreeMap;

use holdfast_domain::{Audience, Rule};
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, MethodDescriptor, Value};

use super::{Method, RuleError};

pub(super) const RULE_OPTION: &str = "holdfast.options.v1.rule";

/// Methods by the service that has them.
pub(super) type Declared = BTreeMap<String, Vec<Method>>;

/// Adds the methods of one descriptor set. Sets overlap in the files that they import: a service that is known already is skipped.
pub(super) fn read(set: &[u8], into: &mut Declared) -> Result<(), RuleError> {
    let pool = DescriptorPool::decode(set)?;
    let option = pool.get_extension_by_name(RULE_OPTION).ok_or(RuleError::NoOption)?;
    let mut undeclared = Vec::new();
    for service in pool.services().filter(|service| service.methods().len() > 0) {
        if into.contains_key(service.full_name()) {
            continue;
        }
        let mut methods = Vec::new();
        for method in service.methods() {
            match rule_of(&method, &option)? {
                Some(rule) => methods.push(Method::new(service.full_name(), method.name(), rule)),
                None => undeclared.push(method.full_name().to_owned()),
            }
        }
        into.insert(service.full_name().to_owned(), methods);
    }
    if undeclared.is_empty() { Ok(()) } else { Err(RuleError::Undeclared(undeclared)) }
}

/// The method's rule; `None` when it has none, or one that names nobody.
fn rule_of(method: &MethodDescriptor, option: &ExtensionDescriptor) -> Result<Option<Rule>, RuleError> {
    let options = method.options();
    if !options.has_extension(option) {
        return Ok(None);
    }
    let value = options.get_extension(option);
    let audiences = value.as_message().map(allowed).unwrap_or_default();
    let parse = |number: i32| {
        audience(number)
            .ok_or_else(|| RuleError::Audience { method: method.full_name().to_owned(), audience: number })
    };
    Ok(Rule::new(audiences.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?))
}

fn allowed(rule: &DynamicMessage) -> Vec<i32> {
    let field = rule.get_field_by_name("allow");
    let values = field.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    values.iter().filter_map(Value::as_enum_number).collect()
}

fn audience(number: i32) -> Option<Audience> {
    use holdfast_proto::options::v1::Audience as Wire;
    match Wire::try_from(number).ok()? {
        Wire::Unspecified => None,
        Wire::Public => Some(Audience::Public),
        Wire::Client => Some(Audience::Client),
        Wire::Node => Some(Audience::Node),
        Wire::Registry => Some(Audience::Registry),
        Wire::Operator => Some(Audience::Operator),
    }
}
