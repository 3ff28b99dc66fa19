//! EK certificates: a tolerant read of what lies in NV, then a strict parse and a chain to configured roots.

mod leaf;
mod nv;
mod roots;

pub use leaf::{EkCertificate, EkCertificateError};
pub use nv::{NvError, certificate_from_nv, chain_from_nv};
pub use roots::{EkRoots, EkRootsError};
