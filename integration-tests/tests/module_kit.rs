//! The walk-through for authors of modules works as it stands in docs/modules: each of its commands is run in a copy of this checkout.

#![expect(clippy::expect_used, reason = "a test file: its helpers may end the test")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use holdfast_integration_tests::binaries::Binaries;

/// What the walk-through makes.
const MADE: &str = "modules/tasks";

/// A copy of the checkout that keeps its place, so that what was built there last time need not be built again.
struct Copy(PathBuf);

impl Copy {
    fn of(checkout: &Path) -> Self {
        let copy = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join("module-kit"));
        if copy.0.join(MADE).exists() {
            fs::remove_dir_all(copy.0.join(MADE)).expect("remove what was made last time");
        }
        let nested = copy.0.starts_with(checkout);
        for file in files(checkout) {
            // Cargo reads the outer folder's configuration too, and would add both up.
            if nested && file.starts_with(".cargo") {
                continue;
            }
            copy.update(&checkout.join(&file), &copy.0.join(&file));
        }
        copy
    }

    /// Leaves what is the same untouched, as cargo goes by the time of the last change.
    fn update(&self, from: &Path, to: &Path) {
        let Ok(content) = fs::read(from) else { return };
        if fs::read(to).is_ok_and(|old| old == content) {
            return;
        }
        fs::create_dir_all(to.parent().expect("a file in a folder")).expect("make a folder");
        fs::write(to, content).expect("copy a file");
    }

    /// Runs a line as a person would, with the programs on the path, without a network.
    fn run(&self, line: &str, programs: &Path) {
        let paths = env::var_os("PATH").unwrap_or_default();
        let paths = [programs.to_owned()].into_iter().chain(env::split_paths(&paths));
        let target = programs.parent().expect("the target folder");
        let mut command = Command::new("sh");
        // What cargo says to this test is about this test's crate.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
            command.env_remove(name);
        }
        let output = command
            .args(["-c", line])
            .current_dir(&self.0)
            .env("PATH", env::join_paths(paths).expect("paths"))
            .env("CARGO_TARGET_DIR", target)
            .env("CARGO_NET_OFFLINE", "true")
            // As in a build of the whole workspace: with one crate's own features, cargo would build all that it depends on once more.
            .env("CARGO_RESOLVER_FEATURE_UNIFICATION", "workspace")
            .env("CARGO_UNSTABLE_FEATURE_UNIFICATION", "true")
            .env("__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS", "nightly")
            .output()
            .expect("a shell");
        assert!(
            output.status.success(),
            "$ {line}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// All files of the checkout that are, or could be, committed.
fn files(checkout: &Path) -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(checkout)
        .output()
        .expect("git");
    assert!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names in UTF-8");
    names.split_terminator('\0').map(PathBuf::from).collect()
}

/// The lines of a text's `sh` blocks.
fn commands(text: &str) -> Vec<&str> {
    let blocks = text.split("\n```sh\n").skip(1);
    blocks.flat_map(|block| block.split("\n```").next().unwrap_or_default().lines()).collect()
}

#[test]
fn the_walk_through_for_authors_of_modules_works_as_it_stands_there() {
    let checkout = fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).expect("the checkout");
    let programs = Binaries::find().unwrap_or_else(|error| panic!("{error}"));
    let text = fs::read_to_string(checkout.join("docs/modules/README.md")).expect("the walk-through");
    let commands = commands(&text);
    assert!(commands.contains(&"holdfast module new tasks") && commands.len() >= 3, "{commands:?}");
    let copy = Copy::of(&checkout);
    for line in commands {
        copy.run(line, programs.folder());
    }
    assert!(copy.0.join(MADE).join("src/service.rs").is_file());
}
