use proptest::prelude::*;

use super::*;
use crate::{
    KeyGeneration,
    secret::{DataKey, DigestKey, Dmk, LocatorKey, NameKey, SlotKey},
};

fn slot() -> SlotKeyring {
    SlotKeyring {
        slot: SlotKey::from_bytes([1; 32]),
        locator: LocatorKey::from_bytes([2; 32]),
        digest: DigestKey::from_bytes([3; 32]),
    }
}

fn partition() -> PartitionKeyring {
    let mut keyring = PartitionKeyring {
        data: Generations::first(KeyGeneration(1), DataKey::from_bytes([4; 32])),
        names: Generations::first(KeyGeneration(7), NameKey::from_bytes([6; 32])),
    };
    keyring.data.push(KeyGeneration(3), DataKey::from_bytes([5; 32])).unwrap();
    keyring
}

fn assert_is_slot(keyring: &SlotKeyring) {
    assert!(keyring.slot.equals(&slot().slot));
    assert!(keyring.locator.equals(&slot().locator));
    assert!(keyring.digest.equals(&slot().digest));
}

fn assert_is_partition(keyring: &PartitionKeyring) {
    let data: Vec<_> = keyring.data.iter().map(|(g, key)| (g.0, key.expose_for_wrapping()[0])).collect();
    let names: Vec<_> = keyring.names.iter().map(|(g, key)| (g.0, key.expose_for_wrapping()[0])).collect();
    assert_eq!((data, names), (vec![(1, 4), (3, 5)], vec![(7, 6)]));
}

#[test]
fn sealed_keyrings_read_back() {
    let (dmk, slot_key) = (Dmk::from_bytes([0x42; 32]), SlotKey::from_bytes([0x43; 32]));
    assert_is_slot(&SlotKeyring::open(&dmk, b"ctx", &slot().seal(&dmk, b"ctx").unwrap()).unwrap());
    let sealed = partition().seal(&slot_key, b"ctx").unwrap();
    assert_is_partition(&PartitionKeyring::open(&slot_key, b"ctx", &sealed).unwrap());
}

#[test]
fn frozen_keyrings_still_open() {
    let sealed = hex::decode(include_str!("../../frozen/slot-keyring-1.hex").trim()).unwrap();
    assert_is_slot(&SlotKeyring::open(&Dmk::from_bytes([0x42; 32]), b"ctx", &sealed).unwrap());
    let sealed = hex::decode(include_str!("../../frozen/partition-keyring-1.hex").trim()).unwrap();
    assert_is_partition(&PartitionKeyring::open(&SlotKey::from_bytes([0x43; 32]), b"ctx", &sealed).unwrap());
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let (dmk, slot_key) = (Dmk::from_bytes([0x42; 32]), SlotKey::from_bytes([0x43; 32]));
    let (slot, partition) = (slot().seal(&dmk, b"").unwrap(), partition().seal(&slot_key, b"").unwrap());
    let flipped = |sealed: &[u8], bit: usize| {
        let mut bad = sealed.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        bad
    };
    for bit in 0..slot.len() * 8 {
        assert!(SlotKeyring::open(&dmk, b"", &flipped(&slot, bit)).is_err(), "bit {bit}");
    }
    for bit in 0..partition.len() * 8 {
        assert!(PartitionKeyring::open(&slot_key, b"", &flipped(&partition, bit)).is_err(), "bit {bit}");
    }
}

#[test]
fn a_keyring_elsewhere_or_of_another_kind_is_refused() {
    let dmk = Dmk::from_bytes([0x42; 32]);
    let sealed = slot().seal(&dmk, b"slot 1").unwrap();
    let refused = Some(KeyringError::Aead(AeadError::Refused));
    assert_eq!(SlotKeyring::open(&dmk, b"slot 2", &sealed).err(), refused);
    assert_eq!(SlotKeyring::open(&Dmk::from_bytes([0x41; 32]), b"slot 1", &sealed).err(), refused);
    // The same key bytes and context, but sealed as the other kind.
    assert_eq!(PartitionKeyring::open(&SlotKey::from_bytes([0x42; 32]), b"slot 1", &sealed).err(), refused);
}

#[test]
fn authentic_bytes_that_are_no_keyring_are_refused() {
    let slot_key = SlotKey::from_bytes([0x43; 32]);
    let entry = |generation: u8| [vec![0, 0, 0, generation], vec![9; 32]].concat();
    let lists = [
        (vec![], KeyringError::Malformed),
        (vec![0], KeyringError::Generations(GenerationError::Empty)),
        (vec![1, 0], KeyringError::Malformed),
        (
            [vec![2], entry(5), entry(5)].concat(),
            KeyringError::Generations(GenerationError::NotNewer(KeyGeneration(5))),
        ),
        ([vec![1], entry(1)].concat(), KeyringError::Malformed),
        ([vec![1], entry(1), vec![1], entry(1), vec![0]].concat(), KeyringError::Malformed),
        (
            [vec![9], (1..=9).flat_map(entry).collect()].concat(),
            KeyringError::Generations(GenerationError::TooMany),
        ),
    ];
    for (plain, expected) in lists {
        let sealed = seal(&slot_key, crate::labels::PARTITION_KEYRING, b"", &plain).unwrap();
        assert_eq!(PartitionKeyring::open(&slot_key, b"", &sealed).err(), Some(expected));
    }
}

#[test]
fn new_data_uses_the_newest_generation_and_older_ones_stay_readable() {
    let mut keyring = partition();
    keyring.data.rotate(KeyGeneration(9)).unwrap();
    assert_eq!(keyring.data.newest().0, KeyGeneration(9));
    assert!(keyring.data.get(KeyGeneration(1)).is_some());
    assert!(keyring.data.get(KeyGeneration(2)).is_none());
    assert_eq!(keyring.names.newest().0, KeyGeneration(7), "generations are independent");
}

#[test]
fn generations_retire_but_never_the_newest() {
    let mut keys = partition().data;
    assert_eq!(keys.retire(KeyGeneration(3)), Err(GenerationError::InUse(KeyGeneration(3))));
    assert_eq!(keys.retire(KeyGeneration(2)), Err(GenerationError::Unknown(KeyGeneration(2))));
    assert_eq!(keys.retire(KeyGeneration(1)), Ok(()));
    assert!(keys.get(KeyGeneration(1)).is_none());
    assert_eq!(keys.len(), 1);
}

#[test]
fn generations_only_grow_and_their_number_is_bounded() {
    let mut keys = Generations::first(KeyGeneration(1), DataKey::from_bytes([0; 32]));
    assert_eq!(keys.rotate(KeyGeneration(1)), Err(GenerationError::NotNewer(KeyGeneration(1))));
    for generation in 2..=8 {
        keys.rotate(KeyGeneration(generation)).unwrap();
    }
    assert_eq!(keys.rotate(KeyGeneration(9)), Err(GenerationError::TooMany));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_open(bytes: Vec<u8>) {
        prop_assert!(SlotKeyring::open(&Dmk::from_bytes([1; 32]), b"", &bytes).is_err());
        prop_assert!(PartitionKeyring::open(&SlotKey::from_bytes([1; 32]), b"", &bytes).is_err());
    }

    #[test]
    fn authentic_arbitrary_bytes_never_panic(plain: Vec<u8>) {
        let slot_key = SlotKey::from_bytes([1; 32]);
        let sealed = seal(&slot_key, crate::labels::PARTITION_KEYRING, b"", &plain).unwrap();
        let _ = PartitionKeyring::open(&slot_key, b"", &sealed);
    }
}
