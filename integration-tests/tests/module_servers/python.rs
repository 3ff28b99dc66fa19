//! Module servers in Python, each as a user of its own.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use holdfast_integration_tests::{process::Process, wait};

/// Of a clone: where the set-up keeps Python's packages.
const PACKAGES: &str = "target/python";

/// A user that nobody else is.
const FIRST_UID: u32 = 71_000;

/// One module server: its files, its sockets, its process.
pub(crate) struct PythonServer {
    name: &'static str,
    program: &'static str,
    uid: u32,
    folder: PathBuf,
    tablespace: u32,
    process: Option<Process>,
}

fn checkout() -> PathBuf {
    fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What all of them need to run: other users may not reach the checkout, so it is copied.
pub(crate) fn prepare(folder: &Path) {
    assert!(rustix::process::geteuid().is_root(), "run this test as root: it starts programs as other users");
    let python = checkout().join(PACKAGES).join("bin/python3");
    assert!(python.is_file(), "{} is missing: run `make setup` first", python.display());
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let packages = folder.join("python");
    fs::create_dir(&packages).unwrap();
    let site = "import sysconfig; print(sysconfig.get_paths()['purelib'])";
    let site = Command::new(&python).args(["-c", site]).output().unwrap();
    let site = PathBuf::from(String::from_utf8(site.stdout).unwrap().trim());
    for package in ["grpc", "google", "typing_extensions.py"] {
        run(Command::new("cp").arg("-r").arg(site.join(package)).arg(&packages));
    }
    let sources = ["docs/modules/server/server.py", "integration-tests/python/hostile.py"];
    for source in sources {
        run(Command::new("cp").arg(checkout().join(source)).arg(&packages));
    }
    let (proto, notes, vault) = ("proto", "docs/modules/server", "integration-tests/python");
    let mut protoc = Command::new(&python);
    protoc.current_dir(checkout()).args(["-m", "grpc_tools.protoc", "-I", proto, "-I", notes, "-I", vault]);
    for out in ["python_out", "grpc_python_out"] {
        protoc.arg(format!("--{out}={}", packages.display()));
    }
    let platform = ["data/v1/data", "module/v1/route", "options/v1/module", "options/v1/rule"];
    let platform = platform.map(|name| format!("holdfast/{name}.proto"));
    run(protoc.args(platform).args(["notes.proto", "vault.proto"]));
    for module in ["notes", "vault"] {
        let from = if module == "notes" { notes } else { vault };
        let set = folder.join(format!("{module}.bin"));
        run(Command::new(&python)
            .current_dir(checkout())
            .args(["-m", "grpc_tools.protoc", "-I", proto, "-I", from, "--include_imports"])
            .arg(format!("--descriptor_set_out={}", set.display()))
            .arg(format!("{module}.proto")));
        run(Command::new("cp").arg(checkout().join(from).join(format!("{module}.cedar"))).arg(folder));
    }
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(&packages));
}

impl PythonServer {
    pub(crate) fn new(folder: &Path, name: &'static str, program: &'static str, number: u32) -> Self {
        let server = Self {
            name,
            program,
            uid: FIRST_UID + number,
            folder: folder.to_owned(),
            tablespace: 1000 + number,
            process: None,
        };
        let own = server.own();
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, Permissions::from_mode(0o700)).unwrap();
        chown(&own, Some(server.uid), Some(server.uid)).unwrap();
        server
    }

    fn own(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.own().join("module.sock")
    }

    pub(crate) fn data_socket(&self) -> PathBuf {
        self.folder.join(format!("{}.data.sock", self.name))
    }

    /// Its part of the node's configuration.
    pub(crate) fn config(&self) -> String {
        let Self { name, uid, folder, tablespace, .. } = self;
        let (folder, socket, data) = (folder.display(), self.socket(), self.data_socket());
        format!(
            "[[module_server]]\nname = \"{name}\"\ndescriptors = \"{folder}/{name}.bin\"\n\
             policies = \"{folder}/{name}.cedar\"\ntablespace = {tablespace}\nuid = {uid}\ngid = {uid}\n\
             socket = \"{}\"\ndata_socket = \"{}\"\n",
            socket.display(),
            data.display()
        )
    }

    /// Starts it as its user, and waits until it serves.
    pub(crate) fn start(&mut self) {
        let packages = self.folder.join("python");
        let uid = self.uid.to_string();
        let mut arguments = vec!["--reuid", &uid, "--regid", &uid, "--clear-groups", "--no-new-privs"];
        let (program, socket, data) = (packages.join(self.program), self.socket(), self.data_socket());
        let paths = [&program, &socket, &data].map(|path| path.to_str().unwrap());
        arguments.extend(["--pdeathsig", "KILL", "/usr/bin/python3", "-B"]);
        arguments.extend(paths);
        let environment = [("PYTHONPATH".to_owned(), packages.display().to_string())];
        let log = self.folder.join("logs").join(format!("{}.log", self.name));
        let process =
            Process::start(self.name, Path::new("setpriv"), &arguments, &environment, &log).unwrap();
        let process = self.process.insert(process);
        wait::until(Duration::from_secs(30), "a module server", || {
            assert!(process.is_running(), "{}", process.log_tail());
            Ok(process.log_tail().contains("serving").then_some(()))
        })
        .unwrap();
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill().unwrap();
    }

    pub(crate) fn log_tail(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Process::log_tail)
    }
}
