//! Sizes, spans of time and PCR values as people write them.

use std::time::Duration;

use holdfast_domain::PcrValue;

/// `10GiB`, `500MB`, `4096`: powers of 1024 with `i`, of 1000 without.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(format!("{unit:?} is no unit of size: use B, KiB, MiB, GiB, TiB, KB, MB, GB or TB")),
    };
    number.checked_mul(factor).ok_or_else(|| "the size is too large".to_owned())
}

/// `30s`, `10m`, `1h`, `7d`.
pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("a span is a number with s, m, h or d, such as 10m".to_owned()),
    };
    let seconds = number.checked_mul(factor).filter(|seconds| *seconds <= 10 * 365 * 86_400);
    seconds.map(Duration::from_secs).ok_or_else(|| "the span is longer than ten years".to_owned())
}

/// `7=<64 hex digits>`.
pub(super) fn parse_pcr(text: &str) -> Result<PcrValue, String> {
    let usage = || "a PCR value is INDEX=HEX with 64 hex digits".to_owned();
    let (index, digits) = text.split_once('=').ok_or_else(usage)?;
    let index = index.parse().map_err(|_| usage())?;
    let mut digest = [0; 32];
    hex::decode_to_slice(digits, &mut digest).map_err(|_| usage())?;
    Ok(PcrValue { index, digest })
}

/// Three digits or so, in the unit that fits.
pub(super) fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut tenths, mut unit) = (u128::from(bytes) * 10, "B");
    for next in UNITS {
        if tenths < 10_240 {
            break;
        }
        (tenths, unit) = ((tenths + 512) / 1024, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

/// `3 s`, `2 min`; how long ago something was, or that it never was.
pub(super) fn show_ago(ago: Option<Duration>) -> String {
    let Some(ago) = ago else { return "never".to_owned() };
    match ago.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn split(text: &str) -> Result<(u64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    let number = number.parse().map_err(|_| format!("{text:?} does not begin with a whole number"))?;
    Ok((number, unit.trim()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_and_spans_read_as_written() {
        assert_eq!(parse_size("1GiB"), Ok(1 << 30));
        assert_eq!(parse_size("500 MB"), Ok(500_000_000));
        assert_eq!(parse_size("7"), Ok(7));
        assert_eq!(parse_span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_span("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "GiB", "1 parsec", "99999999999TiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        for bad in ["", "10", "1y", "99999999d"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_show_in_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(show_size(bytes), text);
        }
    }

    #[test]
    fn a_moment_ago_shows_in_the_unit_that_fits() {
        let show = |seconds| show_ago(Some(Duration::from_secs(seconds)));
        assert_eq!([show(3), show(120), show(7_200), show(864_000)], ["3 s", "2 min", "2 h", "10 days"]);
        assert_eq!(show_ago(None), "never");
    }

    #[test]
    fn a_pcr_has_an_index_and_64_digits() {
        let value = parse_pcr(&format!("7={}", "0a".repeat(32))).unwrap();
        assert_eq!((value.index, value.digest), (7, [10; 32]));
        for bad in ["7", "7=00", "=00", "x=00"] {
            assert!(parse_pcr(bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String, number: u64) {
            let _ = (parse_size(&text), parse_span(&text), parse_pcr(&text), show_size(number));
            prop_assert_eq!(parse_size(&number.to_string()), Ok(number));
        }
    }
}
