//! `holdfast capabilities`: what this client may do in a home, as the server tells applications.

use holdfast_domain::OrgId;
use serde_json::{Value, json};

use super::{app::App, failure::Failure, table::Table};
use crate::guards::{Action, Capabilities, Screen};

const HELP: &str = "\
Actions are those of the modules that serve the home; calls are named by `holdfast authz show`.
  always  on everything in the home
  rows    on what the module's policies admit; the rest does not exist for this client
  never   a call is refused

Examples:
  holdfast capabilities
  holdfast capabilities --home 00112233445566778899aabbccddeeff
  holdfast capabilities -o json | jq -r '.screens[].path'";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// In the home of this organisation [default: the account's own]
    #[arg(long, value_name = "ORG_ID")]
    home: Option<OrgId>,
}

pub(super) async fn run(app: &App, args: &Args) -> Result<(), Failure> {
    let home = app.client().await?.home(args.home.map(Into::into));
    let capabilities = Capabilities::fetch(&home).await?;
    app.output.print(|| human(&capabilities), || json(&capabilities))
}

fn human(capabilities: &Capabilities) -> String {
    let mut actions = Table::new(&["MODULE", "ACTION", "MAY"]);
    for (Action { module, entity, action }, extent) in capabilities.actions() {
        actions.row([module.clone(), format!("{entity}.{action}"), extent.as_str().to_owned()]);
    }
    if capabilities.screens().is_empty() {
        return actions.render() + "\nNo screen is open.\n";
    }
    let mut screens = Table::new(&["SCREEN", "TITLE", "NEEDS", "IN NAVIGATION"]);
    for Screen { path, title, needs: Action { module: _, entity, action }, navigation } in
        capabilities.screens()
    {
        let navigation = if *navigation { "yes" } else { "" }.to_owned();
        screens.row([path.to_string(), title.clone(), format!("{entity}.{action}"), navigation]);
    }
    format!("{}\n{}", actions.render(), screens.render())
}

/// The same for programs; its keys are kept.
fn json(capabilities: &Capabilities) -> Value {
    let actions = capabilities.actions().map(|(Action { module, entity, action }, extent)| {
        json!({ "module": module, "entity": entity, "action": action, "may": extent.as_str() })
    });
    let screens = capabilities.screens().iter().map(|Screen { path, title, needs, navigation }| {
        let Action { module, entity, action } = needs;
        let needs = json!({ "module": module, "entity": entity, "action": action });
        json!({ "path": path.to_string(), "title": title, "needs": needs, "navigation": navigation })
    });
    json!({ "actions": actions.collect::<Vec<_>>(), "screens": screens.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use holdfast_proto::module::v1 as pb;

    use super::*;

    fn capabilities() -> Capabilities {
        let of = |action: &str, extent: pb::Extent| pb::Capability {
            entity: "File".to_owned(),
            action: action.to_owned(),
            extent: extent.into(),
        };
        let actions = vec![of("list", pb::Extent::Always), of("put", pb::Extent::Never)];
        let screen = pb::OpenScreen {
            path: "/files".to_owned(),
            title: "Files".to_owned(),
            module: "files".to_owned(),
            entity: "File".to_owned(),
            action: "list".to_owned(),
            navigation: true,
        };
        let modules = vec![pb::ModuleCapabilities { module: "files".to_owned(), actions }];
        pb::GetCapabilitiesReply { modules, screens: vec![screen] }.try_into().unwrap()
    }

    #[test]
    fn people_read_two_tables() {
        let expected = "\
MODULE  ACTION     MAY
files   File.list  always
files   File.put   never

SCREEN  TITLE  NEEDS      IN NAVIGATION
/files  Files  File.list  yes
";
        assert_eq!(human(&capabilities()), expected);
        assert!(human(&Capabilities::default()).ends_with("No screen is open.\n"));
    }

    #[test]
    fn programs_find_the_same_keys_for_ever() {
        let list = json!({ "module": "files", "entity": "File", "action": "list" });
        let may = |action: &str, may: &str| json!({ "module": "files", "entity": "File", "action": action, "may": may });
        let expected = json!({
            "actions": [may("list", "always"), may("put", "never")],
            "screens": [{ "path": "/files", "title": "Files", "needs": list, "navigation": true }],
        });
        assert_eq!(json(&capabilities()), expected);
    }
}
