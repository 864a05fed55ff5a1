//! Embeds the engine in another program: opens it, prints its events, stops it.
//!
//! ```console
//! $ cargo run --example embed -- ringfence.toml
//! ```
//! Settings and lines are those of `ringfence run`: the settings name the state folder, which holds the lines.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;
use std::path::Path;

use ringfence::{Config, Event, Keystore, Node, Secret};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = std::env::args_os()
        .nth(1)
        .ok_or("usage: embed SETTINGS.toml")?;
    let config = Config::read(Path::new(&settings))?;
    let passphrase = std::env::var("RINGFENCE_PASSPHRASE").ok().map(Secret::new);
    let store = Keystore::open(&config.state, passphrase)?;
    let node = Node::open(config, store).await?;
    for line in node.lines() {
        println!("line {} is open", line.number);
    }
    println!("phones register at {:?}", node.udp());
    let mut events = node.events();
    loop {
        tokio::select! {
            event = events.recv() => match event? {
                Event::Step { call, parties, step, .. } => match parties.peer {
                    Some(peer) => println!("call {call}, line {}, with {peer}: {step:?}", parties.line),
                    None => println!("call {call}, line {}: {step:?}", parties.line),
                },
                Event::Figures { call, figures } => println!("call {call}: {} packets lost", figures.to_phone.lost),
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    node.stop().await;
    Ok(())
}
