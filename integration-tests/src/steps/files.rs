//! Step 6: files go in, are listed, come out, and are what they were.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    cluster::Cluster,
    input::InputFile,
    job::{Job, Stored},
    report::{Progress, bytes, seconds},
};

/// Accounts that work at the same time.
const AT_ONCE: usize = 4;

/// Where an account's files lie before they are stored.
pub(super) fn staged(cluster: &Cluster, stored: &Stored) -> PathBuf {
    cluster.path("staged").join(&stored.account.context)
}

/// Puts every account's files.
///
/// # Errors
/// One is not stored.
pub fn put_everything(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    let started = Instant::now();
    in_parallel(job, progress, |cluster, stored| {
        let folder = staged(cluster, stored);
        stored.account.holdfast().json(["files".as_ref(), "put".as_ref(), "-r".as_ref(), folder.as_os_str()])
    })?;
    Ok(rate(job, "put", started))
}

/// Lists every account's files and compares names and lengths.
///
/// # Errors
/// One is missing, or one too many.
pub fn list_everything(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    let counts = in_parallel(job, progress, |_, stored| {
        let listed = list(stored)?;
        let expected: BTreeMap<_, _> =
            stored.share.files.iter().map(|file| (file.relative.clone(), file.length)).collect();
        ensure!(listed == expected, "{}: {}", stored.account.context, difference(&listed, &expected));
        Ok(listed.len())
    })?;
    Ok(format!("{} names", counts.iter().sum::<usize>()))
}

/// Gets every account's files and compares them with the originals.
///
/// # Errors
/// One is not what it was.
pub fn get_everything(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    let started = Instant::now();
    in_parallel(job, progress, |cluster, stored| verify_account(cluster, stored, "got"))?;
    Ok(format!("{}; all equal", rate(job, "get", started)))
}

/// Gets everything again after something bad happened.
///
/// # Errors
/// One is not what it was.
pub fn verify_everything(job: &Job, progress: &Progress) -> anyhow::Result<usize> {
    Ok(in_parallel(job, progress, |cluster, stored| verify_account(cluster, stored, "again"))?.iter().sum())
}

/// Gets one account's files into a fresh folder, compares, and removes the copies. Returns how many there were.
///
/// # Errors
/// One is not what it was.
pub(super) fn verify_account(cluster: &Cluster, stored: &Stored, name: &str) -> anyhow::Result<usize> {
    let folder = cluster.path("got").join(name).join(&stored.account.context);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder)?;
    let arguments = ["files".as_ref(), "get".as_ref(), "-r".as_ref(), "".as_ref(), folder.as_os_str()];
    stored.account.holdfast().ok(arguments)?;
    for file in &stored.share.files {
        compare(&file.path, &folder.join(&file.relative))?;
    }
    drop(fs::remove_dir_all(&folder));
    Ok(stored.share.files.len())
}

/// Gets one file and compares it.
///
/// # Errors
/// It is not what it was.
pub(super) fn get_one(
    cluster: &Cluster,
    stored: &Stored,
    file: &InputFile,
    name: &str,
) -> anyhow::Result<()> {
    let to = cluster.fetched(name)?;
    let relative = file.relative.as_os_str();
    let arguments = ["files".as_ref(), "get".as_ref(), relative, "-O".as_ref(), to.as_os_str()];
    stored.account.holdfast().ok(arguments)?;
    compare(&file.path, &to)
}

