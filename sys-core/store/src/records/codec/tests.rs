use holdfast_domain::AccountId;
use holdfast_keys::{DigestKey, LocatorKey};
use proptest::prelude::*;

use super::*;
use crate::records::{SlotDigest, partition_token};

const NAMES: IndexName = IndexName { kind: RowKind(1), name: "by-owner" };
const SPEC: TablespaceSpec =
    TablespaceSpec { id: Tablespace(7), module: "files", name: "entries", indexes: &[NAMES] };

fn keyring() -> PartitionKeyring {
    PartitionKeyring::generate(KeyGeneration(1)).unwrap()
}

fn codec_of(keyring: &PartitionKeyring) -> RecordCodec {
    let cluster = ClusterId::new([1; 16]);
    let home = AccountId::new([2; 16]);
    let partition = partition_token(&LocatorKey::from_bytes([3; 32]), home);
    RecordCodec::new(cluster, Slot::of_home(cluster, home), partition, &SPEC, keyring)
}

fn codec_of_other(keyring: &PartitionKeyring) -> RecordCodec {
    let cluster = ClusterId::new([1; 16]);
    let home = AccountId::new([9; 16]);
    let partition = partition_token(&LocatorKey::from_bytes([3; 32]), home);
    RecordCodec::new(cluster, Slot::of_home(cluster, home), partition, &SPEC, keyring)
}

fn head(components: &[&str]) -> Head {
    Head {
        components: components.iter().map(|c| c.as_bytes().to_vec()).collect(),
        fields: b"owner=ann".to_vec(),
    }
}

fn sealed(codec: &RecordCodec, components: &[&str], body: &[u8]) -> (RecordKey, StoredRecord) {
    let key = codec.key(RowKind::PRIMARY, components, b"").unwrap();
    let mut nonces = NonceBatch::draw(2).unwrap();
    let record = codec.seal(&mut nonces, &key, RecordVersion(9), &head(components), body).unwrap();
    (key, record)
}

#[test]
fn a_record_opens_to_what_was_sealed() {
    let codec = codec_of(&keyring());
    let (key, record) = sealed(&codec, &["docs", "a"], b"body");
    let (_, read, opened) = codec.open_row(key.as_bytes().clone(), record.as_bytes().clone()).unwrap();
    assert_eq!(opened, OpenedRecord { head: head(&["docs", "a"]), body: b"body".to_vec() });
    assert_eq!(read.etag(), record.etag());
}

#[test]
fn a_name_with_its_keys_seals_and_opens_the_same_records_and_no_others() {
    let codec = codec_of(&keyring());
    let named = |components: &[&str]| codec.named(RowKind::PRIMARY, components).unwrap();
    let (a, b) = (named(&["docs", "a"]), named(&["docs", "b"]));
    let record = codec.seal_named(&mut NonceBatch::draw(2).unwrap(), &a, RecordVersion(9), b"body").unwrap();
    let key = a.newest().unwrap();
    let opened = codec.open(key, &record).unwrap();
    assert_eq!(opened, codec.open_named(&a, key, &record).unwrap());
    assert_eq!((opened.head.components.as_slice(), &*opened.body), (a.components(), b"body".as_slice()));
    assert_eq!(codec.open_named(&b, key, &record), Err(RecordError::NameMismatch));
    // Whoever writes rows and has the keys may put one under another name's tokens.
    let head = Head { components: b.components().to_vec(), fields: Vec::new() };
    let moved =
        codec.seal_under(&mut NonceBatch::draw(2).unwrap(), key, RecordVersion(9), &head, b"").unwrap();
    assert_eq!(codec.open_named(&a, key, &moved), Err(RecordError::NameMismatch));
    assert_eq!(codec.open_named(&b, key, &moved), Err(RecordError::NameMismatch));
    let elsewhere = codec_of_other(&keyring());
    assert_eq!(elsewhere.open_named(&a, key, &record), Err(RecordError::OtherScope));
}

#[test]
fn two_sealings_of_one_version_have_different_etags() {
    let codec = codec_of(&keyring());
    assert_ne!(sealed(&codec, &["a"], b"body").1.etag(), sealed(&codec, &["a"], b"body").1.etag());
}

#[test]
fn a_record_under_another_key_or_version_is_refused() {
    let codec = codec_of(&keyring());
    let (_, record) = sealed(&codec, &["docs", "a"], b"body");
    let (other_key, _) = sealed(&codec, &["docs", "b"], b"body");
    assert!(matches!(codec.open(&other_key, &record), Err(RecordError::Refused(_))));
    let (key, record) = sealed(&codec, &["docs", "a"], b"body");
    let newer = StoredRecord::assemble(
        RecordVersion(10),
        record.generation(),
        record.sealed_head(),
        record.sealed_body(),
    );
    assert!(matches!(codec.open(&key, &newer.unwrap()), Err(RecordError::Refused(_))));
}

#[test]
fn a_body_with_the_head_of_another_version_is_refused() {
    let codec = codec_of(&keyring());
    let (key, one) = sealed(&codec, &["a"], b"one");
    let (_, two) = sealed(&codec, &["a"], b"two");
    let mixed = StoredRecord::assemble(one.version(), one.generation(), one.sealed_head(), two.sealed_body())
        .unwrap();
    assert!(codec.open_head(&key, &mixed).is_ok());
    assert!(matches!(codec.open(&key, &mixed), Err(RecordError::Refused(_))));
}

