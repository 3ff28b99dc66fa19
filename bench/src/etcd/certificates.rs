//! Certificates for etcd, by openssl: a CA, and one P-256 leaf for the members' address that every process and client shows.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

/// Files that etcd and its clients are given.
pub(super) struct Certificates {
    pub(super) root: PathBuf,
    pub(super) leaf: PathBuf,
    pub(super) key: PathBuf,
}

const CURVE: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

impl Certificates {
    pub(super) fn make(folder: &Path) -> anyhow::Result<Self> {
        let file = |name: &str| folder.join(name);
        let (root_key, made) = (
            file("root.key"),
            Self { root: file("root.pem"), leaf: file("leaf.pem"), key: file("leaf.key") },
        );
        let (root, root_key) = (text(&made.root)?, text(&root_key)?);
        let signed = ["req", "-x509", "-nodes", "-days", "1"];
        let ca = ["-subj", "/CN=etcd CA", "-keyout", root_key, "-out", root];
        openssl(signed.into_iter().chain(CURVE).chain(ca))?;
        let leaf = [
            "-subj",
            "/CN=etcd",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "extendedKeyUsage=serverAuth,clientAuth",
            "-CA",
            root,
            "-CAkey",
            root_key,
            "-keyout",
            text(&made.key)?,
            "-out",
            text(&made.leaf)?,
        ];
        openssl(signed.into_iter().chain(CURVE).chain(leaf))?;
        Ok(made)
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}

fn openssl<'a>(arguments: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let output = Command::new("openssl").args(arguments).output().context("running openssl")?;
    anyhow::ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
