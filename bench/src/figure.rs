//! One measured figure and what it is compared with.

use serde::Serialize;

/// A figure as it is written to the results.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: String,
    /// Its unit, and the reference's.
    pub(crate) unit: &'static str,
    /// Our figure.
    pub(crate) ours: f64,
    /// The floor's or the peer's.
    pub(crate) reference: Option<f64>,
    /// What the reference is.
    pub(crate) reference_name: Option<String>,
    /// `ours / reference`.
    pub(crate) ratio: Option<f64>,
    /// What we want to be.
    #[serde(skip)]
    pub(crate) aim: Option<Aim>,
}

/// A bound that a figure should keep.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    /// On the ratio.
    RatioAtMost(f64),
    /// On the ratio, from below.
    RatioAtLeast(f64),
    /// On the figure itself.
    AtMost(f64),
}

impl Figure {
    /// A figure without a reference.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, ours: f64) -> Self {
        Self { name: name.into(), unit, ours, reference: None, reference_name: None, ratio: None, aim: None }
    }

    /// Compares it.
    pub(crate) fn against(self, reference: f64, name: impl Into<String>) -> Self {
        let ratio = (reference > 0.0).then(|| self.ours / reference);
        Self { reference: Some(reference), reference_name: Some(name.into()), ratio, ..self }
    }

    /// Bounds it.
    pub(crate) fn aiming(self, aim: Aim) -> Self {
        Self { aim: Some(aim), ..self }
    }

    /// Whether the aim is kept, where there is one.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let kept = match self.aim? {
            Aim::RatioAtMost(most) => self.ratio? <= most,
            Aim::RatioAtLeast(least) => self.ratio? >= least,
            Aim::AtMost(most) => self.ours <= most,
        };
        Some(if kept { Verdict::Kept } else { Verdict::Missed })
    }
}

/// How an aim fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Kept.
    Kept,
    /// Missed.
    Missed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_judged_on_what_it_bounds() {
        let figure = Figure::new("a", "us", 12.0).against(10.0, "floor");
        assert_eq!(figure.clone().verdict(), None);
        assert_eq!(figure.clone().aiming(Aim::RatioAtMost(1.2)).verdict(), Some(Verdict::Kept));
        assert_eq!(figure.clone().aiming(Aim::RatioAtMost(1.1)).verdict(), Some(Verdict::Missed));
        assert_eq!(figure.clone().aiming(Aim::RatioAtLeast(1.2)).verdict(), Some(Verdict::Kept));
        assert_eq!(figure.clone().aiming(Aim::RatioAtLeast(1.3)).verdict(), Some(Verdict::Missed));
        assert_eq!(figure.aiming(Aim::AtMost(11.0)).verdict(), Some(Verdict::Missed));
    }

    #[test]
    fn results_have_exactly_the_promised_fields() {
        let figure = Figure::new("a", "us", 1.0).against(2.0, "floor").aiming(Aim::AtMost(1.0));
        let expected = serde_json::json!({
            "name": "a", "unit": "us", "ours": 1.0, "reference": 2.0, "reference_name": "floor", "ratio": 0.5
        });
        assert_eq!(serde_json::to_value(figure).unwrap(), expected);
    }
}
