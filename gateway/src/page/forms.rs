//! The forms of the page: each becomes a command for a line or an edit of a contact, which the running engine carries out.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use ringfence_book::{Day, IdentityKey, Number};
use ringfence_engine::line::command::{LineCommand, LineCommandError};
use ringfence_engine::sealed::note::NoteId;
use ringfence_engine::trust::contacts::ContactEdit;
use serde::Deserialize;

use super::server::{SharedState, away};
use super::view;
use crate::clock;

/// What a program accepts that wants the reason of a refusal alone, and no page.
pub(super) const PLAIN_TEXT: &str = "text/plain";

/// A form about a line.
#[derive(Debug, Deserialize)]
pub(super) struct LineForm {
    act: String,
    #[serde(default)]
    number: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    call: String,
    #[serde(default)]
    back: String,
}

/// A text that the user writes.
#[derive(Debug, Deserialize)]
pub(super) struct TextForm {
    line: u32,
    number: String,
    text: String,
    #[serde(default)]
    back: String,
}

/// A number that becomes a contact.
#[derive(Debug, Deserialize)]
pub(super) struct NewContactForm {
    number: String,
    #[serde(default)]
    name: String,
}

/// A form about a contact.
#[derive(Debug, Deserialize)]
pub(super) struct ContactForm {
    act: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    identity: String,
    #[serde(default)]
    sure: String,
}

impl LineForm {
    fn command(&self) -> Option<LineCommand> {
        let number = || self.number.trim().parse::<Number>().ok();
        Some(match self.act.as_str() {
            "undisturbed" => LineCommand::DoNotDisturb(true),
            "disturb" => LineCommand::DoNotDisturb(false),
            "contacts" => LineCommand::ContactsOnly(true),
            "everyone" => LineCommand::ContactsOnly(false),
            "block" => LineCommand::Block(number()?),
            "unblock" => LineCommand::Unblock(number()?),
            "call" => LineCommand::Call(number()?),
            "hangup" => LineCommand::HangUp(self.call.parse().ok()?),
            "seen" => LineCommand::MissedSeen,
            "read" => LineCommand::TextRead(NoteId::from_bytes(bytes(&self.text)?)),
            _ => return None,
        })
    }
}

/// The path to return to; only a path of this page, so that no form leads to another site.
fn path(back: &str) -> &str {
    let is_path = back.starts_with('/') && !back.starts_with("//");
    let is_plain = back
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/#-".contains(&byte));
    if is_path && is_plain { back } else { "/" }
}

impl ContactForm {
    fn edit(&self) -> Option<ContactEdit> {
        Some(match self.act.as_str() {
            "verify" => ContactEdit::Verified(true),
            "unverify" => ContactEdit::Verified(false),
            "name" => ContactEdit::Name(self.name.clone()),
            "remove" => ContactEdit::Remove,
            "accept" if self.sure == "yes" => {
                let identity = IdentityKey::from_bytes(&bytes(&self.identity)?).ok()?;
                ContactEdit::Accept(identity, Day::of_unix(clock::unix_seconds()))
            }
            _ => return None,
        })
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// Handles a form about a line.
pub(super) async fn command(
    State(page_state): SharedState,
    Path(line): Path<u32>,
    headers: HeaderMap,
    Form(form): Form<LineForm>,
) -> Response {
    let back = path(&form.back);
    let Some(command) = form.command() else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    let told = page_state.handle.command(Number::new(line), command).await;
    match told {
        Some(Err(error))
            if headers
                .get(ACCEPT)
                .is_some_and(|wanted| wanted == PLAIN_TEXT) =>
        {
            (StatusCode::CONFLICT, error.to_string()).into_response()
        }
        told => page_state.outcome(told, back).await,
    }
}

/// Handles a text to a number.
pub(super) async fn write(State(page_state): SharedState, Form(form): Form<TextForm>) -> Response {
    let Ok(to) = form.number.trim().parse::<Number>() else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    // Browsers end lines as MIME does (HTML, section 4.10.21.8).
    let text = form.text.replace("\r\n", "\n");
    let told = page_state.handle.write(Number::new(form.line), to, text);
    page_state.outcome(told.await, path(&form.back)).await
}

/// Handles a number that becomes a contact.
pub(super) async fn add(
    State(page_state): SharedState,
    Form(form): Form<NewContactForm>,
) -> Response {
    let Ok(number) = form.number.trim().parse::<Number>() else {
        let why = "Because a number has digits only.";
        return page_state.refusal(why, "/contacts").await;
    };
    match page_state.handle.add_contact(number, form.name).await {
        Ok(()) => Redirect::to(&format!("/contacts/{number}")).into_response(),
        Err(error) => {
            let why = format!("Because {error}.");
            page_state.refusal(&why, "/contacts").await
        }
    }
}

/// Handles a form about a contact.
pub(super) async fn edit(
    State(page_state): SharedState,
    Path(number): Path<u32>,
    Form(form): Form<ContactForm>,
) -> Response {
    let back = format!("/contacts/{number}");
    let Some(edit) = form.edit() else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    let is_gone = edit == ContactEdit::Remove;
    match page_state
        .handle
        .edit_contact(Number::new(number), edit)
        .await
    {
        Ok(()) if is_gone => Redirect::to("/contacts").into_response(),
        Ok(()) => Redirect::to(&back).into_response(),
        Err(error) => {
            page_state
                .refusal(&format!("Because {error}."), &back)
                .await
        }
    }
}

impl super::server::StatusPageState {
    async fn outcome(&self, told: Option<Result<(), LineCommandError>>, back: &str) -> Response {
        match told {
            None => away(),
            Some(Ok(())) => Redirect::to(back).into_response(),
            Some(Err(error)) => self.refusal(&format!("Because {error}."), back).await,
        }
    }

    async fn refusal(&self, what: &str, back: &str) -> Response {
        let Some((snapshot, evidence)) = self.look().await else {
            return away();
        };
        let context = self.context(&snapshot, &evidence);
        (
            StatusCode::CONFLICT,
            Html(view::refusal(&context, what, back)),
        )
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(act: &str, back: &str) -> LineForm {
        LineForm {
            act: act.to_owned(),
            number: " 20418 ".to_owned(),
            text: "00".repeat(16),
            call: "0000beef".to_owned(),
            back: back.to_owned(),
        }
    }

    #[test]
    fn the_path_back_never_leads_to_another_site() {
        for back in [
            "//evil.example",
            "https://evil.example",
            "/\\evil",
            "evil",
            "/a\r\nb",
            "",
        ] {
            assert_eq!(path(back), "/", "{back}");
        }
        assert_eq!(path("/lines/20417#x"), "/lines/20417#x");
    }

    #[test]
    fn a_form_that_no_button_sends_is_refused() {
        assert_eq!(
            form("block", "/").command(),
            Some(LineCommand::Block(Number::new(20_418)))
        );
        for act in ["read", "call", "hangup"] {
            assert!(form(act, "/").command().is_some(), "{act}");
        }
        assert_eq!(form("format c:", "/").command(), None);
        let short = LineForm {
            text: "00".to_owned(),
            ..form("read", "/")
        };
        assert_eq!(short.command(), None);
    }

    #[test]
    fn a_key_is_accepted_only_when_the_user_confirms() {
        let form = |sure: &str| ContactForm {
            act: "accept".to_owned(),
            name: String::new(),
            identity: "00".repeat(32),
            sure: sure.to_owned(),
        };
        assert_eq!(form("").edit(), None);
    }
}
