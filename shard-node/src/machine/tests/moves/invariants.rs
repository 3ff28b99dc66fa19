//! Any order of writes, pulls, fences, crashes and second thoughts; and that the model notices what would be wrong.

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    shared_engine,
    world::{Flaw, Step, World, step},
};

fn run(steps: &[Step], flaw: Flaw) -> Result<u32, String> {
    let mut world = World::new(&shared_engine(), flaw);
    for step in steps {
        world.step(step)?;
    }
    Ok(world.moves)
}

/// The same runs every time: how many succeed, how many fail, and how many moves there were.
fn sample(flaw: Flaw, runs: u32) -> (u32, u32, u32) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut good, mut bad, mut moves) = (0, 0, 0);
    for _ in 0..runs {
        let steps = prop::collection::vec(step(), 20..120).new_tree(&mut runner).unwrap().current();
        match run(&steps, flaw) {
            Ok(done) => (good, moves) = (good + 1, moves + done),
            Err(_) => bad += 1,
        }
    }
    (good, bad, moves)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn invariant_a_moved_slot_loses_nothing_and_applies_nothing_twice(steps in prop::collection::vec(step(), 20..120)) {
        let result = run(&steps, Flaw::None);
        prop_assert!(result.is_ok(), "{:?}", result);
    }
}

#[test]
fn the_model_sees_command_ids_left_behind_early_activation_and_changes_left_behind() {
    let (good, bad, moves) = sample(Flaw::None, 40);
    assert!(bad == 0 && moves > 20, "{good} runs succeeded, {bad} failed, {moves} moves");
    for flaw in [Flaw::NoDedup, Flaw::EarlyFence, Flaw::NoFeed] {
        let (good, bad, _) = sample(flaw, 40);
        println!("{flaw:?}: {bad} of {} runs are wrong", good + bad);
        assert!(bad > 0, "{flaw:?} was not noticed");
    }
}
