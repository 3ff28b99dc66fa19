use proptest::prelude::*;

use super::*;

fn key() -> Secret32 {
    Secret32::from_bytes([0x42; 32])
}

/// The shares whose bit is set in `mask`.
fn chosen(threshold: u8, count: u8, mask: u32) -> Vec<Share> {
    let all = split(&key(), threshold, count).unwrap();
    all.into_iter().filter(|share| mask >> (share.index - 1) & 1 == 1).collect()
}

#[test]
fn any_subset_combines_if_and_only_if_it_reaches_the_threshold() {
    for (threshold, count) in [(1, 1), (1, 3), (2, 3), (3, 5), (5, 5)] {
        for mask in 1_u32..(1 << count) {
            let shares = chosen(threshold, count, mask);
            let enough = shares.len() >= usize::from(threshold);
            let result = combine(&shares);
            assert_eq!(
                result.is_ok_and(|again| again.equals(&key())),
                enough,
                "{threshold} of {count}: {mask:b}"
            );
        }
    }
}

#[test]
fn too_few_shares_that_lie_about_the_threshold_are_refused() {
    let mut shares = chosen(3, 5, 0b11);
    shares.iter_mut().for_each(|share| share.threshold = 2);
    assert_eq!(combine(&shares).err(), Some(CombineError::Refused));
}

#[test]
fn a_share_of_another_split_is_refused() {
    let mut shares = chosen(3, 5, 0b00011);
    shares.extend(chosen(3, 5, 0b00100));
    assert_eq!(combine(&shares).err(), Some(CombineError::Refused));
    shares.extend(chosen(2, 5, 0b01000));
    assert_eq!(combine(&shares).err(), Some(CombineError::Mixed));
}

#[test]
fn a_wrong_share_among_more_than_enough_is_noticed() {
    let mut shares = chosen(2, 5, 0b111);
    shares[2].value[0] ^= 1;
    assert_eq!(combine(&shares).err(), Some(CombineError::Refused));
}

#[test]
fn a_share_given_twice_counts_for_an_error_and_not_for_two() {
    let mut shares = chosen(2, 3, 0b001);
    shares.push(shares[0].expose_text().parse().unwrap_or_else(|_| unreachable!()));
    assert_eq!(combine(&shares).err(), Some(CombineError::Repeated(1)));
    assert_eq!(combine(&[]).err(), Some(CombineError::TooFew { given: 0, threshold: 1 }));
}

#[test]
fn impossible_splits_are_refused() {
    for (threshold, shares) in [(0, 3), (4, 3), (2, MAX_SHARES + 1)] {
        assert_eq!(split(&key(), threshold, shares).err(), Some(SplitError::Threshold { threshold, shares }));
    }
    assert_eq!(split(&key(), MAX_SHARES, MAX_SHARES).unwrap().len(), usize::from(MAX_SHARES));
}

#[test]
fn any_change_of_the_text_is_refused() {
    let text = chosen(2, 3, 0b010).remove(0).expose_text();
    assert!(text.parse::<Share>().is_ok());
    assert!(format!(" {}\n", *text).parse::<Share>().is_ok());
    for at in 0..text.len() {
        for other in ["0", "1", ":", "x", ""] {
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(changed.parse::<Share>().is_ok(), changed == *text, "{changed}");
        }
    }
}

#[test]
fn frozen_shares_still_combine() {
    let shares: Vec<Share> = include_str!("../../frozen/shares-1.txt")
        .lines()
        .map(|line| line.parse().unwrap_or_else(|error| panic!("{error}")))
        .collect();
    assert!(combine(&shares).is_ok_and(|again| again.equals(&key())));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}", tail in "[0-9a-f:]{0,120}") {
        prop_assert!(text.parse::<Share>().is_err());
        let almost = ["holdfast-share-1:1:2:", &tail].concat();
        prop_assert!(almost.parse::<Share>().is_err());
    }
}
