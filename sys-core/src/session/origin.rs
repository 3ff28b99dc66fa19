//! Web origins, as browsers write them in the header `origin` (RFC 6454, 6.2).

use std::{fmt, str::FromStr};

use super::limits::MAX_ORIGIN_BYTES;

/// An origin in its one spelling: `https://host` or `https://host:port`, and `http` for this machine itself, where developers work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WebOrigin(String);

/// Text that is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebOriginError {
    /// No scheme, or one that does not protect pages.
    #[error("an origin begins with https:// (http:// for localhost only)")]
    Scheme,
    /// Not a host in lower case.
    #[error("an origin names a host in lower case, and ends with it or its port: no path, no slash")]
    Host,
    /// Not a port, or the scheme's own, which browsers leave out.
    #[error("the port of an origin is a number that is not the scheme's own")]
    Port,
}

impl WebOrigin {
    /// The origin's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebOrigin {
    type Err = WebOriginError;

    fn from_str(text: &str) -> Result<Self, WebOriginError> {
        if text.len() > MAX_ORIGIN_BYTES {
            return Err(WebOriginError::Host);
        }
        let (scheme, rest) = text.split_once("://").ok_or(WebOriginError::Scheme)?;
        let (host, port) = match rest.rsplit_once(':') {
            // The colons of an address in brackets are its own.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let own_port = match scheme {
            "https" => 443,
            "http" if ["localhost", "127.0.0.1", "[::1]"].contains(&host) => 80,
            _ => return Err(WebOriginError::Scheme),
        };
        if !is_host(host) {
            return Err(WebOriginError::Host);
        }
        match port.map(str::parse::<u16>) {
            None => {}
            Some(Ok(number)) if number != own_port && number != 0 && port == Some(&*number.to_string()) => {}
            Some(_) => return Err(WebOriginError::Port),
        }
        Ok(Self(text.to_owned()))
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        // Browsers write addresses in their one shortest form.
        return inside.parse::<std::net::Ipv6Addr>().is_ok_and(|address| address.to_string() == inside);
    }
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let word = bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        word && !bytes.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(label)
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        for good in [
            "https://app.example.com",
            "https://app.example.com:8443",
            "https://[2001:db8::1]:8443",
            "https://localhost",
            "http://localhost:3000",
            "http://[::1]",
        ] {
            assert_eq!(good.parse::<WebOrigin>().map(|origin| origin.to_string()), Ok(good.to_owned()));
        }
        for (bad, error) in [
            ("", WebOriginError::Scheme),
            ("null", WebOriginError::Scheme),
            ("app.example.com", WebOriginError::Scheme),
            ("http://app.example.com", WebOriginError::Scheme),
            ("HTTPS://app.example.com", WebOriginError::Scheme),
            ("https://", WebOriginError::Host),
            ("https://*", WebOriginError::Host),
            ("https://*.example.com", WebOriginError::Host),
            ("https://App.example.com", WebOriginError::Host),
            ("https://app.example.com/", WebOriginError::Host),
            ("https://app.example.com/x", WebOriginError::Host),
            ("https://user@app.example.com", WebOriginError::Host),
            ("https://app..example.com", WebOriginError::Host),
            ("https://[2001:DB8::1]", WebOriginError::Host),
            ("https://app.example.com:443", WebOriginError::Port),
            ("https://app.example.com:08443", WebOriginError::Port),
            ("https://app.example.com:0", WebOriginError::Port),
            ("https://app.example.com:99999", WebOriginError::Port),
            ("https://app.example.com:8443/", WebOriginError::Port),
            ("http://localhost:80", WebOriginError::Port),
        ] {
            assert_eq!(bad.parse::<WebOrigin>(), Err(error), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_printable_ascii_and_reads_back(text in "\\PC{0,40}|https://[a-z0-9.:\\[\\]-]{0,30}") {
            if let Ok(origin) = text.parse::<WebOrigin>() {
                prop_assert!(origin.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(origin.as_str().parse(), Ok(origin.clone()));
            }
        }
    }
}
