//! A few seeds of the simulation, and the proof that it finds mistakes.

use holdfast_simulation::{Rules, run};

#[test]
fn invariants_hold_through_faults_and_everything_comes_to_rest() {
    for seed in 1..=6 {
        let report = run(seed, Rules::SOUND)
            .unwrap_or_else(|failure| panic!("{failure}\nagain: make simulate SEEDS=1 FIRST={seed}"));
        assert!(report.acknowledged > 50, "seed {seed}: {report:?}");
    }
}

#[test]
fn a_seed_is_one_history() {
    assert_eq!(run(7, Rules::SOUND), run(7, Rules::SOUND));
    assert_ne!(run(7, Rules::SOUND).unwrap().trace, run(8, Rules::SOUND).unwrap().trace);
}

#[test]
fn every_mistake_is_found_when_it_is_put_back() {
    let search = |name: &str, rules: Rules| {
        let found = (1..=60).find_map(|seed| run(seed, rules).err());
        let found = found.unwrap_or_else(|| panic!("{name} is not found within 60 seeds"));
        assert!(found.what.starts_with("invariant_"), "{name}: {found}");
    };
    std::thread::scope(|scope| {
        for (name, rules) in Rules::MISTAKES {
            scope.spawn(move || search(name, rules));
        }
    });
}
