//! Rules and modules as `.proto` files declare them, read once from descriptors.
//!
//! Invariants: each method of each described service has exactly one rule that somebody declared; a check names an entity of the
//! method's own module; every request to a module has its route where the guard looks for it. What cannot be read whole is refused.
//!
//! Descriptors are decoded from the bytes that the compiler wrote. `prost-types` would silently drop the options, and with them
//! every rule: [`DeclareError::Undeclared`] is what catches that mistake.

mod entity;
mod error;
mod field;
mod foreign;
mod gather;
mod method;
mod module;
mod options;
mod screen;
mod word;

use std::{collections::BTreeMap, sync::Arc};

use holdfast_domain::ModuleSchema;

pub use error::DeclareError;
pub use field::MAX_KEY_FIELDS;
pub use foreign::{HEALTH_SERVICE, REFLECTION_SERVICES};
pub use method::{Method, ROUTE_FIELD, ROUTE_MESSAGE, ROUTE_NUMBER};
pub use screen::{MAX_SCREENS, ScreenProblem};

use gather::Gathered;

/// Everything that some descriptor sets declare.
#[derive(Debug)]
pub struct Declared {
    methods: BTreeMap<String, Method>,
    modules: Vec<Arc<ModuleSchema>>,
}

impl Declared {
    /// Reads descriptor sets as the compiler encoded them, and adds the rules of services that are not ours. Sets may overlap in the
    /// files that they import.
    ///
    /// # Errors
    /// See [`DeclareError`]: all undeclared methods are named at once, of other mistakes the first.
    pub fn read(sets: &[&[u8]]) -> Result<Self, DeclareError> {
        let gathered = Gathered::from_sets(sets)?;
        if gathered.described.is_empty() {
            return Err(DeclareError::Empty);
        }
        let described = gathered.described.len();
        let modules = module::assemble(&gathered)?;
        let mut methods = BTreeMap::new();
        for method in gathered.methods(&modules) {
            methods.insert(method.path.clone(), method);
        }
        // Nothing may be lost on the way from descriptors to rules.
        if methods.len() != described {
            return Err(DeclareError::Count { rules: methods.len(), methods: described });
        }
        for method in foreign::methods() {
            if let Some(twice) = methods.insert(method.path.clone(), method) {
                return Err(DeclareError::Twice(twice.path));
            }
        }
        Ok(Self { methods, modules: modules.into_values().collect() })
    }

    /// All methods, by path.
    pub fn methods(&self) -> impl ExactSizeIterator<Item = &Method> {
        self.methods.values()
    }

    /// All modules, by package.
    pub fn modules(&self) -> &[Arc<ModuleSchema>] {
        &self.modules
    }

    /// Methods by path, and modules.
    pub fn into_parts(self) -> (BTreeMap<String, Method>, Vec<Arc<ModuleSchema>>) {
        let Self { methods, modules } = self;
        (methods, modules)
    }
}

#[cfg(test)]
mod tests;
