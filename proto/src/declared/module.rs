//! Second pass: what services and messages of one package say together is a module.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_domain::{EntitySchema, MethodRule, ModuleSchema};

use super::{
    DeclareError,
    gather::{Declaration, Gathered, Service},
    screen, word,
};
use crate::options::v1 as pb;

/// All modules, by package.
pub(super) fn assemble(all: &Gathered) -> Result<BTreeMap<String, Arc<ModuleSchema>>, DeclareError> {
    let mut modules: BTreeMap<&str, &pb::Module> = BTreeMap::new();
    for (name, service) in &all.services {
        let Some(module) = &service.module else {
            no_checks(name, service)?;
            continue;
        };
        let first = *modules.entry(&service.package).or_insert(module);
        if (&first.name, &first.tablespace, first.version)
            != (&module.name, &module.tablespace, module.version)
        {
            return Err(DeclareError::Differ(service.package.clone()));
        }
    }
    apart(&modules, "module", |module| &module.name)?;
    apart(&modules, "tablespace", |module| &module.tablespace)?;
    if let Some((message, _)) =
        all.entities.iter().find(|(_, entity)| !modules.contains_key(&*entity.package))
    {
        return Err(DeclareError::Orphan(message.clone()));
    }
    let schema = |(package, module)| Ok((String::from(package), Arc::new(schema(all, package, module)?)));
    let modules = modules.into_iter().map(schema).collect::<Result<_, DeclareError>>()?;
    screen::apart(&modules)?;
    Ok(modules)
}

/// Refuses two packages with the same word, and words that are none.
fn apart<'a>(
    modules: &BTreeMap<&'a str, &'a pb::Module>,
    what: &'static str,
    word: impl Fn(&'a pb::Module) -> &'a String,
) -> Result<(), DeclareError> {
    let mut taken = BTreeMap::new();
    for (package, module) in modules {
        let word = word(module);
        word::lower(package, what, word)?;
        if let Some(first) = taken.insert(word, package) {
            let (first, second) = ((*first).to_owned(), (*package).to_owned());
            return Err(DeclareError::Shared { what, word: word.clone(), first, second });
        }
    }
    Ok(())
}

fn no_checks(name: &str, service: &Service) -> Result<(), DeclareError> {
    match service.methods.iter().find(|method| matches!(method.rule.needs, MethodRule::Check(_))) {
        None => Ok(()),
        Some(method) => Err(DeclareError::NoModule { method: method.name.clone(), service: name.to_owned() }),
    }
}

fn schema(all: &Gathered, package: &str, module: &pb::Module) -> Result<ModuleSchema, DeclareError> {
    // Screens are those of all services, not of the first one only.
    let pb::Module { name, tablespace, screens: _, version } = module;
    let mut schema = ModuleSchema {
        name: name.clone(),
        tablespace: tablespace.clone(),
        version: (*version).max(1),
        entities: entities(all, package)?,
        methods: BTreeMap::new(),
        screens: Vec::new(),
    };
    let services: Vec<_> = all
        .services
        .values()
        .filter(|service| service.package == package && service.module.is_some())
        .collect();
    for method in services.iter().flat_map(|service| &service.methods) {
        fits(method, &schema)?;
        schema.methods.insert(method.path.clone(), method.rule.needs.clone());
    }
    let declared = services.iter().filter_map(|service| service.module.as_ref());
    schema.screens = screen::read(package, declared.flat_map(|module| &module.screens), &schema)?;
    Ok(schema)
}

fn entities(all: &Gathered, package: &str) -> Result<Vec<EntitySchema>, DeclareError> {
    let (mut types, mut tables) = (BTreeMap::new(), BTreeMap::new());
    let mut found = Vec::new();
    for (message, entity) in all.entities.iter().filter(|(_, entity)| entity.package == package) {
        let EntitySchema { name, table, key: _, fields: _ } = &entity.schema;
        for (what, word, taken) in [("type", name, &mut types), ("table", table, &mut tables)] {
            if let Some(first) = taken.insert(word, message) {
                let (first, second) = (String::clone(first), message.clone());
                return Err(DeclareError::EntityTwice { what, word: word.clone(), first, second });
            }
        }
        found.push(entity.schema.clone());
    }
    Ok(found)
}

/// Refuses a method that asks for what the module does not have, or whose request cannot be routed.
fn fits(method: &Declaration, module: &ModuleSchema) -> Result<(), DeclareError> {
    let Declaration { path: _, name, rule, streams: _, request: (request, routed) } = method;
    if let MethodRule::Check(check) = &rule.needs
        && module.entity(&check.entity).is_none()
    {
        let names: Vec<_> = module.entities.iter().map(|entity| entity.name.as_str()).collect();
        return Err(DeclareError::UnknownEntity {
            method: name.clone(),
            entity: check.entity.clone(),
            module: module.name.clone(),
            known: if names.is_empty() { "it has none".into() } else { names.join(", ") },
        });
    }
    if !routed {
        return Err(DeclareError::NoRoute { method: name.clone(), request: request.clone() });
    }
    Ok(())
}
