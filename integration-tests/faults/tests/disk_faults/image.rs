//! What the maker of images takes back, seen with files that the test itself writes.

use std::{
    collections::BTreeSet,
    fs,
    io::{Seek as _, SeekFrom, Write as _},
};

use holdfast_faults::{
    draw::Draw,
    journal::{Record, decode},
    power,
};
use tempfile::TempDir;

/// A folder with a journal, as the library would have written it.
struct Scene {
    dir: TempDir,
    journal: Vec<u8>,
    sequence: u64,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("disk")).unwrap();
        fs::create_dir_all(dir.path().join("journal/victims")).unwrap();
        Self { dir, journal: Vec::new(), sequence: 0 }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("disk").join(name)
    }

    fn record(&mut self, record: &Record) -> u64 {
        self.sequence += 1;
        self.journal.extend(record.encode(self.sequence));
        self.sequence
    }

    fn inode(&self, name: &str) -> u64 {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(self.path(name)).unwrap())
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> u64 {
        let old = fs::read(self.path(name)).unwrap_or_default();
        let mut file =
            fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.path(name)).unwrap();
        let (start, size) = (usize::try_from(offset).unwrap(), u64::try_from(old.len()).unwrap());
        let replaced = old.get(start..).unwrap_or_default();
        let replaced = replaced[..replaced.len().min(bytes.len())].to_vec();
        let (file_id, len) = (self.inode(name), u64::try_from(bytes.len()).unwrap());
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.write_all(bytes).unwrap();
        self.record(&Record::Write { file: file_id, offset, len, size, old: replaced })
    }

    fn image(&self, seed: u64) -> std::path::PathBuf {
        let journal = self.dir.path().join("journal");
        fs::write(journal.join("journal"), &self.journal).unwrap();
        let into = self.dir.path().join("image");
        power::image(&self.dir.path().join("disk"), &journal, &mut Draw::new(seed), &into).unwrap();
        into
    }
}

#[test]
fn a_record_is_read_as_it_was_written_and_a_torn_end_is_left_out() {
    let records = [
        Record::Write { file: 1, offset: 2, len: 3, size: 4, old: vec![5, 6] },
        Record::Resize { file: 1, size: 9, to: 4, old: vec![1] },
        Record::Renamed { from: b"a/b".to_vec(), to: b"c".to_vec(), replaced: true },
        Record::FolderSynced { path: vec![], upto: 3 },
    ];
    let mut journal = Vec::new();
    for (n, record) in (1..).zip(&records) {
        journal.extend(record.encode(n));
    }
    let read: Vec<_> = decode(&journal).into_iter().map(|(_, record)| record).collect();
    assert_eq!(read, records);
    for len in 0..journal.len() {
        assert!(decode(&journal[..len]).len() < 4);
    }
}

#[test]
fn synced_bytes_stay_and_each_other_sector_is_one_of_those_that_it_was() {
    let mut scene = Scene::new();
    scene.write("file", 0, &[1; 4096]);
    let upto = scene.sequence;
    let file = scene.inode("file");
    scene.record(&Record::Synced { file, upto });
    scene.write("file", 1000, &[2; 2000]);
    scene.write("file", 1500, &[3; 4000]);
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        let bytes = fs::read(scene.image(seed).join("file")).unwrap();
        assert!([4096, 5500].contains(&bytes.len()), "{}", bytes.len());
        assert!(bytes[..1000].iter().all(|byte| *byte == 1));
        for sector in bytes.chunks(512) {
            let kinds: BTreeSet<u8> = sector.iter().copied().collect();
            seen.insert(kinds.into_iter().collect::<Vec<_>>());
        }
    }
    // Old, new, and both writes in one sector: with and without the later.
    for kinds in [vec![1], vec![2], vec![3], vec![1, 2], vec![2, 3]] {
        assert!(seen.contains(&kinds), "{kinds:?} never came out of {seen:?}");
    }
}

#[test]
fn names_without_a_sync_of_their_folder_may_never_have_been() {
    let mut scene = Scene::new();
    scene.write("old", 0, b"old");
    let upto = scene.sequence;
    let old = scene.inode("old");
    scene.record(&Record::Synced { file: old, upto });
    // `new` is written, synced, and renamed over `old`; the folder is not synced.
    scene.write("new", 0, b"new");
    let new = scene.inode("new");
    scene.record(&Record::Created { file: new, path: b"new".to_vec() });
    let upto = scene.sequence;
    scene.record(&Record::Synced { file: new, upto });
    let number = scene.sequence + 1;
    fs::hard_link(scene.path("old"), scene.dir.path().join(format!("journal/victims/{number}"))).unwrap();
    scene.record(&Record::Renamed { from: b"new".to_vec(), to: b"old".to_vec(), replaced: true });
    fs::rename(scene.path("new"), scene.path("old")).unwrap();
    let outcomes = |scene: &Scene| -> BTreeSet<(String, bool)> {
        (0..40)
            .map(|seed| {
                let image = scene.image(seed);
                (fs::read_to_string(image.join("old")).unwrap(), image.join("new").exists())
            })
            .collect()
    };
    let all = [("new".to_owned(), false), ("old".to_owned(), true), ("old".to_owned(), false)];
    assert_eq!(outcomes(&scene), all.into_iter().collect());
    let upto = scene.sequence;
    scene.record(&Record::FolderSynced { path: vec![], upto });
    assert_eq!(outcomes(&scene), [("new".to_owned(), false)].into_iter().collect());
}
