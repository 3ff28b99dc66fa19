//! First pass: what each service and message says for itself, over all descriptor sets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use holdfast_domain::{EntitySchema, ModuleSchema};
use prost_reflect::{DescriptorPool, ServiceDescriptor};

use super::{
    DeclareError, Method, entity, method,
    method::DeclaredRule,
    options::{self, Options},
};
use crate::options::v1 as pb;

/// Everything, by full name.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) services: BTreeMap<String, Service>,
    pub(super) entities: BTreeMap<String, Entity>,
    /// Paths of all methods that are described, whatever became of them.
    pub(super) described: BTreeSet<String>,
    undeclared: Vec<String>,
}

/// A service on its own.
pub(super) struct Service {
    pub(super) package: String,
    pub(super) module: Option<pb::Module>,
    pub(super) methods: Vec<Declaration>,
}

/// A method on its own.
pub(super) struct Declaration {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) rule: DeclaredRule,
    pub(super) streams: bool,
    /// The full name of its request, and whether that carries a route.
    pub(super) request: (String, bool),
}

/// An entity on its own.
pub(super) struct Entity {
    pub(super) package: String,
    pub(super) schema: EntitySchema,
}

impl Gathered {
    /// Sets overlap in the files that they import: what is known already is skipped.
    pub(super) fn from_sets(sets: &[&[u8]]) -> Result<Self, DeclareError> {
        let mut all = Self::default();
        for set in sets {
            let pool = DescriptorPool::decode(*set)?;
            let options = Options::of(&pool)?;
            for service in pool.services().filter(|service| service.methods().len() > 0) {
                all.add_service(&service, &options)?;
            }
            for message in pool.all_messages() {
                if all.entities.contains_key(message.full_name()) {
                    continue;
                }
                if let Some(schema) = entity::read(&message, &options)? {
                    let package = message.package_name().to_owned();
                    all.entities.insert(message.full_name().to_owned(), Entity { package, schema });
                }
            }
        }
        if all.undeclared.is_empty() { Ok(all) } else { Err(DeclareError::Undeclared(all.undeclared)) }
    }

    fn add_service(
        &mut self,
        service: &ServiceDescriptor,
        options: &Options<'_>,
    ) -> Result<(), DeclareError> {
        let name = service.full_name();
        let path = |method: &str| format!("/{name}/{method}");
        self.described.extend(service.methods().map(|method| path(method.name())));
        if self.services.contains_key(name) {
            return Ok(());
        }
        let module = options.read(options::MODULE, name, &service.options())?;
        let mut methods = Vec::new();
        for method in service.methods() {
            let Some(rule) = method::rule_of(&method, options)? else {
                self.undeclared.push(method.full_name().to_owned());
                continue;
            };
            let request = method.input();
            methods.push(Declaration {
                path: path(method.name()),
                name: method.full_name().to_owned(),
                rule,
                streams: method.is_client_streaming() || method.is_server_streaming(),
                request: (request.full_name().to_owned(), method::has_route(&request)),
            });
        }
        let package = service.package_name().to_owned();
        self.services.insert(name.to_owned(), Service { package, module, methods });
        Ok(())
    }

    /// All methods, each with the module of its service.
    pub(super) fn methods(
        self,
        modules: &BTreeMap<String, Arc<ModuleSchema>>,
    ) -> impl Iterator<Item = Method> {
        self.services.into_iter().flat_map(|(name, service)| {
            let Service { package, module, methods } = service;
            let module = module.and_then(|_| modules.get(&package)).cloned();
            methods.into_iter().map(move |Declaration { path, name: _, rule, streams, request: _ }| {
                Method::new(&name, path, rule, streams, module.clone())
            })
        })
    }
}