#[test]
fn a_head_that_does_not_name_its_key_is_refused_before_sealing() {
    let codec = codec_of(&keyring());
    let key = codec.key(RowKind::PRIMARY, &["docs", "a"], b"").unwrap();
    let mut nonces = NonceBatch::draw(2).unwrap();
    let result = codec.seal(&mut nonces, &key, RecordVersion(1), &head(&["docs", "b"]), b"");
    assert_eq!(result, Err(RecordError::NameMismatch));
}

#[test]
fn a_key_of_another_tablespace_is_outside_of_the_scope() {
    let keyring = keyring();
    let codec = codec_of(&keyring);
    let (key, record) = sealed(&codec, &["a"], b"");
    let other = RecordCodec { tablespace: Tablespace(8), ..codec_of(&keyring) };
    assert!(matches!(other.open(&key, &record), Err(RecordError::OtherScope | RecordError::Refused(_))));
    let (foreign, _) = sealed(&other, &["a"], b"");
    let mut nonces = NonceBatch::draw(2).unwrap();
    let result = codec.seal(&mut nonces, &foreign, RecordVersion(1), &head(&["a"]), b"");
    assert_eq!(result, Err(RecordError::OtherScope));
}

#[test]
fn an_index_has_tokens_of_its_own() {
    let codec = codec_of(&keyring());
    let primary = codec.key(RowKind::PRIMARY, &["a"], b"").unwrap();
    let index = codec.key(NAMES.kind, &["a"], b"").unwrap();
    assert!(primary.tokens().ne(index.tokens()));
    assert_eq!(codec.key(RowKind(9), &["a"], b""), Err(RecordError::UnknownKind(RowKind(9))));
}

#[test]
fn records_of_an_older_generation_open_and_new_ones_use_the_newest() {
    let mut keyring = keyring();
    let (old_key, old) = sealed(&codec_of(&keyring), &["a"], b"old");
    keyring.data.rotate(KeyGeneration(2)).unwrap();
    keyring.names.rotate(KeyGeneration(5)).unwrap();
    let codec = codec_of(&keyring);
    assert_eq!(codec.open(&old_key, &old).unwrap().body, b"old");
    let (new_key, new) = sealed(&codec, &["a"], b"new");
    assert_eq!(new.generation(), KeyGeneration(2));
    let keys = codec.keys(RowKind::PRIMARY, &["a"], b"").unwrap();
    assert_eq!(keys.iter().map(|found| &found.key).collect::<Vec<_>>(), [&old_key, &new_key]);
    keyring.data.retire(KeyGeneration(1)).unwrap();
    assert_eq!(
        codec_of(&keyring).open(&old_key, &old),
        Err(RecordError::UnknownGeneration(KeyGeneration(1)))
    );
}

#[test]
fn the_aad_is_the_documented_one() {
    let codec = codec_of(&keyring());
    let key = codec.key(RowKind::PRIMARY, &["a"], b"seq").unwrap();
    let aad = codec.aad(&key, RecordVersion(9), KeyGeneration(1));
    let mut expected = b"HFR1".to_vec();
    expected.extend([1, 0]);
    expected.extend([1; 16]);
    expected.extend(u32::try_from(key.as_bytes().len()).unwrap().to_be_bytes());
    expected.extend_from_slice(key.as_bytes());
    expected.extend(9u64.to_be_bytes());
    expected.extend(1u32.to_be_bytes());
    assert_eq!(aad.head(), expected);
    expected[5] = 1;
    expected.extend([7; 16]);
    assert_eq!(aad.body(&[7; 40]).unwrap(), expected);
}

#[test]
fn an_older_copy_of_a_record_changes_the_slot_digest() {
    let codec = codec_of(&keyring());
    let digest_key = DigestKey::from_bytes([4; 32]);
    let (key, one) = sealed(&codec, &["a"], b"one");
    let (_, two) = sealed(&codec, &["a"], b"two");
    let (mut with_one, mut with_two) = (SlotDigest::default(), SlotDigest::default());
    with_one.add(&digest_key, &key, &one);
    with_two.add(&digest_key, &key, &two);
    assert_ne!(with_one, with_two);
    with_one.remove(&digest_key, &key, &one);
    assert_eq!(with_one, SlotDigest::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_flipped_bit_goes_unseen(position in 0usize..1000, bit in 0u8..8) {
        let codec = codec_of(&keyring());
        let (key, record) = sealed(&codec, &["docs", "a"], b"some body");
        let mut bytes = record.as_bytes().to_vec();
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        if let Ok(damaged) = StoredRecord::parse(bytes.into()) {
            prop_assert!(codec.open(&key, &damaged).is_err());
        }
    }

    #[test]
    fn any_name_and_body_within_limits_reads_back(components in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8), ordered in prop::collection::vec(any::<u8>(), 0..64), body in prop::collection::vec(any::<u8>(), 0..2000)) {
        let codec = codec_of(&keyring());
        let key = codec.key(RowKind::PRIMARY, &components, &ordered).unwrap();
        let head = Head { components, fields: Vec::new() };
        let mut nonces = NonceBatch::draw(2).unwrap();
        let record = codec.seal(&mut nonces, &key, RecordVersion(1), &head, &body).unwrap();
        prop_assert_eq!(codec.open(&key, &record).unwrap(), OpenedRecord { head, body });
    }
}
