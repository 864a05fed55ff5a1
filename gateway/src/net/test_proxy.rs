//! Tests only: a small SOCKS5 server (RFC 1928, RFC 1929) that writes down what it was asked, and connects every name to one address.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::socks::SocksProxy;

/// What one client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) user: String,
    pub(crate) password: String,
    /// `None` for an address in place of a name.
    pub(crate) name: Option<String>,
    pub(crate) port: u16,
}

#[derive(Clone)]
pub(crate) struct TestProxy {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl TestProxy {
    /// Starts a proxy on loopback that leads to `target` whatever the name, or answers with the code of an error.
    pub(crate) async fn start(target: Result<SocketAddr, u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            url: format!("socks5h://{}", listener.local_addr().unwrap()),
            asked: Arc::default(),
        };
        let asked = Arc::clone(&proxy.asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, target, Arc::clone(&asked)));
            }
        });
        proxy
    }

    pub(crate) fn setting(&self) -> SocksProxy {
        self.url.parse().unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the proxy's end of a connection, not the engine's"
)]
async fn serve(mut client: TcpStream, target: Result<SocketAddr, u8>, log: Arc<Mutex<Vec<Asked>>>) {
    assert_eq!(client.read_u8().await.unwrap(), 5);
    let methods = bytes(&mut client).await;
    assert!(methods.contains(&2), "no user name is offered: {methods:?}");
    client.write_all(&[5, 2]).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), 1);
    let user = text(&mut client).await;
    let password = text(&mut client).await;
    client.write_all(&[1, 0]).await.unwrap();
    let mut head = [0; 4];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(head[..3], [5, 1, 0]);
    let name = match head[3] {
        3 => Some(text(&mut client).await),
        kind => {
            let mut address = vec![0; if kind == 1 { 4 } else { 16 }];
            client.read_exact(&mut address).await.unwrap();
            None
        }
    };
    let port = client.read_u16().await.unwrap();
    log.lock().unwrap().push(Asked {
        user,
        password,
        name,
        port,
    });
    let code = target.err().unwrap_or(0);
    let answer = [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    client.write_all(&answer).await.unwrap();
    if let Ok(target) = target {
        let mut server = TcpStream::connect(target).await.unwrap();
        copy_bidirectional(&mut client, &mut server).await.ok();
    }
}

async fn bytes(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; client.read_u8().await.unwrap().into()];
    client.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn text(client: &mut TcpStream) -> String {
    String::from_utf8(bytes(client).await).unwrap()
}
