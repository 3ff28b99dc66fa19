//! A server's answer, read.

use std::collections::BTreeMap;

use holdfast_domain::ScreenPath;
use holdfast_proto::module::v1::{self as pb, capabilities_client::CapabilitiesClient};

use crate::{
    Error, Home,
    limits::{MAX_CAPABILITIES, MAX_REPLY_BYTES},
};

const ACTION: &str = "ask what may be done";

/// On how many rows of the home a thing may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Extent {
    /// On none.
    #[default]
    Never,
    /// On some: the server says which.
    Rows,
    /// On all.
    Always,
}

/// A thing that may be done, in the words of its module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Action {
    /// The module.
    pub module: String,
    /// The entity that it is done to.
    pub entity: String,
    /// What is done.
    pub action: String,
}

/// A screen that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// Where it is.
    pub path: ScreenPath,
    /// Its name for people.
    pub title: String,
    /// What it needs.
    pub needs: Action,
    /// It is an item of the navigation.
    pub navigation: bool,
}

/// What the caller may do in one home.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    actions: BTreeMap<Action, Extent>,
    screens: Vec<Screen>,
}

impl Capabilities {
    /// Asks the node that serves a home.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn fetch(home: &Home) -> Result<Self, Error> {
        let call = |channel, route| {
            let mut client = CapabilitiesClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES);
            async move { client.get(pb::GetCapabilitiesRequest { route: Some(route) }).await }
        };
        Self::try_from(home.call(ACTION, call).await?)
    }

    /// On how many rows an action may be done; on none, if the server did not name it.
    pub fn extent(&self, action: &Action) -> Extent {
        self.actions.get(action).copied().unwrap_or_default()
    }

    /// Every action that the server named.
    pub fn actions(&self) -> impl ExactSizeIterator<Item = (&Action, Extent)> {
        self.actions.iter().map(|(action, extent)| (action, *extent))
    }

    /// The screens that are open, in order.
    pub fn screens(&self) -> &[Screen] {
        &self.screens
    }
}

impl TryFrom<pb::GetCapabilitiesReply> for Capabilities {
    type Error = Error;

    fn try_from(reply: pb::GetCapabilitiesReply) -> Result<Self, Error> {
        let pb::GetCapabilitiesReply { modules, screens } = reply;
        let named: usize = modules.iter().map(|module| module.actions.len()).sum();
        if named.saturating_add(modules.len()).saturating_add(screens.len()) > MAX_CAPABILITIES {
            return Err(invalid("number of capabilities"));
        }
        let mut actions = BTreeMap::new();
        for pb::ModuleCapabilities { module, actions: of } in modules {
            for pb::Capability { entity, action, extent } in of {
                let action = Action::read(module.clone(), entity, action)?;
                actions.insert(action, Extent::read(extent));
            }
        }
        let screens = screens.into_iter().map(Screen::read).collect::<Result<_, _>>()?;
        Ok(Self { actions, screens })
    }
}

impl Extent {
    /// A word of a newer version opens nothing.
    fn read(number: i32) -> Self {
        match pb::Extent::try_from(number) {
            Ok(pb::Extent::Always) => Self::Always,
            Ok(pb::Extent::Rows) => Self::Rows,
            Ok(pb::Extent::Never | pb::Extent::Unspecified) | Err(_) => Self::Never,
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Rows => "rows",
            Self::Always => "always",
        }
    }
}

impl Action {
    fn read(module: String, entity: String, action: String) -> Result<Self, Error> {
        let word = |text: &String| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if [&module, &entity, &action].into_iter().all(word) {
            Ok(Self { module, entity, action })
        } else {
            Err(invalid("action"))
        }
    }
}

impl Screen {
    fn read(screen: pb::OpenScreen) -> Result<Self, Error> {
        let pb::OpenScreen { path, title, module, entity, action, navigation } = screen;
        let path = path.parse().map_err(|_| invalid("path of a screen"))?;
        // It ends up on terminals.
        if title.chars().any(char::is_control) {
            return Err(invalid("title of a screen"));
        }
        Ok(Self { path, title, needs: Action::read(module, entity, action)?, navigation })
    }
}

fn invalid(what: &'static str) -> Error {
    Error::Reply { action: ACTION.to_owned(), what }
}