/// Asks for one file's description, removes it, sees it gone, and puts it back.
///
/// # Errors
/// One of these is not so.
pub fn stat_and_remove(job: &mut Job, _: &Progress) -> anyhow::Result<String> {
    let stored = job.stored.iter().find(|stored| stored.share.files.len() > 1).context("no account")?;
    let file = stored.share.files.iter().max_by_key(|file| file.length).context("no file")?;
    let holdfast = stored.account.holdfast();
    let name = file.relative.as_os_str();
    let files = |verb: &'static str| ["files".as_ref(), verb.as_ref(), name];
    let stat = holdfast.json(files("stat"))?;
    let size = stat.pointer("/file/size").and_then(serde_json::Value::as_u64);
    ensure!(size == Some(file.length), "stat says {stat} about {} bytes", file.length);
    let used = stored.account.used()?;
    holdfast.ok(files("rm"))?;
    holdfast.refused(files("stat"), "not_found")?;
    ensure!(stored.account.used()? < used, "removing a file frees nothing");
    holdfast.ok(["files".as_ref(), "put".as_ref(), file.path.as_os_str(), "--as".as_ref(), name])?;
    get_one(&job.cluster, stored, file, "put-again")?;
    ensure!(stored.account.used()? == used, "the same file takes another size");
    Ok(format!("{} bytes seen, removed, gone, put again", file.length))
}

/// What an account holds, by name.
pub type Tree = BTreeMap<PathBuf, u64>;

/// Lists an account's files.
///
/// # Errors
/// A line of the listing is none.
pub(super) fn list(stored: &Stored) -> anyhow::Result<Tree> {
    let text = stored.account.holdfast().ok(["files", "ls", "-o", "json"])?;
    let mut tree = Tree::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).context("a line of a listing")?;
        let size = row.get("size").and_then(serde_json::Value::as_u64).context("no size")?;
        tree.insert(name_of(&row).with_context(|| format!("no name in {line}"))?, size);
    }
    Ok(tree)
}

/// The exact name: `name` is for people only.
fn name_of(row: &serde_json::Value) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = hex::decode(row.get("name_hex")?.as_str()?).ok()?;
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

fn difference(listed: &Tree, expected: &Tree) -> String {
    let missing = expected.iter().find(|(name, size)| listed.get(*name) != Some(size));
    let extra = listed.keys().find(|name| !expected.contains_key(*name));
    format!(
        "{} listed, {} expected; not listed: {missing:?}; too many: {extra:?}",
        listed.len(),
        expected.len()
    )
}

/// Compares two files byte by byte.
///
/// # Errors
/// They differ.
pub fn compare(expected: &Path, actual: &Path) -> anyhow::Result<()> {
    let open = |path: &Path| File::open(path).with_context(|| format!("opening {}", path.display()));
    let (mut one, mut other) = (open(expected)?, open(actual)?);
    let (mut one_block, mut other_block) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let (left, right) = (fill(&mut one, &mut one_block)?, fill(&mut other, &mut other_block)?);
        ensure!(left == right, "{} differs from {}", actual.display(), expected.display());
        if left.is_empty() {
            return Ok(());
        }
    }
}

fn fill<'a>(file: &mut File, block: &'a mut [u8]) -> anyhow::Result<&'a [u8]> {
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(block.get(..filled).unwrap_or_default())
}

fn rate(job: &mut Job, what: &str, started: Instant) -> String {
    let (files, size, time) = (job.input.files.len(), job.input.bytes(), started.elapsed());
    let text = format!("{files} files, {} in {}", bytes(size), seconds(time));
    job.figure(&format!("{what} of the input"), text.clone());
    text
}

/// Does something for several accounts at a time, in the order of the accounts.
fn in_parallel<T: Send>(
    job: &Job,
    progress: &Progress,
    act: impl Fn(&Cluster, &Stored) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    progress.length(u64::try_from(job.stored.len())?);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((index, stored)) = pick(&next, &job.stored) {
                    let result = act(&job.cluster, stored).with_context(|| stored.account.context.clone());
                    let failed = result.is_err();
                    if let Ok(mut results) = results.lock() {
                        results.push((index, result));
                    }
                    if failed {
                        next.store(usize::MAX / 2, Ordering::Relaxed);
                    }
                    progress.advance(1);
                }
            });
        }
    });
    let Ok(mut results) = results.into_inner() else { bail!("an account's thread panicked") };
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn pick<'a>(next: &AtomicUsize, stored: &'a [Stored]) -> Option<(usize, &'a Stored)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, stored.get(index)?))
}
