//! Passwords and codes: from a file, or typed without being shown.

use std::{
    io::{BufRead as _, IsTerminal as _, Read as _},
    path::Path,
    process::{Command, Stdio},
};

use holdfast_keys::secret_file::read_secret;
use zeroize::Zeroizing;

use crate::{Error, StorageError, cli::failure::Failure, cli::output::remark, login::Password};

/// Longest line that is read: a password of the most bytes, and its end.
const MAX_LINE: u64 = 1026;

/// A password; a typed one twice where it is new.
pub(super) fn ask_password(file: Option<&Path>, again: Option<&str>) -> Result<Password, Failure> {
    if let Some(file) = file {
        let bytes =
            if file == Path::new("-") { line(file)? } else { read_secret(file).map_err(Error::from)? };
        return Ok(Password::new(without_end(bytes)));
    }
    let first = typed("Password: ")?;
    if let Some(again) = again
        && std::io::stdin().is_terminal()
        && *typed(again)? != *first
    {
        return Err(Failure::Usage("the two passwords differ".to_owned()));
    }
    Ok(Password::new(first))
}

/// A code from a mail.
pub(super) fn ask_code(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    let bytes = match file {
        Some(file) if file != Path::new("-") => {
            let file_error = StorageError::io("read", file);
            Zeroizing::new(std::fs::read(file).map_err(file_error).map_err(Error::from)?)
        }
        Some(file) => line(file)?,
        None => typed("Code: ")?,
    };
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

fn typed(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let _hidden = Hidden::begin();
    remark(prompt.trim_end());
    line(Path::new("-")).map(without_end)
}

fn line(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut text = Zeroizing::new(Vec::with_capacity(2048));
    let read = std::io::stdin().lock().take(MAX_LINE).read_until(b'\n', &mut text);
    read.map_err(StorageError::io("read", path)).map_err(Error::from)?;
    Ok(text)
}

fn without_end(mut bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    while bytes.last().is_some_and(|last| b"\r\n".contains(last)) {
        bytes.pop();
    }
    bytes
}

/// The terminal shows nothing of what is typed until this is dropped.
struct Hidden(bool);

impl Hidden {
    fn begin() -> Self {
        Self(std::io::stdin().is_terminal() && stty("-echo"))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if self.0 {
            stty("echo");
        }
    }
}

fn stty(what: &str) -> bool {
    let status = Command::new("stty").arg(what).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_password_file_is_its_owners_alone_and_its_last_line_end_is_no_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "correct horse\r\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(ask_password(Some(&file), None).is_err());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(ask_password(Some(&file), None).is_ok());
        assert_eq!(&*without_end(Zeroizing::new(b" a b \n".to_vec())), b" a b ");
    }

    #[test]
    fn a_code_is_read_without_what_is_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("code");
        std::fs::write(&file, "  abc  \n").unwrap();
        assert_eq!(&**ask_code(Some(&file)).unwrap(), "abc");
    }
}
