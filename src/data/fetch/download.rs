//! Downloads over HTTP(S).

use std::path::Path;
use std::time::Duration;

use crate::data::DataError;
use crate::data::staging::write_synced;

/// Downloads files.
#[derive(Debug, Clone)]
pub struct Http {
    agent: ureq::Agent,
}

impl Http {
    /// Through `proxy` if there is one. A server that is silent for `patience` has failed.
    #[must_use]
    pub fn new(proxy: Option<ureq::Proxy>, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .proxy(proxy)
            .timeout_resolve(Some(patience))
            .timeout_connect(Some(patience))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .user_agent(concat!("qtrail/", env!("CARGO_PKG_VERSION")))
            // The files are gzip data; the server must not be asked to wrap them once more.
            .accept_encoding("identity")
            .build();
        Self { agent: config.into() }
    }

    /// Streams what is at `url` to a new file at `to`. `seen` hears of the bytes so far and in all.
    ///
    /// # Errors
    /// [`DataError::Download`] for anything that the network or the server does,
    /// [`DataError::Oversized`] for more than `limit` bytes, [`DataError::Io`] if `to` cannot be
    /// written.
    pub(super) fn download(
        &self,
        url: &str,
        to: &Path,
        limit: u64,
        seen: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), DataError> {
        let failed = |reason| DataError::Download { url: url.to_owned(), reason };
        let mut response = self.agent.get(url).call().map_err(|error| failed(say(&error)))?;
        let total = response.body().content_length();
        let mut body = response.body_mut().as_reader();
        let source = Path::new(url);
        let written = write_synced(&mut body, to, limit, source, &mut |done| seen(done, total));
        written.map_err(|error| match error {
            DataError::Io { path, source: reason, .. } if path == source => {
                failed(reason.to_string())
            }
            other => other,
        })
    }
}

/// What went wrong, in words for somebody who is not a programmer.
fn say(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(code) => format!("the server answers with status {code}"),
        ureq::Error::HostNotFound => "there is no such host, or no network".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}
