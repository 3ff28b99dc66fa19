//! From a module server's files to what the node serves of it, or the reason why not.

use std::{collections::BTreeMap, fs, io, path::PathBuf, sync::Arc};

use holdfast_domain::{MethodRule, ModuleSchema};
use holdfast_proto::declared::{DeclareError, Declared};

use super::{grants::Grants, proxy::Proxy};
use crate::{
    gate::{Gated, StandingSource},
    limits::MAX_DESCRIPTOR_BYTES,
    module::PartitionHost,
    query::{MessageSchema, MessageSchemaError},
};

/// Where a module server is, and as whom it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleServerSpec {
    /// The module's name, as its `.proto` has it.
    pub name: String,
    /// A file with its `FileDescriptorSet`, imports included.
    pub descriptors: PathBuf,
    /// A file with its policies.
    pub policies: PathBuf,
    /// The user that it runs as.
    pub uid: u32,
    /// The group through which that user reaches `data`.
    pub gid: u32,
    /// The module's own socket, which the node dials.
    pub socket: PathBuf,
    /// The node's socket for this module.
    pub data: PathBuf,
}

/// A module server whose files were read. Clones share its grants.
#[derive(Clone)]
pub struct ModuleServer {
    pub(super) spec: Arc<ModuleServerSpec>,
    pub(super) kinds: Arc<BTreeMap<String, &'static MessageSchema>>,
    pub(super) grants: Grants,
    pub(super) proxy: Proxy,
    pub(super) name: &'static str,
    pub(crate) descriptors: &'static [u8],
    pub(crate) services: Vec<&'static str>,
    policies: &'static str,
    tablespace: &'static str,
}

/// Why a module server cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleServerError {
    /// A file that cannot be read.
    #[error("module server {module}: reading {}", path.display())]
    File {
        /// Which.
        module: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its descriptors.
    #[error("module server {module}: the descriptors")]
    Declared {
        /// Which.
        module: String,
        /// What is wrong.
        #[source]
        source: Box<DeclareError>,
    },
    /// One of its entities.
    #[error("module server {module}: an entity")]
    Entity {
        /// Which.
        module: String,
        /// What is wrong.
        #[source]
        source: Box<MessageSchemaError>,
    },
    /// The descriptors are another module's.
    #[error(
        "module server {0}: its descriptors declare no module of this name; they are another's, or lack its service"
    )]
    NotDeclared(String),
    /// A method that the gate would have no say in.
    #[error("module server {module}: {method} has no check; a module server serves nothing else")]
    NoCheck {
        /// Which.
        module: String,
        /// The method's path.
        method: String,
    },
}

impl ModuleServer {
    /// Reads its files. What is read is kept for as long as the program runs, as that of built-in modules is.
    ///
    /// # Errors
    /// See [`ModuleServerError`].
    pub fn load(spec: ModuleServerSpec) -> Result<Self, ModuleServerError> {
        let file = |path: &PathBuf| {
            read(path).map_err(|source| ModuleServerError::File {
                module: spec.name.clone(),
                path: path.clone(),
                source,
            })
        };
        let descriptors: &'static [u8] = file(&spec.descriptors)?.leak();
        let policies = String::from_utf8(file(&spec.policies)?).map_err(|error| ModuleServerError::File {
            module: spec.name.clone(),
            path: spec.policies.clone(),
            source: io::Error::new(io::ErrorKind::InvalidData, error),
        })?;
        Self::read(spec, descriptors, policies.leak())
    }

    fn read(
        spec: ModuleServerSpec,
        descriptors: &'static [u8],
        policies: &'static str,
    ) -> Result<Self, ModuleServerError> {
        let module = || spec.name.clone();
        let declared = Declared::read(&[descriptors])
            .map_err(|source| ModuleServerError::Declared { module: module(), source: Box::new(source) })?;
        let schema = declared.modules().iter().find(|declared| declared.name == spec.name);
        let schema = schema.ok_or_else(|| ModuleServerError::NotDeclared(module()))?;
        let services = services(&declared, schema)?;
        let kinds = MessageSchema::entities(descriptors, schema)
            .map_err(|source| ModuleServerError::Entity { module: module(), source: Box::new(source) })?;
        let kinds = kinds.into_iter().map(|kind| {
            let kind: &'static MessageSchema = Box::leak(Box::new(kind));
            (kind.entity().name.clone(), kind)
        });
        let grants = Grants::default();
        Ok(Self {
            kinds: Arc::new(kinds.collect()),
            proxy: Proxy::new(&spec, grants.clone()),
            grants,
            name: spec.name.clone().leak(),
            descriptors,
            services,
            policies,
            tablespace: schema.tablespace.clone().leak(),
            spec: Arc::new(spec),
        })
    }

    /// The module's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The name of its tablespace.
    pub const fn tablespace(&self) -> &'static str {
        self.tablespace
    }

    /// What its gate is made of.
    pub(crate) fn gated(&self, host: Arc<dyn PartitionHost>, standings: Arc<dyn StandingSource>) -> Gated {
        Gated { module: self.name, policies: self.policies, host, standings }
    }
}

/// The services of the module, whose methods all have checks.
fn services(declared: &Declared, schema: &ModuleSchema) -> Result<Vec<&'static str>, ModuleServerError> {
    let mut services: Vec<&'static str> = Vec::new();
    for method in declared.methods() {
        if method.module.as_ref().is_none_or(|module| module.name != schema.name) {
            continue;
        }
        if let MethodRule::Audience(_) = method.rule {
            let (module, method) = (schema.name.clone(), method.path.clone());
            return Err(ModuleServerError::NoCheck { module, method });
        }
        if !services.contains(&method.service.as_str()) {
            services.push(method.service.clone().leak());
        }
    }
    Ok(services)
}

fn read(path: &PathBuf) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > MAX_DESCRIPTOR_BYTES {
        let text = format!("{length} bytes, at most {MAX_DESCRIPTOR_BYTES}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    fs::read(path)
}
