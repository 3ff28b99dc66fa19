//! An ext4 file system on a loop device whose power can be cut.
//!
//! The cut is the file system's own shutdown call without a flush of its log: nothing that was not written to the device
//! before reaches it any more, page cache and journal included. Mounting it again replays the journal, as after a real
//! power cut.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

pub(crate) struct Device {
    dir: TempDir,
    mounted: bool,
}

/// Makes a file system of some MiB, or says that this machine cannot (not root, no loop device): those tests are skipped,
/// except where skipping must not go unseen.
pub(crate) fn device(mib: u64) -> Option<Device> {
    match Device::create(mib) {
        Ok(device) => Some(device),
        Err(why) => {
            let must_run = std::env::var_os("CI").is_some() && rustix::process::geteuid().is_root();
            assert!(!must_run, "no loop device as root in CI: {why}");
            eprintln!("skipped: no loop device: {why}");
            None
        }
    }
}

impl Device {
    fn create(mib: u64) -> Result<Self, String> {
        let dir = TempDir::new().map_err(|error| error.to_string())?;
        let mut device = Self { dir, mounted: false };
        File::create(device.image())
            .and_then(|image| image.set_len(mib << 20))
            .map_err(|error| error.to_string())?;
        fs::create_dir(device.mount_point()).map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q", "-F", path(&device.image())])?;
        device.mount()?;
        Ok(device)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    /// A folder on the device.
    pub(crate) fn folder(&self) -> PathBuf {
        self.mount_point().join("data")
    }

    fn mount(&mut self) -> Result<(), String> {
        run("mount", &["-t", "ext4", "-o", "loop", path(&self.image()), path(&self.mount_point())])?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.mounted) {
            run("umount", &[path(&self.mount_point())])?;
        }
        Ok(())
    }

    /// From now on nothing reaches the device.
    pub(crate) fn cut_power(&self) {
        let root = File::open(self.mount_point()).unwrap();
        shut_down(&root).unwrap();
    }

    /// Power is back: whoever used the device must have ended.
    pub(crate) fn restore_power(&mut self) {
        self.unmount().unwrap();
        self.mount().unwrap();
    }
}

#[expect(unsafe_code, reason = "an ioctl with a 32-bit argument that the kernel only reads")]
fn shut_down(root: &File) -> rustix::io::Result<()> {
    /// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`.
    const SHUTDOWN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(b'X', 125);
    /// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written.
    const NO_LOG_FLUSH: u32 = 2;
    // SAFETY: the opcode takes a pointer to a u32 and reads it.
    unsafe { rustix::ioctl::ioctl(root, rustix::ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.unmount().is_err() {
            let _ = run("umount", &["-l", path(&self.mount_point())]);
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
