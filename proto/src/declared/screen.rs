//! Screens of a module: each needs an action that the module has, and no two are at one place.

use std::{collections::BTreeMap, fmt, sync::Arc};

use holdfast_domain::{Check, ModuleSchema, NotAPath, ScreenPath, ScreenSchema};

use super::DeclareError;
use crate::options::v1 as pb;

/// Most screens of a module: more than anybody finds his way through.
pub const MAX_SCREENS: usize = 64;

/// Longest title in characters.
const MAX_TITLE: usize = 64;

/// What is wrong with a screen, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScreenProblem {
    /// A path that is none.
    Path(NotAPath),
    /// A title that cannot be shown.
    Title,
    /// An action that no method of the module checks; these are.
    Needs {
        /// What it names.
        needs: String,
        /// What there is.
        known: String,
    },
    /// A navigation item that nobody can go to.
    Navigation,
    /// One more than [`MAX_SCREENS`].
    TooMany,
    /// Another screen, of this package, is at the same place.
    Meets {
        /// The other package.
        package: String,
        /// The other path.
        path: String,
    },
}

impl fmt::Display for ScreenProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(not_a_path) => {
                write!(f, "has no path ({not_a_path}); write it like /notes or /notes/{{id}}")
            }
            Self::Title => {
                write!(f, "has no title that can be shown; give it one of 1 to {MAX_TITLE} characters")
            }
            Self::Needs { needs, known } => {
                write!(
                    f,
                    "needs {needs:?}, which no method of its module checks ({known}); name one that is checked"
                )
            }
            Self::Navigation => f.write_str(
                "is an item of the navigation, but nobody can go to a placeholder; drop one of the two",
            ),
            Self::TooMany => write!(f, "is one too many; a module has at most {MAX_SCREENS}"),
            Self::Meets { package, path } => {
                write!(f, "is at the same place as {path} of {package}; give one of them another path")
            }
        }
    }
}

/// The screens of a package.
pub(super) fn read<'a>(
    package: &str,
    screens: impl Iterator<Item = &'a pb::Screen>,
    module: &ModuleSchema,
) -> Result<Vec<ScreenSchema>, DeclareError> {
    let mut read = Vec::new();
    for screen in screens {
        let refuse = |problem| refuse(package, &screen.path, problem);
        if read.len() >= MAX_SCREENS {
            return Err(refuse(ScreenProblem::TooMany));
        }
        read.push(one(screen, module).map_err(refuse)?);
    }
    Ok(read)
}

fn one(screen: &pb::Screen, module: &ModuleSchema) -> Result<ScreenSchema, ScreenProblem> {
    let pb::Screen { path, title, needs, navigation } = screen;
    let path: ScreenPath = path.parse().map_err(ScreenProblem::Path)?;
    let shown = !title.trim().is_empty() && !title.chars().any(char::is_control);
    if !shown || title.chars().count() > MAX_TITLE {
        return Err(ScreenProblem::Title);
    }
    if *navigation && !path.is_one_place() {
        return Err(ScreenProblem::Navigation);
    }
    let actions = module.actions();
    let split = needs.split_once('.').filter(|(entity, action)| actions.contains(&(*action, *entity)));
    let Some((entity, action)) = split else {
        let known: Vec<_> = actions.iter().map(|(action, entity)| format!("{entity}.{action}")).collect();
        let known = if known.is_empty() { "it checks none".to_owned() } else { known.join(", ") };
        return Err(ScreenProblem::Needs { needs: needs.clone(), known });
    };
    let needs = Check { action: action.to_owned(), entity: entity.to_owned(), unfiltered: None };
    Ok(ScreenSchema { path, title: title.clone(), needs, navigation: *navigation })
}

/// Refuses two screens at one place, of whichever modules.
pub(super) fn apart(modules: &BTreeMap<String, Arc<ModuleSchema>>) -> Result<(), DeclareError> {
    let mut taken: Vec<(&String, &ScreenPath)> = Vec::new();
    for (package, module) in modules {
        for ScreenSchema { path, .. } in &module.screens {
            if let Some((other, at)) = taken.iter().find(|(_, other)| other.meets(path)) {
                let meets = ScreenProblem::Meets { package: (*other).clone(), path: at.to_string() };
                return Err(refuse(package, &path.to_string(), meets));
            }
            taken.push((package, path));
        }
    }
    Ok(())
}

fn refuse(package: &str, path: &str, problem: ScreenProblem) -> DeclareError {
    DeclareError::Screen { package: package.to_owned(), path: path.to_owned(), problem }
}
