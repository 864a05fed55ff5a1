//! What a Nostr relay could write down: a door of its own for each engine, through which everything goes to one real relay, and a log
//! of the events that came in by each.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tungstenite::protocol::{Role, WebSocket};

/// An event that an engine posted.
#[derive(Clone, Debug)]
pub(super) struct Post {
    /// When.
    pub(super) at: Instant,
    /// The engine.
    pub(super) from: usize,
    /// Whether relays keep it, as they keep notes.
    pub(super) is_kept: bool,
    /// The bucket that its tag names.
    pub(super) bucket: usize,
    /// Bytes of the message (NIP-01), without those of WebSocket, TLS and TCP.
    pub(super) bytes: usize,
}

/// The log.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder(Arc<Mutex<Written>>);

/// What is written down.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// What the engines posted, by time.
    pub(super) posts: Vec<Post>,
    /// The bucket to which each engine is subscribed.
    pub(super) subscribed: BTreeMap<usize, usize>,
}

impl Recorder {
    /// Opens the door of an engine; returns the URL by which the engine reaches the relay.
    pub(super) async fn open_door(&self, engine: usize, relay: SocketAddr) -> String {
        let door = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let url = format!("ws://{}", door.local_addr().expect("it is bound"));
        let log = self.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = door.accept().await {
                let log = log.clone();
                tokio::spawn(async move { drop(log.pass(engine, client, relay).await) });
            }
        });
        url
    }

    /// All until now.
    pub(super) fn written(&self) -> Written {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn pass(self, from: usize, client: TcpStream, relay: SocketAddr) -> io::Result<()> {
        let relay = TcpStream::connect(relay).await?;
        client.set_nodelay(true)?;
        relay.set_nodelay(true)?;
        let (mut client_read, mut client_write) = client.into_split();
        let (mut relay_read, mut relay_write) = relay.into_split();
        let back = tokio::spawn(async move { copy(&mut relay_read, &mut client_write).await });
        let mut frames = Frames::default();
        let mut buffer = vec![0; 16_384];
        loop {
            let length = client_read.read(&mut buffer).await?;
            if length == 0 {
                break;
            }
            let at = Instant::now();
            for message in frames.messages(&buffer[..length]) {
                let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                match (message[0].as_str(), &message[1], &message[2]) {
                    (Some("EVENT"), event, _) => {
                        let bucket = bucket_of_event(event).expect("our engines name a bucket");
                        let is_kept = event["kind"] == 2777;
                        written.posts.push(Post {
                            at,
                            from,
                            is_kept,
                            bucket,
                            bytes: message.to_string().len(),
                        });
                    }
                    (Some("REQ"), _, filter) => {
                        let bucket = filter["#t"][0].as_str().and_then(read_bucket);
                        written
                            .subscribed
                            .extend(bucket.map(|bucket| (from, bucket)));
                    }
                    _ => {}
                }
            }
            relay_write.write_all(&buffer[..length]).await?;
        }
        back.abort();
        Ok(())
    }
}

/// Reads the messages in the bytes of a WebSocket client (RFC 6455).
#[derive(Default)]
struct Frames {
    /// Bytes of the HTTP request, until it is over.
    request: Vec<u8>,
    socket: Option<WebSocket<Bytes>>,
}

impl Frames {
    /// The messages (NIP-01) that these bytes complete.
    fn messages(&mut self, bytes: &[u8]) -> Vec<Value> {
        let Some(socket) = &mut self.socket else {
            self.request.extend_from_slice(bytes);
            let end = self.request.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end else {
                return Vec::new();
            };
            let frames = self.request.split_off(end + 4);
            let stream = Bytes(VecDeque::new());
            self.socket = Some(WebSocket::from_raw_socket(stream, Role::Server, None));
            return self.messages(&frames);
        };
        socket.get_mut().0.extend(bytes);
        let mut messages = Vec::new();
        while let Ok(message) = socket.read() {
            let message = message.into_text().unwrap_or_default();
            messages.extend(serde_json::from_str(&message));
        }
        messages
    }
}

fn bucket_of_event(event: &Value) -> Option<usize> {
    let mut tags = event["tags"].as_array()?.iter();
    let tag = tags.find(|tag| tag[0] == "t")?;
    read_bucket(tag[1].as_str()?)
}

/// The bucket in a tag: `rf1-<bits>-<4 hexadecimal digits>`.
fn read_bucket(tag: &str) -> Option<usize> {
    let (_, bucket) = tag.rsplit_once('-')?;
    usize::from_str_radix(bucket, 16).ok()
}

/// Bytes that have come; the answers of the WebSocket library (to a ping) go nowhere.
struct Bytes(VecDeque<u8>);

impl Read for Bytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(into)
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
