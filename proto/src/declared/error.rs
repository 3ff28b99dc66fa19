//! Why declarations are refused. Each text names the thing and the way out: whoever reads it is writing a module.

use super::{field::MAX_KEY_FIELDS, method::ROUTE_MESSAGE, options, screen::ScreenProblem};

/// Why there are no rules, so that a server refuses to start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeclareError {
    /// Bytes that are no descriptors.
    #[error("descriptors cannot be read; give the bytes that the compiler wrote, imports included")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// The option's own declaration is missing.
    #[error("descriptors do not define the option {}; import holdfast/options/v1/rule.proto", options::RULE)]
    NoOption,
    /// An option that this version does not understand whole: what it restricts would be lost.
    #[error("the option {option} of {of} says more than this version knows; build both from one source")]
    Option {
        /// What has it.
        of: String,
        /// Its name.
        option: &'static str,
    },
    /// Nothing at all.
    #[error("there are no rules at all; give the descriptors of the services that are served")]
    Empty,
    /// Methods that nobody thought about.
    #[error(
        "these methods declare no rule: {}; give each `option ({}) = {{allow: ...}}` or `{{check: ...}}`",
        .0.join(", "), options::RULE
    )]
    Undeclared(Vec<String>),
    /// Two answers to one question.
    #[error("the rule of {0} has both `allow` and `check`; keep the one that is meant")]
    Both(String),
    /// An audience that this version does not know, or the unspecified one.
    #[error("the rule of {method} names the unknown audience {audience}; name one that rule.proto lists")]
    Audience {
        /// The method.
        method: String,
        /// The number of the audience.
        audience: i32,
    },
    /// Two descriptors of one method.
    #[error("{0} is described twice; rename one of them")]
    Twice(String),
    /// Rules and methods are not one to one: a mistake of the reader itself.
    #[error("there are {rules} rules for {methods} methods; this is a defect of the reader")]
    Count {
        /// Rules read.
        rules: usize,
        /// Methods described.
        methods: usize,
    },
    /// A name that policies or tables could not carry.
    #[error("{of}: {what} {word:?} is not {form}; rename it")]
    Word {
        /// What has it.
        of: String,
        /// What it names.
        what: &'static str,
        /// It.
        word: String,
        /// What is expected.
        form: &'static str,
    },
    /// A check needs policies, and policies belong to a module.
    #[error(
        "{method} has a check, but {service} belongs to no module; give the service `option ({}) = {{name: ..., tablespace: ...}}`",
        options::MODULE
    )]
    NoModule {
        /// The method.
        method: String,
        /// Its service.
        service: String,
    },
    /// Services of one package that disagree about their module.
    #[error(
        "the services of the package {0} declare different modules; a package is one module, so make them agree"
    )]
    Differ(String),
    /// Two modules that would share policies or data.
    #[error("the packages {first} and {second} both declare the {what} {word}; give one of them another")]
    Shared {
        /// What they share: the name or the tablespace.
        what: &'static str,
        /// It.
        word: String,
        /// One package.
        first: String,
        /// The other.
        second: String,
    },
    /// A check of something that the module does not have.
    #[error(
        "{method} checks the entity {entity}, which the module {module} does not declare ({known}); give a message of its package `option ({}) = {{type: {entity:?}, ...}}`",
        options::ENTITY
    )]
    UnknownEntity {
        /// The method.
        method: String,
        /// The entity that it names.
        entity: String,
        /// Its module.
        module: String,
        /// What there is.
        known: String,
    },
    /// A request that nobody can route.
    #[error(
        "{method} is a module's, but {request} has no route; begin it with `{} route = 1;`",
        ROUTE_MESSAGE
    )]
    NoRoute {
        /// The method.
        method: String,
        /// The message that it takes.
        request: String,
    },
    /// An entity whose package declares no module.
    #[error(
        "{0} is an entity, but no service of its package declares a module; declare one, or drop the option"
    )]
    Orphan(String),
    /// Two entities of a module with one type or table.
    #[error("{first} and {second} both declare the {what} {word}; give one of them another")]
    EntityTwice {
        /// The type or the table.
        what: &'static str,
        /// It.
        word: String,
        /// One message.
        first: String,
        /// The other.
        second: String,
    },
    /// Rows that nothing names, or too much.
    #[error("the key of {message} has {fields} fields; name 1 to {MAX_KEY_FIELDS}, each once")]
    Key {
        /// The entity's message.
        message: String,
        /// How many distinct fields the key names.
        fields: usize,
    },
    /// A key field that the message does not have.
    #[error("the key of {message} names {field}, which is none of its fields; correct the key")]
    UnknownKeyField {
        /// The entity's message.
        message: String,
        /// The field that it names.
        field: String,
    },
    /// A field that cannot be what it is declared to be.
    #[error("{field} cannot be {role}, because it is {found}; {}", way_out(.role))]
    Field {
        /// The field.
        field: String,
        /// What it is declared to be.
        role: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A screen that nobody could be shown.
    #[error("the screen {path:?} of the package {package} {problem}")]
    Screen {
        /// The module's package.
        package: String,
        /// Where it says it is.
        path: String,
        /// What is wrong with it.
        problem: ScreenProblem,
    },
    /// An attribute that would have no effect.
    #[error(
        "{0} has attributes, but its message is no entity; give the message `option ({option})`, or drop them",
        option = options::ENTITY
    )]
    StrayAttr(String),
}

/// What a field may be instead.
fn way_out(role: &str) -> &'static str {
    match role {
        "part of a key" => "make it one boolean, integer, enum, string or bytes that is always there",
        "secret" => "mark fields of booleans, integers, enums, strings or bytes",
        _ => {
            "make it one boolean, integer, enum, string or bytes that is always there, or a list of strings or bytes"
        }
    }
}
