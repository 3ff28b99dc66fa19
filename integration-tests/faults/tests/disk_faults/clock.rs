//! The clock of one process, moved.

use std::time::{Duration, Instant, SystemTime};

use holdfast_faults::disk::{Disk, Fault, Syncs};

use crate::child::{Worker, say};

/// In the child: says the time again and again.
pub(crate) fn tell(seconds: u64) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        say(&now.as_secs().to_string());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_clock_jumps_while_the_process_runs() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(&dir.path().join("disk"), Syncs::Real).unwrap();
    let mut worker = Worker::start("time\t20", &disk.environment());
    let mut ahead = || -> i64 {
        let told: i64 = worker.next().unwrap().parse().unwrap();
        told - i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
    };
    assert!(ahead().abs() <= 1);
    for jump in [3_600, -3_600, 0] {
        disk.set(&[Fault::ClockMs(jump * 1000)]).unwrap();
        let began = Instant::now();
        while (ahead() - jump).abs() > 1 {
            assert!(began.elapsed() < Duration::from_secs(5));
        }
    }
}
