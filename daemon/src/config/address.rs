//! The address of the database in the words of the documents: `DB_HOST`, `DB_PORT`, `DB_NAME`, `DB_USER`, `DB_PASSWORD`.
//!
//! They are one address, used where `database.url` is set nowhere: half of one address and half of another would send a password to
//! somebody else's server, or migrations to another database than what is written.

use super::{Secret, problem::Problem};

/// What makes an address; a port, a user or a password alone does not.
const DECISIVE: [&str; 2] = ["DB_HOST", "DB_NAME"];

/// An address that the environment gives.
pub(super) struct Address {
    pub(super) url: Secret,
    pub(super) password: Option<String>,
}

/// What the documents' variables say, if anything.
pub(super) fn of(environment: &[(String, String)]) -> Result<Option<Address>, Problem> {
    if !is_given(environment) {
        return Ok(None);
    }
    let host = variable(environment, "DB_HOST").unwrap_or("localhost");
    let port = variable(environment, "DB_PORT").unwrap_or("5432");
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(Problem {
            place: "environment variable DB_PORT".into(),
            key: "database.url".into(),
            what: format!("found {port:?}; expected the number of a port"),
        });
    }
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else if host.starts_with('[') {
        host.to_owned()
    } else {
        encoded(host)
    };
    let user = encoded(variable(environment, "DB_USER").unwrap_or("pic_user"));
    let name = encoded(variable(environment, "DB_NAME").unwrap_or("pic_db"));
    Ok(Some(Address {
        url: Secret::new(format!("postgres://{user}@{host}:{port}/{name}")),
        password: variable(environment, "DB_PASSWORD").map(str::to_owned),
    }))
}

/// Says that the address is not used, where there is one.
pub(super) fn unused(environment: &[(String, String)]) -> Option<Problem> {
    is_given(environment).then(|| Problem {
        place: "environment variables DB_HOST, DB_NAME, …".into(),
        key: String::new(),
        what: "are not used, because database.url is set".into(),
    })
}

fn is_given(environment: &[(String, String)]) -> bool {
    DECISIVE
        .iter()
        .any(|name| variable(environment, name).is_some())
}

/// An empty variable is one that is not set.
fn variable<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    environment
        .iter()
        .find(|(found, value)| found == name && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

/// Percent-encoding of whatever may mean something in a URL: a socket's directory is a host as well.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
