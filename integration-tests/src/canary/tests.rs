use std::fs;

use super::*;

fn needles(all: &[&[u8]]) -> Needles {
    let mut needles = Needles::new();
    for (number, bytes) in all.iter().enumerate() {
        needles.add(format!("needle {number}"), bytes);
    }
    needles
}

#[test]
fn a_planted_needle_is_found_across_the_border_of_two_reads() {
    let dir = tempfile::tempdir().unwrap();
    let secret = b"the quick brown fox, 1234567890 times";
    fs::create_dir(dir.path().join("deep")).unwrap();
    plant(&dir.path().join("deep"), secret).unwrap();
    let mut findings = Findings::default();
    search_folder(&needles(&[secret, b"something that is not there"]), dir.path(), &mut findings).unwrap();
    assert_eq!(findings.found.keys().collect::<Vec<_>>(), ["needle 0"]);
    assert!(findings.expect_nothing().is_err());
}

#[test]
fn needles_at_the_very_beginning_and_end_are_found_and_halves_are_not() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), b"at the beginning... half of a nee... at the very end").unwrap();
    let mut findings = Findings::default();
    let needles = needles(&[b"at the beginning", b"at the very end", b"half of a needle"]);
    search_folder(&needles, dir.path(), &mut findings).unwrap();
    assert_eq!(findings.found.len(), 2);
}

#[test]
fn a_needle_in_two_packets_of_one_connection_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("traffic.pcap");
    fs::write(&file, capture::tests::of(&[b"noise, my passw", b"ord is swordfish, noise"])).unwrap();
    let mut findings = Findings::default();
    search_capture(&needles(&[b"password is swordfish"]), &file, &mut findings).unwrap();
    assert_eq!(findings.found.len(), 1);
}

#[test]
fn a_key_is_found_in_hex_too() {
    let dir = tempfile::tempdir().unwrap();
    let key = [0xa7; 32];
    fs::write(dir.path().join("log"), format!("key={}", hex::encode(key))).unwrap();
    let mut needles = Needles::new();
    add_key(&mut needles, "DMK", &key);
    let mut findings = Findings::default();
    search_folder(&needles, dir.path(), &mut findings).unwrap();
    assert_eq!(findings.found.len(), 1);
}

#[test]
fn runs_of_one_byte_are_no_samples() {
    assert!(!is_telling(&[b' '; SAMPLE]) && is_telling(b"Lorem ipsum dolor sit amet, cons"));
}
