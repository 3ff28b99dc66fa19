//! holdfast-integration-tests
