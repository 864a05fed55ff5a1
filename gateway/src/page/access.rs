//! Who may see the user's page: whoever brings its key, from this machine, and not for somebody else's web site.
//!
//! - The key comes once in the address, and becomes a cookie that no script reads and no other site sends (RFC 6265bis), so that it
//!   leaves the address bar. Programs bring it behind `Authorization: Bearer` (RFC 6750).
//! - `Host` must be loopback with this very port (DNS rebinding); what changes something must come from the page itself (`Origin`).
//! - Without the key every path and method gets one and the same answer. No header lets other sites read anything.

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

use super::key::draw;
use crate::state::secret::Secret;

/// Said to whoever has no key, whatever was asked for.
const CLOSED: &str = "This page opens with its key. `ringfence run` prints the address that has it; the key is another one after each start.\n";

/// Nothing from anywhere else, nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What opens the page.
#[derive(Debug)]
pub(super) struct Gate {
    port: u16,
    token: Secret,
    /// What the cookie says: not the key itself, so that a browser's files do not have that.
    session: Secret,
}

impl Gate {
    pub(super) fn new(address: SocketAddr, token: Secret) -> Self {
        Self {
            port: address.port(),
            token,
            session: draw(),
        }
    }

    /// Cookies know no ports: each engine's has a name of its own.
    fn cookie(&self) -> String {
        format!("ringfence-{}", self.port)
    }

    fn is_here(&self, headers: &HeaderMap) -> bool {
        let host = text(headers, HOST).and_then(|host| host.parse::<Authority>().ok());
        host.is_some_and(|host| host.port_u16().unwrap_or(80) == self.port)
    }

    /// Whether the key was brought: by a program, or by a browser.
    fn opens(&self, headers: &HeaderMap) -> Option<Visitor> {
        let bearer = text(headers, AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer "));
        if bearer.is_some_and(|token| self.token == Secret::new(token.to_owned())) {
            return Some(Visitor::Program);
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
        pairs.any(is_ours).then_some(Visitor::Browser)
    }

    /// The first visit: the key stands in the address.
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
enum Visitor {
    Program,
    Browser,
}

/// Lets a request through, or not. Every answer forbids what it can.
pub(super) async fn guard(
    State(gate): State<std::sync::Arc<Gate>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = if !gate.is_here(request.headers()) {
        StatusCode::MISDIRECTED_REQUEST.into_response()
    } else if let Some(welcome) = gate.first_visit(&request) {
        welcome
    } else {
        match gate.opens(request.headers()) {
            None => (StatusCode::FORBIDDEN, CLOSED).into_response(),
            Some(Visitor::Browser) if !is_from_the_page(&request) => {
                (StatusCode::FORBIDDEN, CLOSED).into_response()
            }
            Some(_) => next.run(request).await,
        }
    };
    harden(response.headers_mut());
    response
}

/// Whether a browser asks for the page itself, or for a site that makes it. Reading changes nothing, and no other site reads the answer.
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

/// With `same-origin`, browsers still say the origin of a form (with `no-referrer` they do not).
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

    fn gate() -> Gate {
        Gate::new(([127, 0, 0, 1], 5080).into(), Secret::new("k".repeat(64)))
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
            assert_eq!(gate().is_here(&headers(&[(HOST, host)])), here, "{host}");
        }
    }

    #[test]
    fn only_the_whole_key_or_the_whole_cookie_opens() {
        let gate = gate();
        let (whole, cut) = ("k".repeat(64), "k".repeat(63));
        let session = gate.session.expose();
        for (name, value, opens) in [
            (AUTHORIZATION, format!("Bearer {whole}"), true),
            (AUTHORIZATION, format!("Bearer {cut}"), false),
            (AUTHORIZATION, whole.clone(), false),
            (COOKIE, format!("a=b; ringfence-5080={session}"), true),
            (COOKIE, format!("ringfence-5080={}", &session[1..]), false),
            (COOKIE, format!("ringfence-5081={session}"), false),
            (COOKIE, format!("ringfence-5080={whole}"), false),
        ] {
            let opened = gate.opens(&headers(&[(name, &value)])).is_some();
            assert_eq!(opened, opens, "{value}");
        }
    }
}
