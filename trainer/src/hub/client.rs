//! Asking the hub over HTTP.

use super::{HubError, Kind, Listing};
use std::{env, io::Read, time::Duration};
use trainmaster_domain::hub::HubRepository;
use ureq::{
    Agent, Body,
    http::{HeaderMap, Response, StatusCode},
    tls::{RootCerts, TlsConfig},
};

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const MOST_REDIRECTS: usize = 10;
/// The largest list of a repository's files that is read.
const MOST_LISTING_BYTES: u64 = 64 << 20;

/// An endpoint that speaks the hub's paths, and who asks it. Has no `Debug`: the token is nobody's business.
pub struct Hub {
    endpoint: String,
    token: Option<String>,
    agent: Agent,
}

/// What came, and what the endpoint itself said of it before it sent elsewhere.
pub(super) struct Answer {
    pub status: StatusCode,
    /// Of the last answer that came from the endpoint's own host.
    pub told: HeaderMap,
    pub response: Response<Body>,
}

impl Hub {
    /// As `HF_ENDPOINT` and `HF_TOKEN` say.
    ///
    /// # Errors
    /// [`HubError::Endpoint`]
    pub fn from_environment() -> Result<Self, HubError> {
        let set = |name: &str| {
            let value = env::var(name).ok()?;
            let value = value.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        Self::new(&endpoint, set("HF_TOKEN"))
    }

    /// At an endpoint, with a token or without.
    ///
    /// # Errors
    /// [`HubError::Endpoint`]
    pub fn new(endpoint: &str, token: Option<String>) -> Result<Self, HubError> {
        let endpoint = endpoint.trim_end_matches('/');
        if origin(endpoint).is_none() {
            return Err(HubError::Endpoint {
                given: endpoint.to_owned(),
            });
        }
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .user_agent(concat!("trainmaster/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .http_status_as_error(false)
            // Followed here, so that the token does not travel.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .build();
        Ok(Self {
            endpoint: endpoint.to_owned(),
            token,
            agent: config.into(),
        })
    }

    /// The files of a repository at a revision, with their hashes.
    pub(super) fn list(&self, kind: Kind, from: &HubRepository) -> Result<Listing, HubError> {
        let kinds = match kind {
            Kind::Models => "models",
            Kind::Datasets => "datasets",
        };
        let url = format!(
            "{}/api/{kinds}/{}/revision/{}?blobs=true",
            self.endpoint,
            from.repository,
            encode(&from.revision)
        );
        let what = format!("{} at {}", from.repository, from.revision);
        let answer = self.get(&url, None, &what)?;
        self.expect_success(&answer, &what)?;
        let mut text = String::new();
        answer
            .response
            .into_body()
            .into_reader()
            .take(MOST_LISTING_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| HubError::Connection {
                what: what.clone(),
                detail: error.to_string(),
            })?;
        Listing::parse(&from.repository, &text).map_err(|detail| HubError::Answer { what, detail })
    }

    /// Where a file of a repository is.
    pub(super) fn file_url(
        &self,
        kind: Kind,
        from: &HubRepository,
        commit: &str,
        file: &str,
    ) -> String {
        let prefix = match kind {
            Kind::Models => "",
            Kind::Datasets => "datasets/",
        };
        let file: Vec<String> = file.split('/').map(encode).collect();
        format!(
            "{}/{prefix}{}/resolve/{}/{}",
            self.endpoint,
            from.repository,
            encode(commit),
            file.join("/")
        )
    }

    /// Asks for a URL of the endpoint, from byte `from` on, and goes wherever it is sent.
    pub(super) fn get(&self, url: &str, from: Option<u64>, what: &str) -> Result<Answer, HubError> {
        let home = origin(&self.endpoint).unwrap_or_default().to_owned();
        let wrong = |detail: String| HubError::Answer {
            what: what.to_owned(),
            detail,
        };
        let mut url = url.to_owned();
        let mut told = HeaderMap::new();
        for _ in 0..=MOST_REDIRECTS {
            let here = origin(&url)
                .ok_or_else(|| wrong("it sends to something that is not HTTP".to_owned()))?
                .to_owned();
            let mut request = self.agent.get(&url).header("accept-encoding", "identity");
            if let Some(token) = self.token.as_ref().filter(|_| here == home) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if let Some(from) = from {
                request = request.header("range", format!("bytes={from}-"));
            }
            let response = request.call().map_err(|error| HubError::Connection {
                what: what.to_owned(),
                detail: error.to_string(),
            })?;
            if here == home {
                told.clone_from(response.headers());
            }
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok(Answer {
                    status,
                    told,
                    response,
                });
            }
            let location = response
                .headers()
                .get("location")
                .and_then(|location| location.to_str().ok())
                .ok_or_else(|| wrong("it sends on without saying where to".to_owned()))?;
            let next = if location.starts_with('/') {
                format!("{here}{location}")
            } else {
                location.to_owned()
            };
            if here.starts_with("https://") && !next.starts_with("https://") {
                return Err(wrong(
                    "it sends from https to something less safe".to_owned(),
                ));
            }
            url = next;
        }
        Err(wrong(format!(
            "it sends on more than {MOST_REDIRECTS} times"
        )))
    }

    /// An error for every answer that is not the one asked for.
    pub(super) fn expect_success(&self, answer: &Answer, what: &str) -> Result<(), HubError> {
        let what = what.to_owned();
        let status = answer.status.as_u16();
        let says = answer
            .told
            .get("x-error-code")
            .and_then(|code| code.to_str().ok())
            .unwrap_or_default();
        match status {
            200 | 206 => Ok(()),
            401 if self.token.is_none() => Err(HubError::Refused {
                what,
                status,
                advice: "it does not exist, or is private: set HF_TOKEN in the daemon's environment, restart the daemon and retry"
                    .to_owned(),
            }),
            401 | 403 if says == "GatedRepo" => Err(HubError::Refused {
                what,
                status,
                advice: "accept its conditions on its page, with the account that HF_TOKEN belongs to, then retry".to_owned(),
            }),
            401 | 403 => Err(HubError::Refused {
                what,
                status,
                advice: "it does not exist, or HF_TOKEN of the daemon's environment may not read it".to_owned(),
            }),
            404 => Err(HubError::NotFound { what }),
            _ => Err(HubError::Status { what, status }),
        }
    }
}

/// `scheme://host:port` of a URL.
fn origin(url: &str) -> Option<&str> {
    let scheme = ["https://", "http://"]
        .into_iter()
        .find(|scheme| url.starts_with(scheme))?;
    let rest = &url[scheme.len()..];
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    (host > 0).then(|| &url[..scheme.len() + host])
}

/// Percent-encoding of a part of a path.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
