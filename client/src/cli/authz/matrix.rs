//! The matrix of methods and callers.

use holdfast_domain::{Audience, Check, MethodRule};
use holdfast_proto::declared::{Declared, Method};
use serde_json::{Value, json};

use crate::cli::table::Table;

/// The kinds of callers in the order of [`Audience::ALL`].
pub(super) const HEAD: [&str; 8] =
    ["METHOD", "PUBLIC", "CLIENT", "NODE", "REGISTRY", "OPERATOR", "MODULE", "POLICY"];

/// What a kind of caller meets at a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Policy,
}

impl Answer {
    /// `Public` asks about callers without an identity.
    fn of(method: &Method, audience: Audience) -> Self {
        match (&method.rule, method.admits.names(audience)) {
            (_, false) => Self::No,
            (MethodRule::Audience(_), true) => Self::Yes,
            (MethodRule::Check(_), true) => Self::Policy,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Policy => "policy",
        }
    }
}

/// One block for each service, under common columns.
pub(super) fn human(declared: &Declared) -> String {
    let mut table = Table::new(&HEAD);
    let mut service = "";
    for method in declared.methods() {
        if method.service != service {
            service = &method.service;
            let module = method.module.as_ref().map(|module| format!(" (module {})", module.name));
            table.row([format!("{service}{}", module.unwrap_or_default())]);
        }
        table.row(row(method));
    }
    table.render()
}

fn row(method: &Method) -> Vec<String> {
    let mut cells = vec![format!("  {}", name(method))];
    cells.extend(Audience::ALL.map(|audience| match Answer::of(method, audience) {
        Answer::No => "-".to_owned(),
        answer => answer.as_str().to_owned(),
    }));
    if let Some(Check { action, entity, unfiltered }) = check(method) {
        let unfiltered = unfiltered.as_ref().map(|reason| format!(", unfiltered: {reason}"));
        cells.push(format!("{entity}.{action}{}", unfiltered.unwrap_or_default()));
    }
    cells
}

/// The same for programs.
pub(super) fn json(declared: &Declared) -> Value {
    let methods: Vec<_> = declared
        .methods()
        .map(|method| {
            let callers: serde_json::Map<_, _> = Audience::ALL
                .iter()
                .map(|audience| (audience.as_str().to_owned(), Answer::of(method, *audience).as_str().into()))
                .collect();
            json!({
                "path": method.path,
                "service": method.service,
                "method": name(method),
                "module": method.module.as_ref().map(|module| &module.name),
                "callers": callers,
                "policy": check(method).map(|Check { action, entity, unfiltered }| {
                    json!({ "action": action, "entity": entity, "unfiltered": unfiltered })
                }),
            })
        })
        .collect();
    json!({ "methods": methods })
}

fn check(method: &Method) -> Option<&Check> {
    match &method.rule {
        MethodRule::Audience(_) => None,
        MethodRule::Check(check) => Some(check),
    }
}

fn name(method: &Method) -> &str {
    method.path.rsplit_once('/').map_or(&method.path, |(_, name)| name)
}
