//! Guards against the servers' own decisions, and over time.

mod decisions;
mod live;

use holdfast_proto::module::v1::{self as pb, OpenScreen};

use super::*;

fn screen(path: &str) -> OpenScreen {
    OpenScreen {
        path: path.to_owned(),
        title: "Notes".to_owned(),
        module: "notes".to_owned(),
        entity: "Note".to_owned(),
        action: "list".to_owned(),
        navigation: true,
    }
}

fn reply(screens: &[&str]) -> pb::GetCapabilitiesReply {
    let screens = screens.iter().map(|path| screen(path)).collect();
    pb::GetCapabilitiesReply { modules: Vec::new(), screens }
}

fn closed(because: Because) -> Access {
    Access::Closed { because }
}

#[test]
fn whatever_the_server_did_not_open_is_closed() {
    let guard = RouteGuard::of(reply(&["/notes/{id}"]).try_into().unwrap());
    assert!(matches!(guard.check("/notes/17"), Access::Open(_)));
    for place in ["/notes", "/notes/17/edit", "/Notes/17", "/notes/", "notes/17", "/", "", "/else"] {
        assert_eq!(guard.check(place), closed(Because::NotOffered), "{place}");
    }
    let none = Capabilities::default();
    let action = Action { module: "notes".into(), entity: "Note".into(), action: "list".into() };
    assert_eq!(none.extent(&action), Extent::Never);
    assert_eq!(NavigationGuard::of(none).items(), []);
}

#[test]
fn answers_that_cannot_be_are_refused_and_words_of_a_newer_version_open_nothing() {
    let refused =
        |screen| Capabilities::try_from(pb::GetCapabilitiesReply { modules: vec![], screens: vec![screen] });
    assert!(refused(OpenScreen { path: "notes".into(), ..screen("/") }).is_err());
    assert!(refused(OpenScreen { title: "\u{1b}[2J".into(), ..screen("/") }).is_err());
    assert!(refused(OpenScreen { action: "list\n".into(), ..screen("/") }).is_err());
    let actions = |count| {
        let action = pb::Capability { entity: "Note".into(), action: "list".into(), extent: 9 };
        let module = pb::ModuleCapabilities { module: "notes".into(), actions: vec![action; count] };
        Capabilities::try_from(pb::GetCapabilitiesReply { modules: vec![module], screens: vec![] })
    };
    assert!(actions(crate::limits::MAX_CAPABILITIES).is_err());
    let newer = actions(1).unwrap();
    assert!(newer.actions().all(|(_, extent)| extent == Extent::Never));
}
