use super::*;

fn event(pcr: u32, kind: u32, digest: [u8; 32], data: &[u8]) -> Vec<u8> {
    let mut out = [pcr.to_le_bytes(), kind.to_le_bytes(), 2u32.to_le_bytes()].concat();
    out.extend_from_slice(&4u16.to_le_bytes());
    out.extend_from_slice(&[0x11; 20]);
    out.extend_from_slice(&0x0bu16.to_le_bytes());
    out.extend_from_slice(&digest);
    out.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
    out.extend_from_slice(data);
    out
}

fn header() -> Vec<u8> {
    let mut spec = b"Spec ID Event03\0".to_vec();
    spec.extend_from_slice(&[0, 0, 0, 0, 0, 2, 0, 2]);
    spec.extend_from_slice(&2u32.to_le_bytes());
    spec.extend_from_slice(&[4, 0, 20, 0, 0x0b, 0, 32, 0]);
    spec.push(0);
    let mut out = [0u32.to_le_bytes(), 3u32.to_le_bytes()].concat();
    out.extend_from_slice(&[0; 20]);
    out.extend_from_slice(&u32::try_from(spec.len()).unwrap().to_le_bytes());
    out.extend_from_slice(&spec);
    out
}

/// A log of two events on PCR 0 (started in locality 3), one on 7 and one on 8, and the values of 0 and 7 after it.
pub(crate) fn sample() -> (Vec<u8>, Vec<PcrValue>) {
    let locality = event(0, EV_NO_ACTION, [0; 32], b"StartupLocality\0\x03");
    let events = [
        event(0, 8, [1; 32], b"version"),
        event(0, 1, [2; 32], b""),
        event(7, 1, [3; 32], b""),
        event(8, 1, [4; 32], b""),
    ];
    let log = [header(), locality, events.concat()].concat();
    let mut start = [0; 32];
    start[31] = 3;
    let zero = sha256(&[&sha256(&[&start, &[1; 32]]), &[2; 32]]);
    let seven = sha256(&[&[0; 32], &[3; 32]]);
    (log, vec![PcrValue { index: 0, digest: zero }, PcrValue { index: 7, digest: seven }])
}

#[test]
fn the_sample_replays() {
    let (log, pcrs) = sample();
    assert_eq!(replay(&log, &pcrs), Ok(()));
}

#[test]
fn the_systems_own_pcrs_need_no_firmware_log() {
    let (log, mut pcrs) = sample();
    pcrs.push(PcrValue { index: 8, digest: [9; 32] });
    assert_eq!(replay(&log, &pcrs), Ok(()));
}

#[test]
fn a_firmware_pcr_that_the_log_does_not_explain_is_a_mismatch() {
    let (log, mut pcrs) = sample();
    pcrs.push(PcrValue { index: 4, digest: [9; 32] });
    assert_eq!(replay(&log, &pcrs), Err(EventLogError::Mismatch(4)));
    pcrs[0].digest[0] ^= 1;
    assert_eq!(replay(&log, &pcrs), Err(EventLogError::Mismatch(0)));
}

#[test]
fn a_log_of_too_many_events_is_refused() {
    let one = event(0, 1, [1; 32], b"");
    // Larger than the byte limit as well, which is what the outer check is for.
    let log = [header(), one.repeat(EVENTS_MAX + 1)].concat();
    assert_eq!(extend_all(&log), Err(EventLogError::TooMany));
}

#[test]
fn events_of_unknown_pcrs_digests_or_forms_are_refused() {
    let bad_pcr = [header(), event(24, 1, [1; 32], b"")].concat();
    assert_eq!(extend_all(&bad_pcr), Err(Malformed::Invalid("event PCR").into()));
    let mut bad_alg = [header(), event(0, 1, [1; 32], b"")].concat();
    let alg = header().len() + 12;
    bad_alg[alg] = 0x0d;
    assert_eq!(extend_all(&bad_alg), Err(Malformed::Invalid("event digest algorithm").into()));
    let mut old = header();
    old[32] ^= 1;
    assert_eq!(extend_all(&old), Err(Malformed::Unsupported("event log format").into()));
}
