//! `[listener]`: where the endpoint is reached.

use super::read::quoted;
use crate::spec::cursor::Cursor;

/// Where an endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `host:port` (port 0 takes any free one), or `unix:/path`.
    pub address: String,
}

pub(super) fn read_listener(table: &mut Cursor<'_>) -> Option<Listener> {
    let address = table.parsed("address", |text| {
        if text.strip_prefix("unix:").is_some_and(|path| !path.is_empty()) {
            return Ok(text.to_owned());
        }
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        match port.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(_)) => Ok(text.to_owned()),
            _ => Err((
                format!("{} is not an address to listen on", quoted(text)),
                Some("write host:port, e.g. \"0.0.0.0:8080\", or unix:/path".into()),
            )),
        }
    });
    Some(Listener { address: address.unwrap_or_else(|| "127.0.0.1:8080".into()) })
}
