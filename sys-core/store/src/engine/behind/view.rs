//! A point in time of an engine and of the layers above it.

use std::sync::Arc;

use super::{
    super::{EngineError, KeyRange, Page, ScanLimit, View, merge::full_page},
    layers::Layer,
};

/// The view below may have the oldest layers already: they say the same.
pub(super) struct LayeredView {
    below: Box<dyn View>,
    layers: Vec<Arc<Layer>>,
}

impl LayeredView {
    pub(super) fn new(below: Box<dyn View>, layers: Vec<Arc<Layer>>) -> Self {
        Self { below, layers }
    }
}

impl View for LayeredView {
    fn range(&self) -> &KeyRange {
        self.below.range()
    }

    fn scan(&self, range: &KeyRange, limit: ScanLimit) -> Result<Page, EngineError> {
        let range = range.intersection(self.below.range());
        let layers: Vec<_> = self.layers.iter().map(|layer| layer.rows()).collect();
        full_page(&range, limit, &layers, |range| self.below.scan(range, limit))
    }
}
