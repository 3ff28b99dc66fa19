//! The policy schema of a module, as text, from what its `.proto` declares: a policy that names a field that was renamed is refused.

use std::{collections::BTreeSet, fmt::Write};

use holdfast_domain::{EntitySchema, FieldType, ModuleSchema};

use crate::error::PolicyError;

/// The caller's entity type.
pub(crate) const ACCOUNT: &str = "Account";
/// The type of the roles that callers are in.
pub(crate) const ROLE: &str = "Role";

/// Entity names that mean something else in policies.
const TAKEN: [&str; 11] =
    [ACCOUNT, ROLE, "Action", "Bool", "Boolean", "Entity", "Extension", "Long", "Record", "Set", "String"];

/// The schema, after a check that each name in it is a word and declared once.
pub(crate) fn text(module: &ModuleSchema) -> Result<String, PolicyError> {
    word("module", &module.name, false)?;
    once("entity", module.entities.iter().map(|entity| entity.name.as_str()))?;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "namespace {} {{", module.name);
    let _ = writeln!(out, "  entity {ROLE} in [{ROLE}];");
    let _ = writeln!(out, "  entity {ACCOUNT} in [{ROLE}] = {{");
    let _ = writeln!(out, "    \"id\": String,");
    for set in ["guest_of", "user_of", "admin_of"] {
        let _ = writeln!(out, "    \"{set}\": Set<String>,");
    }
    let _ = writeln!(out, "  }};");
    for entity in &module.entities {
        write_entity(&mut out, entity)?;
    }
    for (action, entity) in module.actions() {
        word("action", action, false)?;
        if module.entity(entity).is_none() {
            return Err(PolicyError::UnknownEntity { action: action.to_owned(), entity: entity.to_owned() });
        }
        let _ = writeln!(out, "  action \"{entity}.{action}\" appliesTo {{");
        let _ = writeln!(
            out,
            "    principal: [{ACCOUNT}], resource: [{entity}], context: {{ \"via\"?: String }},"
        );
        let _ = writeln!(out, "  }};");
    }
    out.push_str("}\n");
    Ok(out)
}

fn write_entity(out: &mut String, entity: &EntitySchema) -> Result<(), PolicyError> {
    word("entity", &entity.name, true)?;
    if TAKEN.contains(&entity.name.as_str()) {
        return Err(PolicyError::Name { what: "entity", name: entity.name.clone() });
    }
    once("field", entity.fields.iter().map(|field| field.name.as_str()))?;
    let _ = writeln!(out, "  entity {} = {{", entity.name);
    for field in entity.policy_fields() {
        word("field", &field.name, false)?;
        let _ = writeln!(out, "    \"{}\": {},", field.name, type_name(field.ty));
    }
    let _ = writeln!(out, "  }};");
    Ok(())
}

const fn type_name(ty: FieldType) -> &'static str {
    match ty {
        FieldType::Bool => "Bool",
        FieldType::Long => "Long",
        FieldType::Text => "String",
        FieldType::TextSet => "Set<String>",
    }
}

/// A word: a letter of the given case, then letters, digits and underscores.
fn word(what: &'static str, name: &str, capital: bool) -> Result<(), PolicyError> {
    let first = name.chars().next().filter(|first| match capital {
        true => first.is_ascii_uppercase(),
        false => first.is_ascii_lowercase(),
    });
    if first.is_some() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    Err(PolicyError::Name { what, name: name.to_owned() })
}

fn once<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), PolicyError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(PolicyError::Twice { what, name: name.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
