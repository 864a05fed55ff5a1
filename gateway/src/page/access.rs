//! Access control of the user's page: a request needs the key, must be addressed to this machine, and must not come from another web
//! site.
//!
//! - A browser sends the key once, in the URL, and gets a cookie for it that no script can read and no other site can send (RFC 6265bis),
//!   so that the key leaves the address bar. Programs send it in `Authorization: Bearer` (RFC 6750).
//! - `Host` must be loopback with this port, against DNS rebinding. A request that changes something must come from the page (`Origin`).
//! - Without the key, every path and method gets the same answer. No header lets other sites read anything.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN,
    REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::state::secret::Secret;

/// The answer to every request without the key.
const CLOSED: &str = "This page needs its key. `ringfence run` prints the address with the key, which changes at each start.\n";

/// Allows nothing from other origins and nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The key of the page and the cookie that stands for it.
#[derive(Debug)]
pub(super) struct AccessGuard {
    port: u16,
    token: Secret,
    /// The cookie's value. It is not the key, so that the browser's files do not hold the key.
    session: Secret,
}

impl AccessGuard {
    pub(super) fn new(address: SocketAddr, token: Secret) -> Self {
        Self {
            port: address.port(),
            token,
            session: Secret::random(),
        }
    }

    /// The cookie's name. It contains the port, because browsers share cookies between ports.
    fn cookie(&self) -> String {
        format!("ringfence-{}", self.port)
    }

    fn is_here(&self, headers: &HeaderMap) -> bool {
        let host = text(headers, HOST).and_then(|host| host.parse::<Authority>().ok());
        host.is_some_and(|host| host.port_u16().unwrap_or(80) == self.port)
    }

    /// Whether the request has the key, and whether a program or a browser sent it.
    fn opens(&self, headers: &HeaderMap) -> Option<AccessSource> {
        let bearer = text(headers, AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer "));
        if bearer.is_some_and(|token| self.token == Secret::new(token.to_owned())) {
            return Some(AccessSource::Program);
        }
        let name = self.cookie();
        let cookies = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut pairs = cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let is_ours = |(key, value): (&str, &str)| {
            key == name && self.session == Secret::new(value.to_owned())
        };
        pairs.any(is_ours).then_some(AccessSource::Browser)
    }

    /// Answers the first request of a browser, which has the key in its URL.
    fn first_visit(&self, request: &Request) -> Option<Response> {
        let is_front = request.method() == Method::GET && request.uri().path() == "/";
        let token = request.uri().query()?.strip_prefix("token=")?;
        if !is_front || self.token != Secret::new(token.to_owned()) {
            return None;
        }
        let cookie = format!(
            "{}={}; HttpOnly; SameSite=Strict; Path=/",
            self.cookie(),
            self.session.expose()
        );
        Some(
            (
                StatusCode::SEE_OTHER,
                [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)],
            )
                .into_response(),
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AccessSource {
    Program,
    Browser,
}

/// Checks a request before the routes see it, and adds security headers to every answer.
pub(super) async fn guard(
    State(guard_state): State<std::sync::Arc<AccessGuard>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = if !guard_state.is_here(request.headers()) {
        StatusCode::MISDIRECTED_REQUEST.into_response()
    } else if let Some(welcome) = guard_state.first_visit(&request) {
        welcome
    } else {
        match guard_state.opens(request.headers()) {
            None => (StatusCode::FORBIDDEN, CLOSED).into_response(),
            Some(AccessSource::Browser) if !is_from_the_page(&request) => {
                (StatusCode::FORBIDDEN, CLOSED).into_response()
            }
            Some(_) => next.run(request).await,
        }
    };
    harden(response.headers_mut());
    response
}

/// Whether a browser's request comes from the page rather than from another site. Reading is always allowed: it changes nothing, and no
/// other site can read the answer.
fn is_from_the_page(request: &Request) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return true;
    }
    let headers = request.headers();
    let own = text(headers, HOST).map(|host| format!("http://{host}"));
    own.is_some_and(|own| text(headers, ORIGIN) == Some(own.as_str()))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The referrer policy is `same-origin`, because with `no-referrer` browsers do not send the origin of a form.
fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard_state() -> AccessGuard {
        AccessGuard::new(([127, 0, 0, 1], 5080).into(), Secret::new("k".repeat(64)))
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pair = |(name, value): &(HeaderName, &str)| (name.clone(), value.parse().unwrap());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_port_must_be_the_pages_own() {
        for (host, here) in [
            ("127.0.0.1:5080", true),
            ("localhost:5080", true),
            ("127.0.0.1", false),
            ("127.0.0.1:5081", false),
            ("", false),
        ] {
            assert_eq!(
                guard_state().is_here(&headers(&[(HOST, host)])),
                here,
                "{host}"
            );
        }
    }

    #[test]
    fn only_the_whole_key_or_the_whole_cookie_opens_the_page() {
        let guard_state = guard_state();
        let (whole, cut) = ("k".repeat(64), "k".repeat(63));
        let session = guard_state.session.expose();
        for (name, value, opens) in [
            (AUTHORIZATION, format!("Bearer {whole}"), true),
            (AUTHORIZATION, format!("Bearer {cut}"), false),
            (AUTHORIZATION, whole.clone(), false),
            (COOKIE, format!("a=b; ringfence-5080={session}"), true),
            (COOKIE, format!("ringfence-5080={}", &session[1..]), false),
            (COOKIE, format!("ringfence-5081={session}"), false),
            (COOKIE, format!("ringfence-5080={whole}"), false),
        ] {
            let opened = guard_state.opens(&headers(&[(name, &value)])).is_some();
            assert_eq!(opened, opens, "{value}");
        }
    }
}
