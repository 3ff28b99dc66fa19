//! Which rows: a condition over a row's fields, in terms that the query layer can look up.

use std::collections::BTreeSet;

use holdfast_domain::{FieldValue, Fields};

/// A condition over a row's fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowFilter {
    /// Each of these.
    All(Vec<Self>),
    /// At least one of these.
    Any(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// This field passes this test.
    Field(String, Test),
}

/// A test of one field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// It is this value.
    Is(FieldValue),
    /// It is one of these values.
    OneOf(BTreeSet<FieldValue>),
    /// It is a smaller number.
    Below(i64),
    /// It is this number or a smaller one.
    AtMost(i64),
    /// It is a set with this text in it.
    Contains(String),
}

impl RowFilter {
    /// Whether a row passes. A field that is missing or of another type fails the whole filter, whatever the rest says: under a
    /// [`Self::Not`] it would otherwise pass.
    pub fn admits(&self, row: &Fields) -> bool {
        self.test(row) == Some(true)
    }

    /// `None` if any field that is named, needed or not, is missing or of another type.
    fn test(&self, row: &Fields) -> Option<bool> {
        match self {
            Self::All(parts) => parts.iter().try_fold(true, |all, part| Some(part.test(row)? && all)),
            Self::Any(parts) => parts.iter().try_fold(false, |any, part| Some(part.test(row)? || any)),
            Self::Not(part) => part.test(row).map(|passes| !passes),
            Self::Field(name, test) => test.passes(row.get(name)?),
        }
    }

    /// Look-ups by field that together find every row that passes (and others: each row found must still pass [`Self::admits`]), as
    /// few as possible; `None` if the fields that are `indexed` do not suffice.
    pub fn index_hints(&self, indexed: &dyn Fn(&str) -> bool) -> Option<BTreeSet<(&str, &FieldValue)>> {
        match self {
            Self::All(parts) => {
                parts.iter().filter_map(|part| part.index_hints(indexed)).min_by_key(BTreeSet::len)
            }
            Self::Any(parts) => parts.iter().try_fold(BTreeSet::new(), |mut found, part| {
                found.append(&mut part.index_hints(indexed)?);
                Some(found)
            }),
            Self::Not(_) => None,
            Self::Field(name, _) if !indexed(name) => None,
            Self::Field(name, Test::Is(value)) => Some(BTreeSet::from([(name.as_str(), value)])),
            Self::Field(name, Test::OneOf(values)) => {
                Some(values.iter().map(|value| (name.as_str(), value)).collect())
            }
            Self::Field(_, Test::Below(_) | Test::AtMost(_) | Test::Contains(_)) => None,
        }
    }
}

impl Test {
    /// `None` for a value of a type that the test is not about.
    fn passes(&self, value: &FieldValue) -> Option<bool> {
        match (self, value) {
            (Self::Is(wanted), _) => (wanted.ty() == value.ty()).then(|| wanted == value),
            (Self::OneOf(wanted), _) => {
                wanted.iter().all(|one| one.ty() == value.ty()).then(|| wanted.contains(value))
            }
            (Self::Below(bound), FieldValue::Long(number)) => Some(number < bound),
            (Self::AtMost(bound), FieldValue::Long(number)) => Some(number <= bound),
            (Self::Contains(text), FieldValue::TextSet(set)) => Some(set.contains(text)),
            (Self::Below(_) | Self::AtMost(_) | Self::Contains(_), _) => None,
        }
    }
}

#[cfg(test)]
mod tests;
