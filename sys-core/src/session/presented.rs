//! What a request says of its session, read off its headers. All of it is a stranger's text.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use holdfast_domain::{Reason, Signature64};
use holdfast_keys::hash::sha256;
use holdfast_proto::session as names;
use http::{HeaderMap, HeaderName, HeaderValue, header::ORIGIN};

static SESSION: HeaderName = HeaderName::from_static(names::SESSION);
static COUNTER: HeaderName = HeaderName::from_static(names::COUNTER);
static SIGNATURE: HeaderName = HeaderName::from_static(names::SIGNATURE);

/// Digits of the largest counter.
const MAX_COUNTER_DIGITS: usize = 20;

/// What a session is known by: SHA-256 of its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionId([u8; 32]);

impl SessionId {
    pub(super) fn of(secret: &[u8; 32]) -> Self {
        Self(sha256(secret))
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whether a request is made in a session, or claims to be.
pub(crate) fn is_presented(headers: &HeaderMap) -> bool {
    headers.contains_key(&SESSION)
}

/// Which session.
pub(super) fn session(headers: &HeaderMap) -> Result<SessionId, Reason> {
    let text = only(headers, &SESSION)?.ok_or(Reason::SessionUnknown)?;
    // A secret of another form is one that nobody was ever given.
    let secret = base64url::<32>(text).ok_or(Reason::SessionUnknown)?;
    Ok(SessionId::of(&secret))
}

/// The origin of the page that asks, as its browser says.
pub(super) fn origin(headers: &HeaderMap) -> Result<Option<&str>, Reason> {
    let text = |value: &HeaderValue| std::str::from_utf8(value.as_bytes()).map(str::len).is_ok();
    match only(headers, &ORIGIN)? {
        Some(value) if text(value) => Ok(std::str::from_utf8(value.as_bytes()).ok()),
        Some(_) => Err(Reason::Malformed),
        None => Ok(None),
    }
}

/// The counter of a signed request.
pub(super) fn counter(headers: &HeaderMap) -> Result<u64, Reason> {
    let text = only(headers, &COUNTER)?.ok_or(Reason::SessionSignature)?.as_bytes();
    let canonical = text.iter().all(u8::is_ascii_digit) && text.first().is_some_and(|first| *first != b'0');
    if text.len() > MAX_COUNTER_DIGITS || !canonical {
        return Err(Reason::Malformed);
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Reason::Malformed)
}

/// The signature of a signed request.
pub(super) fn signature(headers: &HeaderMap) -> Result<Signature64, Reason> {
    let text = only(headers, &SIGNATURE)?.ok_or(Reason::SessionSignature)?;
    base64url::<64>(text).map(Signature64).ok_or(Reason::Malformed)
}

/// The only value of a header: two of them are two requests in one.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Reason> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Reason::Malformed),
    }
}

fn base64url<const N: usize>(value: &HeaderValue) -> Option<[u8; N]> {
    // Before anything is decoded: the text has one length.
    if value.len() != (N * 4).div_ceil(3) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(value.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(name: &HeaderName, values: &[&[u8]]) -> HeaderMap {
        let value = |bytes: &&[u8]| (name.clone(), HeaderValue::from_bytes(bytes).unwrap());
        let mut map = HeaderMap::new();
        values.iter().map(value).for_each(|(name, value)| {
            map.append(name, value);
        });
        map
    }

    #[test]
    fn a_session_has_one_spelling() {
        let good = URL_SAFE_NO_PAD.encode([0xfb; 32]);
        assert_eq!(session(&headers(&SESSION, &[good.as_bytes()])), Ok(SessionId::of(&[0xfb; 32])));
        let (padded, standard) = (format!("{good}="), good.replace('-', "+").replace('_', "/"));
        // Bits beyond the last byte are zero.
        let loose = format!("{}9", &good[..42]);
        for bad in ["", &good[..42], &padded, &standard, &loose] {
            assert_eq!(
                session(&headers(&SESSION, &[bad.as_bytes()])),
                Err(Reason::SessionUnknown),
                "{bad:?}"
            );
        }
        assert_eq!(session(&headers(&SESSION, &[b"\xff\xfe"])), Err(Reason::SessionUnknown));
        assert_eq!(session(&headers(&SESSION, &[&[b'A'; 8000]])), Err(Reason::SessionUnknown));
        assert_eq!(session(&headers(&SESSION, &[good.as_bytes(); 2])), Err(Reason::Malformed));
    }

    #[test]
    fn a_counter_is_decimal_and_nothing_else() {
        assert_eq!(counter(&headers(&COUNTER, &[b"18446744073709551615"])), Ok(u64::MAX));
        assert_eq!(counter(&HeaderMap::new()), Err(Reason::SessionSignature));
        for bad in [
            "",
            "0",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "0x1",
            "1e3",
            "18446744073709551616",
            "999999999999999999999",
        ] {
            assert_eq!(counter(&headers(&COUNTER, &[bad.as_bytes()])), Err(Reason::Malformed), "{bad:?}");
        }
        assert_eq!(counter(&headers(&COUNTER, &[b"1", b"2"])), Err(Reason::Malformed));
    }

    #[test]
    fn an_origin_that_is_no_text_or_said_twice_is_malformed() {
        assert_eq!(origin(&headers(&ORIGIN, &[b"https://a"])), Ok(Some("https://a")));
        assert_eq!(origin(&HeaderMap::new()), Ok(None));
        assert_eq!(origin(&headers(&ORIGIN, &[b"\xff"])), Err(Reason::Malformed));
        assert_eq!(origin(&headers(&ORIGIN, &[b"https://a", b"https://b"])), Err(Reason::Malformed));
    }

    proptest! {
        #[test]
        fn arbitrary_headers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                for name in [&SESSION, &COUNTER, &SIGNATURE, &ORIGIN] {
                    let mut map = HeaderMap::new();
                    map.insert(name, value.clone());
                    let _ = (session(&map), counter(&map), signature(&map), origin(&map));
                }
            }
        }

        #[test]
        fn what_is_written_is_read(secret: [u8; 32], number in 1u64.., half: [u8; 32]) {
            let signed = [half, secret].concat();
            let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(session(&headers(&SESSION, &[text(&secret).as_bytes()])), Ok(SessionId::of(&secret)));
            prop_assert_eq!(counter(&headers(&COUNTER, &[number.to_string().as_bytes()])), Ok(number));
            let read = signature(&headers(&SIGNATURE, &[text(&signed).as_bytes()])).unwrap();
            prop_assert_eq!(&read.0[..], &signed[..]);
        }
    }
}
