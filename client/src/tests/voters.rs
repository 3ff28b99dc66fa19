//! The registry's members are learned, so that a cluster can lose the one that a context names.

use holdfast_certs::Dialer;

use super::*;
use crate::{Operator, Registries, voters::VotersFile};

#[tokio::test]
async fn members_are_learned_and_whoever_answers_is_asked_first_the_next_time() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let (first, second) = (fake.registry_address(), fake.another_registry().await);
    fake.state().voters = vec![first.clone(), second.clone(), "no address".to_owned()];
    let registries = || {
        let file = VotersFile::new(dir.path().join("voters"));
        Registries::remembering(file, vec![first.clone()], Dialer::new(fake.root_hash(), None), PATIENCE)
    };
    assert_eq!(registries().addresses(), [first.as_str()]);
    registries().learn().await;
    assert_eq!(registries().addresses(), [first.as_str(), &second]);
    fake.stop(&first).await;
    registries().learn().await;
    assert_eq!(registries().addresses(), [second.as_str(), &first]);
    fake.state().voters = vec![second.clone()];
    registries().learn().await;
    assert_eq!(registries().addresses(), [second.as_str(), &first], "the context's own address stays");
}

#[tokio::test]
async fn a_client_survives_the_registry_that_it_registered_at() {
    let bench = Bench::new().await;
    let (first, second) = (bench.fake.registry_address(), bench.fake.another_registry().await);
    bench.fake.state().voters = vec![first.clone(), second];
    bench.files().usage().await.unwrap();
    bench.fake.stop(&first).await;
    let credential = bench.dir.path().join("client");
    // Without a map it has to ask.
    std::fs::remove_file(credential.join("map")).unwrap();
    let (registries, root_hash) = (vec![first.parse().unwrap()], bench.fake.root_hash());
    let context = Context { kind: ContextKind::Client, registries, root_hash, credential };
    let again = Client::open(&context, PATIENCE).await.unwrap();
    again.files().usage().await.unwrap();
}

#[tokio::test]
async fn an_operator_learns_the_members_and_survives_the_founder() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let (first, second) = (fake.registry_address(), fake.another_registry().await);
    fake.state().voters = vec![first.clone(), second.clone()];
    let credential = dir.path().join("operator");
    let registries = fake.operator(&credential).description().registries.clone();
    let kept = || std::fs::read_to_string(credential.join("voters")).unwrap();
    let (kind, root_hash) = (ContextKind::Operator, fake.root_hash());
    let context = Context { kind, registries, root_hash, credential: credential.clone() };
    Operator::open(&context, PATIENCE).await.unwrap();
    assert_eq!(kept(), format!("{first}\n{second}"));
    fake.stop(&first).await;
    Operator::open(&context, PATIENCE).await.unwrap();
    assert_eq!(kept(), format!("{second}\n{first}"));
}
