//! Where requests go, and their bytes.

use std::net::{SocketAddr, ToSocketAddrs};

use url::Url;

use super::error::Error;

/// An endpoint that was found by name. Made by [`Target::parse`].
#[derive(Debug, Clone)]
pub struct Target {
    /// As people write it.
    pub url: String,
    pub(super) address: SocketAddr,
    host: String,
    path: String,
}

impl Target {
    /// Reads `http://host:port/path`; without a path it is `/invocations`.
    ///
    /// # Errors
    /// When it is no such address, or its host has no address.
    pub fn parse(text: &str) -> Result<Target, Error> {
        let refuse = |why| Error::Target { text: text.to_owned(), why };
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&full).map_err(|_| refuse("it is no URL"))?;
        if url.scheme() != "http" {
            return Err(refuse("only http:// can be measured"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("credentials belong into --header"));
        }
        if url.path() == "/" {
            url.set_path("/invocations");
        }
        let name = url.host_str().ok_or_else(|| refuse("it names no host"))?.to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        let bare = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let address = (bare.as_str(), port)
            .to_socket_addrs()
            .map_err(|source| Error::Connect { target: text.to_owned(), source })?
            .next()
            .ok_or_else(|| refuse("its host has no address"))?;
        let host = format!("{name}:{port}");
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        url.set_fragment(None);
        Ok(Target { url: url.to_string(), address, host, path })
    }

    /// One request as it goes over the wire.
    pub(super) fn request(&self, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
        let mut text = format!("POST {} HTTP/1.1\r\nHost: {}\r\n", self.path, self.host);
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_means_invocations() {
        let target = Target::parse("127.0.0.1:8080").unwrap();
        assert_eq!(target.url, "http://127.0.0.1:8080/invocations");
        let request = target.request(&[("Content-Type".into(), "text/csv".into())], b"1,2");
        assert_eq!(
            String::from_utf8(request).unwrap(),
            "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: text/csv\r\n\
             Content-Length: 3\r\n\r\n1,2"
        );
        let target = Target::parse("http://[::1]:9/v2/models/a/infer?x=1#y").unwrap();
        assert_eq!(target.address, "[::1]:9".parse().unwrap());
        assert_eq!(target.path, "/v2/models/a/infer?x=1");
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for text in ["https://127.0.0.1/", "http://", "ftp://a/", "http://u:p@127.0.0.1/", ""] {
            assert!(matches!(Target::parse(text), Err(Error::Target { .. })), "{text}");
        }
    }
}
