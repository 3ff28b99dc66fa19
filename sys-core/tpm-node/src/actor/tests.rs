use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::limits::{MAX_QUEUED_NORMAL, MAX_QUEUED_URGENT};
use crate::swtpm::SoftTpm;

struct Fixture {
    soft: SoftTpm,
    tpm: Tpm,
    _dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let soft = SoftTpm::fresh(&dir.path().join("ca"), &dir.path().join("tpm")).unwrap();
    let tpm = Tpm::open(&soft.tcti()).unwrap();
    Fixture { soft, tpm, _dir: dir }
}

#[test]
fn addresses_that_the_library_would_misread_are_refused() {
    for tcti in ["", "nonsense:", "swtpm:path=/run/tpm.sock"] {
        assert!(matches!(Tpm::open(tcti), Err(TpmError::Address { .. })), "{tcti}");
    }
}

/// Holds the TPM thread until told to go on.
fn blocker(tpm: &Tpm) -> (mpsc::Sender<()>, std::thread::JoinHandle<()>) {
    let (go, wait) = mpsc::channel();
    let (started, running) = mpsc::channel();
    let tpm = tpm.clone();
    let holder = std::thread::spawn(move || {
        tpm.run_blocking(Priority::Normal, "block", move |_| {
            started.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        })
        .unwrap();
    });
    running.recv().unwrap();
    (go, holder)
}

#[tokio::test]
async fn one_tpm_keeps_its_promises_to_callers() {
    let Fixture { soft: mut _soft, tpm, _dir } = fixture();
    a_flood_is_bounded(&tpm).await;
    urgent_overtakes(&tpm).await;
    a_panicking_job_does_not_end_the_thread(&tpm).await;
    what_a_job_leaves_loaded_is_flushed(&tpm).await;
    _soft.stop();
    let gone = tpm.run(Priority::Normal, "ask", |device| device.handles_from(0x8000_0000, 1)).await;
    assert!(matches!(gone, Err(TpmError::Unreachable { operation: "ask", .. })), "{gone:?}");
    _soft.restart().unwrap();
    assert!(tpm.run(Priority::Normal, "ask", |device| device.handles_from(0x8000_0000, 1)).await.is_ok());
}

async fn a_flood_is_bounded(tpm: &Tpm) {
    let (go, holder) = blocker(tpm);
    let done = Arc::new(AtomicUsize::new(0));
    let submit = |priority| {
        let done = Arc::clone(&done);
        let tpm = tpm.clone();
        tokio::spawn(async move {
            tpm.run(priority, "flood", move |_| {
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .await
        })
    };
    let flood: Vec<_> = (0..1000).map(|_| submit(Priority::Normal)).collect();
    let urgent: Vec<_> = (0..100).map(|_| submit(Priority::Urgent)).collect();
    settle().await;
    go.send(()).unwrap();
    let mut busy = (0, 0);
    for task in flood {
        busy.0 +=
            usize::from(matches!(task.await.unwrap(), Err(TpmError::Busy { limit: MAX_QUEUED_NORMAL })));
    }
    for task in urgent {
        busy.1 +=
            usize::from(matches!(task.await.unwrap(), Err(TpmError::Busy { limit: MAX_QUEUED_URGENT })));
    }
    assert_eq!(busy, (1000 - MAX_QUEUED_NORMAL, 100 - MAX_QUEUED_URGENT));
    assert_eq!(done.load(Ordering::Relaxed), MAX_QUEUED_NORMAL + MAX_QUEUED_URGENT);
    holder.join().unwrap();
}

/// Lets every spawned task queue its job or be turned away: one thread runs them all, some dozens a turn.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn urgent_overtakes(tpm: &Tpm) {
    let (go, holder) = blocker(tpm);
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let submit = |priority: Priority| {
        let (tpm, order) = (tpm.clone(), Arc::clone(&order));
        tokio::spawn(async move {
            let note = move |_: &mut Device| {
                order.lock().unwrap().push(priority);
                Ok(())
            };
            tpm.run(priority, "order", note).await
        })
    };
    let tasks = [submit(Priority::Normal), submit(Priority::Urgent)];
    settle().await;
    go.send(()).unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [Priority::Urgent, Priority::Normal]);
    holder.join().unwrap();
}

async fn a_panicking_job_does_not_end_the_thread(tpm: &Tpm) {
    let outcome = tpm.run::<()>(Priority::Normal, "panic", |_| panic!("deliberate")).await;
    assert!(matches!(outcome, Err(TpmError::Fault { operation: "panic" })));
    tpm.run(Priority::Normal, "after", |_| Ok(())).await.unwrap();
}

async fn what_a_job_leaves_loaded_is_flushed(tpm: &Tpm) {
    use crate::{policy, templates};
    use tss_esapi::constants::SessionType;
    use tss_esapi::interface_types::resource_handles::Hierarchy;
    for round in 0..20 {
        let outcome = tpm
            .run::<()>(Priority::Normal, "leave", move |device| {
                let template = templates::storage_root_key()?;
                let primary = device.password(|context| {
                    context.create_primary(Hierarchy::Owner, template, None, None, None, None)
                })?;
                if round % 2 == 0 {
                    device.track(primary.key_handle);
                }
                policy::start(device, SessionType::Policy, None)?;
                match round % 4 {
                    // Untracked objects are found by the sweep after a failure.
                    0 | 1 => Err(JobError::malformed("deliberate")),
                    2 => Ok(()),
                    _ => panic!("deliberate"),
                }
            })
            .await;
        assert_eq!(outcome.is_ok(), round % 4 == 2);
        assert_eq!(loaded(tpm).await, 0, "round {round}");
    }
}

/// Objects and sessions in the TPM's slots.
pub(crate) async fn loaded(tpm: &Tpm) -> usize {
    tpm.run(Priority::Normal, "count", |device| {
        let objects = device.handles_from(0x8000_0000, 16)?.len();
        Ok(objects + device.handles_from(0x0200_0000, 16)?.len())
    })
    .await
    .unwrap()
}
