//! What the user decides on the page: forms become wishes and edits, which the running engine carries out. Nothing else is changed
//! here.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use ringfence_engine::line::command::Wish;
use ringfence_engine::sealed::note::NoteId;
use ringfence_engine::trust::contacts::Edit;
use ringfence_phonebook::{Day, IdentityKey, Number};
use serde::Deserialize;

use super::server::{Shared, away};
use super::view;
use crate::clock;

/// A form about a line.
#[derive(Debug, Deserialize)]
pub(super) struct WishForm {
    act: String,
    #[serde(default)]
    number: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    back: String,
}

/// A form about a contact.
#[derive(Debug, Deserialize)]
pub(super) struct EditForm {
    act: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    identity: String,
    #[serde(default)]
    sure: String,
}

impl WishForm {
    fn wish(&self) -> Option<Wish> {
        let number = || self.number.trim().parse::<Number>().ok();
        Some(match self.act.as_str() {
            "undisturbed" => Wish::Undisturbed(true),
            "disturb" => Wish::Undisturbed(false),
            "block" => Wish::Block(number()?),
            "unblock" => Wish::Unblock(number()?),
            "seen" => Wish::MissedSeen,
            "read" => Wish::TextRead(NoteId::from_bytes(bytes(&self.text)?)),
            _ => return None,
        })
    }

    /// A path of this page, and no other site's.
    fn back(&self) -> &str {
        let is_path = self.back.starts_with('/') && !self.back.starts_with("//");
        let is_plain = self
            .back
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/#-".contains(&byte));
        if is_path && is_plain { &self.back } else { "/" }
    }
}

impl EditForm {
    fn edit(&self) -> Option<Edit> {
        Some(match self.act.as_str() {
            "verify" => Edit::Verified(true),
            "unverify" => Edit::Verified(false),
            "name" => Edit::Name(self.name.clone()),
            "remove" => Edit::Remove,
            "accept" if self.sure == "yes" => {
                let identity = IdentityKey::from_bytes(&bytes(&self.identity)?).ok()?;
                Edit::Accept(identity, Day::of_unix(clock::unix_seconds()))
            }
            _ => return None,
        })
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// Something is wanted of a line.
pub(super) async fn wish(
    State(counter): Shared,
    Path(line): Path<u32>,
    Form(form): Form<WishForm>,
) -> Response {
    let back = form.back();
    let Some(wish) = form.wish() else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    match counter.enquiry.wish(Number::new(line), wish).await {
        None => away(),
        Some(Ok(())) => Redirect::to(back).into_response(),
        Some(Err(fault)) => counter.sorry(&format!("Because {fault}."), back).await,
    }
}

/// Something was decided about a contact.
pub(super) async fn edit(
    State(counter): Shared,
    Path(number): Path<u32>,
    Form(form): Form<EditForm>,
) -> Response {
    let back = format!("/contacts/{number}");
    let Some(edit) = form.edit() else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    let is_gone = edit == Edit::Remove;
    match counter.enquiry.edit(Number::new(number), edit).await {
        Ok(()) if is_gone => Redirect::to("/contacts").into_response(),
        Ok(()) => Redirect::to(&back).into_response(),
        Err(fault) => counter.sorry(&format!("Because {fault}."), &back).await,
    }
}

impl super::server::Counter {
    async fn sorry(&self, what: &str, back: &str) -> Response {
        let Some((picture, evidence)) = self.look().await else {
            return away();
        };
        let scene = self.scene(&picture, &evidence);
        (StatusCode::CONFLICT, Html(view::sorry(&scene, what, back))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(act: &str, back: &str) -> WishForm {
        WishForm {
            act: act.to_owned(),
            number: " 20418 ".to_owned(),
            text: "00".repeat(16),
            back: back.to_owned(),
        }
    }

    #[test]
    fn the_way_back_never_leads_to_another_site() {
        for back in [
            "//evil.example",
            "https://evil.example",
            "/\\evil",
            "evil",
            "/a\r\nb",
            "",
        ] {
            assert_eq!(form("seen", back).back(), "/", "{back}");
        }
        assert_eq!(form("seen", "/lines/20417#x").back(), "/lines/20417#x");
    }

    #[test]
    fn what_no_button_sends_is_no_wish() {
        assert_eq!(
            form("block", "/").wish(),
            Some(Wish::Block(Number::new(20_418)))
        );
        assert!(form("read", "/").wish().is_some());
        assert_eq!(form("format c:", "/").wish(), None);
        let short = WishForm {
            text: "00".to_owned(),
            ..form("read", "/")
        };
        assert_eq!(short.wish(), None);
    }

    #[test]
    fn a_key_is_accepted_only_by_somebody_who_is_sure() {
        let form = |sure: &str| EditForm {
            act: "accept".to_owned(),
            name: String::new(),
            identity: "00".repeat(32),
            sure: sure.to_owned(),
        };
        assert_eq!(form("").edit(), None);
    }
}
