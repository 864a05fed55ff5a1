//! The invitation: a link, `https://book.example.org/#K50T-V99H-...`, with the address of the phone book and the activation code. What
//! is behind the `#` is sent to no server when the link is opened in a browser (RFC 3986 section 3.5).

use ringfence_book::{ActivationCode, NetworkSettings};

use super::prompter::Prompter;
use super::{CommandError, SetupArgs};
use crate::cli::progress::ProgressLine;
use crate::lines::LineError;
use crate::net::book::BookClient;
use crate::net::outbound::Outbound;

/// The option that a link stands for.
pub(super) const OPTION: &str = "an invitation";

/// What is known of the phone book and the code so far.
#[derive(Debug, Default)]
struct Invitation {
    book: Option<String>,
    code: Option<ActivationCode>,
}

impl Invitation {
    /// Reads a link, the address of a phone book, or a code.
    fn read(text: &str) -> Result<Self, CommandError> {
        let book = |text: &str| Some(address(text)).filter(|book| !book.is_empty());
        if let Some((place, code)) = text.split_once('#') {
            return Ok(Self {
                book: book(place),
                code: Some(code.parse()?),
            });
        }
        let code: Option<ActivationCode> = text.parse().ok();
        Ok(Self {
            book: book(text).filter(|_| code.is_none()),
            code,
        })
    }

    fn of(args: &SetupArgs) -> Result<Self, CommandError> {
        if let Some(link) = &args.link {
            return Self::read(link);
        }
        let code = args.code.as_deref().map(str::parse).transpose()?;
        Ok(Self {
            book: args.phonebook.as_deref().map(address),
            code,
        })
    }
}

/// The address of a phone book as a person types it: without `https://`, or with a slash at its end.
fn address(text: &str) -> String {
    let text = text.trim().trim_end_matches('/');
    if text.is_empty() || text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    }
}

/// A phone book that answers with a valid signature, and a code that can be its own. Nothing is sent to it yet but questions that any client
/// asks. `known`: the phone book of the lines that are there.
pub(super) async fn find(
    args: &SetupArgs,
    known: Option<&str>,
    outbound: &Outbound,
    prompter: &Prompter,
) -> Result<(BookClient, NetworkSettings, ActivationCode), CommandError> {
    let mut invitation = Invitation::of(args)?;
    let mut is_asked = false;
    if invitation.book.is_none() && !prompter.has_terminal() {
        invitation.book = known.map(str::to_owned);
    }
    loop {
        let Some(book) = &invitation.book else {
            is_asked = true;
            ask(&mut invitation, known, prompter)?;
            continue;
        };
        match introduce(book, outbound, prompter).await {
            Ok((client, network)) => {
                let code = match invitation.code {
                    Some(code) if code.is_of(&network.book_key) => code,
                    Some(_) if !is_asked => {
                        return Err(LineError::CodeOfOtherBook(client.url().to_owned()).into());
                    }
                    _ => code(&network, prompter)?,
                };
                return Ok((client, network, code));
            }
            Err(error) if is_asked => {
                prompter.forget(OPTION);
                prompter.print(&format!("{}\n", error.text()))?;
                invitation.book = None;
            }
            Err(error) => return Err(error),
        }
    }
}

fn ask(
    invitation: &mut Invitation,
    known: Option<&str>,
    prompter: &Prompter,
) -> Result<(), CommandError> {
    let question = match &invitation.code {
        None => "The link that you were sent, or the address of the phone book",
        Some(_) => "Address of the phone book",
    };
    let typed = prompter.ask(question, known, OPTION, |text| match text {
        "" => Err("A link is, for example: https://book.example.org/#K50T-V99H-...".to_owned()),
        text => Invitation::read(text).map_err(|error| error.text()),
    })?;
    invitation.book = typed.book;
    invitation.code = typed.code.or(invitation.code.take());
    Ok(())
}

/// A well-formed code of this book.
pub(super) fn code(
    network: &NetworkSettings,
    prompter: &Prompter,
) -> Result<ActivationCode, CommandError> {
    prompter.ask("Activation code", None, "--code", |text| {
        let code: ActivationCode = text
            .parse()
            .map_err(|error| CommandError::Code(error).text())?;
        if code.is_of(&network.book_key) {
            Ok(code)
        } else {
            Err("This is a code of another phone book. It was not sent.".to_owned())
        }
    })
}

async fn introduce(
    url: &str,
    outbound: &Outbound,
    prompter: &Prompter,
) -> Result<(BookClient, NetworkSettings), CommandError> {
    let client = BookClient::new(url, outbound)?;
    let progress = ProgressLine::begin();
    progress.show("Asking the phone book for its key and its network");
    let (network, root) = client.introduce().await?;
    drop(progress);
    if prompter.has_terminal() {
        let key = hex::encode(network.book_key.as_bytes());
        prompter.print(&format!(
            "The phone book answers; its signature of epoch {} is valid. Compare its key with that of the invitation: {key}\n",
            root.states().epoch
        ))?;
    }
    Ok((client, network))
}

#[cfg(test)]
mod tests {
    use ringfence_book::BookKey;
    use ringfence_engine::line::identity::Identity;

    use super::*;

    #[test]
    fn a_link_an_address_and_a_code_are_told_apart() {
        let key = Identity::generate(&mut rand::rng()).key();
        let book = BookKey::from_bytes(key.as_bytes()).unwrap();
        let code = ActivationCode::draw(&book, &mut rand::rng()).text();
        let read = |text: &str| {
            let found = Invitation::read(text).unwrap();
            (found.book, found.code.map(|code| code.text()))
        };
        let https = || Some("https://book.example.org".to_owned());
        for link in ["https://book.example.org/#", " book.example.org#"] {
            let found = read(&format!("{link}{code}"));
            assert_eq!(found, (https(), Some(code.clone())));
        }
        assert_eq!(read("book.example.org/"), (https(), None));
        let local = Some("http://127.0.0.1:7420".to_owned());
        assert_eq!(read("http://127.0.0.1:7420"), (local, None));
        assert_eq!(read(&code.to_lowercase()), (None, Some(code)));
        assert!(Invitation::read("https://book.example.org/#K50T").is_err());
    }
}
