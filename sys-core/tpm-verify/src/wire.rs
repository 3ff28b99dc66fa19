//! The TPM's wire form: big-endian integers and `TPM2B` (16-bit length, then bytes). Reading never panics, never allocates and
//! accepts one encoding only; whoever reads a structure calls [`Reader::finish`], so that trailing bytes are refused.

/// Why bytes are not the TPM structure they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The input ends inside the named field.
    #[error("{0}: input ends early")]
    Truncated(&'static str),
    /// Bytes follow the named structure.
    #[error("{0}: trailing bytes")]
    Trailing(&'static str),
    /// The named field is longer than its bound.
    #[error("{0}: too long")]
    TooLong(&'static str),
    /// A well-formed choice that we do not take (algorithm, curve, type).
    #[error("{0}: not supported")]
    Unsupported(&'static str),
    /// A value that the structure does not allow.
    #[error("{0}: invalid value")]
    Invalid(&'static str),
}

/// A cursor over untrusted bytes.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts reading `bytes`, refusing more than `max` of them.
    pub(crate) fn bounded(bytes: &'a [u8], max: usize, what: &'static str) -> Result<Self, Malformed> {
        if bytes.len() > max {
            return Err(Malformed::TooLong(what));
        }
        Ok(Self { rest: bytes })
    }

    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated(what))?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated(what))?;
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        self.array(what).map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// A `TPM2B` of at most `max` bytes.
    pub(crate) fn sized(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let len = usize::from(self.u16(what)?);
        if len > max {
            return Err(Malformed::TooLong(what));
        }
        self.take(len, what)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Proves that nothing follows.
    pub(crate) fn finish(self, what: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing(what)) }
    }
}

/// Appends `bytes` as a `TPM2B`.
///
/// # Errors
/// `bytes` is longer than a 16-bit length can say.
pub(crate) fn put_sized(out: &mut Vec<u8>, bytes: &[u8], what: &'static str) -> Result<(), Malformed> {
    let len = u16::try_from(bytes.len()).map_err(|_| Malformed::TooLong(what))?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Left-pads a big-endian number to `N` bytes. TPMs may strip leading zeros from coordinates and signature halves.
pub(crate) fn left_pad<const N: usize>(number: &[u8], what: &'static str) -> Result<[u8; N], Malformed> {
    let mut out = [0; N];
    let start = N.checked_sub(number.len()).ok_or(Malformed::TooLong(what))?;
    out.get_mut(start..).ok_or(Malformed::TooLong(what))?.copy_from_slice(number);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_input_is_truncation() {
        let mut reader = Reader::bounded(&[0, 4, 1, 2], 16, "t").unwrap();
        assert_eq!(reader.sized(8, "field"), Err(Malformed::Truncated("field")));
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_reading() {
        let mut reader = Reader::bounded(&[0xff, 0xff], 16, "t").unwrap();
        assert_eq!(reader.sized(8, "field"), Err(Malformed::TooLong("field")));
    }

    #[test]
    fn padding_keeps_the_number() {
        assert_eq!(left_pad::<4>(&[1, 2], "n"), Ok([0, 0, 1, 2]));
        assert_eq!(left_pad::<1>(&[1, 2], "n"), Err(Malformed::TooLong("n")));
    }
}
