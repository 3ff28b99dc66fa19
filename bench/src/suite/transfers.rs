//! A large file there and back through the SDK, hashes checked, beside the disk alone and beside a bare stream over the same TLS.

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use holdfast_client::files::{FileName, Files, Target};
use tokio::runtime::Handle;

use super::Setting;
use crate::{
    echo::{self, CHUNK, Caller, Layer, Server},
    figure::Figure,
    measure::{disk, disk::Sequential, float},
};

/// Size of the file.
const BYTES: u64 = 64 << 20;

/// Most transfers of it in each direction.
const MOST: u32 = 8;

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let (span, folder) = (setting.span, setting.folder().to_owned());
    let source = folder.join("large");
    generate(&source)?;
    let running = setting.cluster()?;
    let runtime = running.runtime.handle().clone();
    let files = running.accounts(1)?.first().context("no client")?.client.files();
    let disk = disk::sequential(&folder, 2 * BYTES)?;
    let ours = runtime.block_on(there_and_back(&files, &source, span))?;
    let tls = streams(&runtime)?;
    let (written, read) = ("sequential write and fdatasync", "sequential read, cached");
    let stream = "bare tonic stream, same TLS";
    let put = |reference, name| Figure::new("file put, 64 MiB", "MB/s", ours.write).against(reference, name);
    let get = |reference, name| Figure::new("file get, 64 MiB", "MB/s", ours.read).against(reference, name);
    Ok(vec![put(disk.write, written), put(tls.write, stream), get(disk.read, read), get(tls.read, stream)])
}

/// Content that does not repeat.
fn generate(path: &Path) -> anyhow::Result<()> {
    let mut file = fs::File::create(path).context("making a large file")?;
    let mut block = vec![0; CHUNK];
    for index in 0..BYTES / u64::try_from(CHUNK)? {
        for (word, chunk) in (0u64..).zip(block.chunks_mut(8)) {
            let mixed = (index << 32 | word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            chunk.copy_from_slice(&mixed.to_be_bytes());
        }
        file.write_all(&block).context("writing a large file")?;
    }
    Ok(())
}

/// Speeds of puts and gets of the file.
async fn there_and_back(files: &Files, source: &Path, span: Duration) -> anyhow::Result<Sequential> {
    let name = |count: u32| FileName::new(format!("bench/large-{count}").into_bytes());
    let (mut count, begin) = (0, Instant::now());
    while count < MOST && (count == 0 || begin.elapsed() < span) {
        files.put(&name(count)?, source, &|_| ()).await.context("putting a large file")?;
        count += 1;
    }
    let write = speed(u64::from(count) * BYTES, begin);
    let begin = Instant::now();
    for number in 0..count {
        let target = Target::Stream(Box::new(std::io::sink()));
        files.get(&name(number)?, target, &|_| ()).await.context("getting a large file")?;
    }
    Ok(Sequential { write, read: speed(u64::from(count) * BYTES, begin) })
}

/// The same bytes over bare streams.
fn streams(runtime: &Handle) -> anyhow::Result<Sequential> {
    let cluster = echo::cluster()?;
    let echo = Server::start(&cluster, Layer::Bare)?;
    runtime.block_on(async {
        let caller = Caller::connect(&cluster, &echo.address()).await?;
        let chunks = 2 * BYTES / u64::try_from(CHUNK)?;
        let begin = Instant::now();
        caller.send(usize::try_from(chunks)?).await?;
        let write = speed(2 * BYTES, begin);
        let begin = Instant::now();
        caller.receive(chunks).await?;
        Ok(Sequential { write, read: speed(2 * BYTES, begin) })
    })
}

fn speed(bytes: u64, since: Instant) -> f64 {
    float(bytes) / 1e6 / since.elapsed().as_secs_f64()
}
