//! `ringfence lines`: the lines of a state folder and the SIP account of each. Works while an engine runs.

use std::io::IsTerminal;

use clap::Args;
use ringfence_book::Number;
use serde_json::{Value, json};

use super::{CommandError, PathArgs, say, unlock};
use crate::config::Config;
use crate::page::{client, qr};
use crate::state::keystore::{Keystore, LineFile};

#[derive(Debug, Args)]
pub(super) struct LinesArgs {
    /// Print the SIP passwords too
    #[arg(long)]
    passwords: bool,
    /// Print a QR code for each line. While an engine runs, it holds a link that sets up one phone on this machine within ten minutes;
    /// otherwise it holds the account's address
    #[arg(long, conflicts_with = "json")]
    qr: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command.
pub(super) async fn run(args: &LinesArgs) -> Result<(), CommandError> {
    let mut config = args.paths.config()?;
    let lines = Keystore::look(&config.state.clone(), unlock(&mut config)?)?;
    if args.json {
        let list: Vec<Value> = lines
            .iter()
            .map(|line| as_value(line, &config, args.passwords))
            .collect();
        return say(&Value::from(list).to_string());
    }
    say(&table(&lines, &config, args.passwords))?;
    for line in lines.iter().filter(|_| args.qr) {
        let shown = match link(line, &config).await {
            Some(link) => with_code(&link),
            None => address_code(line, &config),
        };
        say(&format!("\n{shown}"))?;
    }
    Ok(())
}

/// A paragraph for each line, with the passwords if `passwords` is set.
pub(super) fn table(lines: &[LineFile], config: &Config, passwords: bool) -> String {
    if lines.is_empty() {
        return "There is no line yet. Get an invitation from a phone book's operator and run: ringfence setup LINK".to_owned();
    }
    let paragraphs: Vec<String> = lines
        .iter()
        .map(|line| {
            let name = line.name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
            let password = if passwords { line.account.password.expose() } else { "(shown with --passwords)" };
            let hosts: Vec<String> = config.sip.addresses.iter().map(ToString::to_string).collect();
            format!(
                "number     {}{name}\n  server   {}  udp {}  tcp {}  tls {}\n  user     {}\n  password {password}",
                line.number, hosts.join(" or "), config.sip.udp_port, config.sip.tcp_port, config.sip.tls_port, line.account.user,
            )
        })
        .collect();
    paragraphs.join("\n\n")
}

/// A line as JSON.
pub(super) fn as_value(line: &LineFile, config: &Config, passwords: bool) -> Value {
    let hosts: Vec<String> = config
        .sip
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut value = json!({
        "number": line.number,
        "name": line.name,
        "phonebook": line.book_url,
        "servers": hosts,
        "udp": config.sip.udp_port,
        "tcp": config.sip.tcp_port,
        "tls": config.sip.tls_port,
        "user": line.account.user,
        "uri": address(line, config),
    });
    if passwords {
        value["password"] = line.account.password.expose().into();
    }
    value
}

/// The account in the form that Linphone and baresip take, ready to be copied.
pub(super) fn ready_lines(line: &LineFile, config: &Config) -> String {
    let (user, password) = (&line.account.user, line.account.password.expose());
    let server = server(config);
    format!(
        "Linphone   account `{user}`, password `{password}`, domain `{server}`, transport UDP\n\
         baresip    one line in ~/.baresip/accounts:\n             <sip:{user}@{server}>;auth_pass={password}"
    )
}

/// The QR code of a line's address. It holds no password, because others may see the screen.
fn address_code(line: &LineFile, config: &Config) -> String {
    with_code(&address(line, config))
}

/// The QR code of a text, with the text below it; only the text if no code can hold it.
fn with_code(text: &str) -> String {
    let in_colour = std::io::stdout().is_terminal();
    qr::terminal(text, in_colour).map_or_else(|| text.to_owned(), |code| format!("{code}\n{text}"))
}

/// A link from which a phone fetches its settings, if an engine with a status page runs.
async fn link(line: &LineFile, config: &Config) -> Option<String> {
    let given = client::provision(&config.state, Number::new(line.number)).await;
    given.ok().map(|link| link.url)
}

/// The address at which a phone registers (RFC 3261 section 19.1).
fn address(line: &LineFile, config: &Config) -> String {
    format!("sip:{}@{}", line.account.user, server(config))
}

/// The last address of the settings: that of the local network, if phones are served there.
fn server(config: &Config) -> String {
    let sip = &config.sip;
    let ip = sip.addresses.last().copied();
    let ip = ip.unwrap_or_else(|| std::net::Ipv4Addr::LOCALHOST.into());
    std::net::SocketAddr::new(ip, sip.udp_port).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use zeroize::Zeroizing;

    use super::*;
    use crate::state::keystore::SipAccount;
    use crate::state::secret::Secret;

    fn line() -> LineFile {
        LineFile {
            number: 20_001,
            identity: Zeroizing::new(Vec::new()),
            book_url: String::new(),
            book_key: [0; 32],
            account: SipAccount {
                user: "20001".to_owned(),
                password: Secret::new("swordfish".to_owned()),
            },
            name: Some("Desk".to_owned()),
            ring_key_due: None,
            members: None,
        }
    }

    #[test]
    fn passwords_are_shown_only_when_asked_for() {
        let config = Config::with_state(Path::new("/tmp/x"));
        let lines = [line()];
        assert!(!table(&lines, &config, false).contains("swordfish"));
        let text = table(&lines, &config, true);
        for word in ["swordfish", "20001 (Desk)", "127.0.0.1", "udp 5088"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(table(&[], &config, true).contains("ringfence setup"));
        assert!(
            !as_value(&lines[0], &config, false)
                .to_string()
                .contains("swordfish")
        );
        assert_eq!(as_value(&lines[0], &config, true)["password"], "swordfish");
    }

    #[test]
    fn phones_elsewhere_are_told_the_address_of_the_network() {
        let mut config = Config::with_state(Path::new("/tmp/x"));
        config.sip.addresses.push([192, 168, 1, 10].into());
        config.sip.udp_port = 5070;
        let ready = ready_lines(&line(), &config);
        assert!(
            ready.contains("<sip:20001@192.168.1.10:5070>;auth_pass=swordfish"),
            "{ready}"
        );
        assert!(!address_code(&line(), &config).contains("swordfish"));
    }
}
