//! holdfast-files
